"""MedMNIST ``.npz`` files: rows of the arrays ``train_images``, ``val_images`` and ``test_images``.

A row is named ``file.npz#split/number`` (:mod:`scanlens.reference`). Images are read through a
memory map of the member, unpacked once into an unnamed temporary file, so that memory does not grow with
the data set.
"""

from __future__ import annotations

import shutil
import tempfile
import tokenize
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.archive import DAMAGED, MAX_UNPACKED, packing_problem, stamp
from scanlens.types import SPLITS, Scan

COLOUR_CHANNELS = 3
# What zipfile, and numpy on an array's header, raise on files that are damaged or made to harm.
UNUSABLE = (*DAMAGED, OSError, RuntimeError, TypeError, OverflowError, SyntaxError, tokenize.TokenError)


def read_npz_row(path: Path, split: str, row: int, reference: str, *, dims: int, max_pixels: int) -> Scan:
    """Read one image (1 or 3, height, width) or volume (1, depth, height, width) in 0-255.

    Raises:
        UnreadableScan: There is no such row, its array holds no pixels, or it is of the other ``dims``.
    """
    values = row_values(path, split, row, reference)
    colour = values.ndim == dims + 1 and values.shape[-1] == COLOUR_CHANNELS
    if values.ndim != dims and not colour:
        other = 5 - dims
        raise UnreadableScan(reference, f"other dimensions: {values.shape}; set data.dims={other}")
    if values.size > max_pixels * (COLOUR_CHANNELS if colour else 1):
        raise UnreadableScan(
            reference, f"too large: {values.shape} pixels, more than the {max_pixels} allowed"
        )
    pixels = np.moveaxis(values, -1, 0) if colour else values[None]
    return Scan(
        pixels=np.ascontiguousarray(pixels, dtype=np.float32),
        photometric="RGB" if colour else "L",
        bits=8 * values.dtype.itemsize,
    )


def row_values(path: Path, split: str, row: int, reference: str) -> npt.NDArray[np.generic]:
    """Return one row of ``<split>_images`` as stored.

    Raises:
        UnreadableScan: The file has no such array or row, or the array holds objects.
    """
    try:
        images = mapped_array(path, f"{split}_images")
    except KeyError as error:
        raise UnreadableScan(reference, f"the file holds no array {split}_images") from error
    if row >= len(images):
        raise UnreadableScan(reference, f"there is no such row: {split} holds {len(images)}")
    return np.asarray(images[row])


def list_rows(path: Path) -> list[str]:
    """References to every image of an ``.npz`` file, in its own order, labels or none.

    Raises:
        UnreadableScan: The file is no archive of image arrays.
    """
    references = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
        for split in (split for split in SPLITS if f"{split}_images.npy" in members):
            count = len(mapped_array(path, f"{split}_images"))
            references += [f"{path.name}#{split}/{row}" for row in range(count)]
    except UNUSABLE as error:
        raise UnreadableScan(path.name, f"not a MedMNIST file ({type(error).__name__})") from error
    if not references:
        raise UnreadableScan(path.name, "the file holds no train_images, val_images or test_images")
    return references


def mapped_array(path: Path, name: str) -> npt.NDArray[np.generic]:
    """One array of the archive, unpacked once into an unnamed temporary file and mapped read-only.

    Raises:
        KeyError: There is no such array.
        ValueError: It holds Python objects or a single number, its header does not fit its bytes, or it may
            not be unpacked.
        Exception: One of :data:`UNUSABLE`.
    """
    return _mapped(path, name, *stamp(path))


@lru_cache(maxsize=3)
def _mapped(path: Path, name: str, modified_ns: int, size: int) -> npt.NDArray[np.generic]:
    """``modified_ns`` and ``size`` belong to the cache's key: an altered file is opened anew."""
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as file:
        entry = archive.getinfo(f"{name}.npy")
        if problem := packing_problem(entry):
            raise ValueError(f"{name}: {problem}")
        if entry.file_size > MAX_UNPACKED:
            raise ValueError(f"{name} unpacks to more than {MAX_UNPACKED >> 30} GiB")
        with archive.open(entry) as member:
            shutil.copyfileobj(member, file, 1 << 20)
        file.seek(0)
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject or dtype.kind not in "iubf":
            raise ValueError(f"{name} holds no plain numbers")
        if not shape:
            raise ValueError(f"{name} is a single number")
        if 0 in shape:
            return np.empty(shape, dtype=dtype)
        return np.memmap(
            file, dtype=dtype, mode="r", offset=file.tell(), shape=shape, order="F" if fortran else "C"
        )
