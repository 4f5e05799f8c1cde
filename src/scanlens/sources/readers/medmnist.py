"""MedMNIST ``.npz`` files: arrays ``train_images`` ... ``test_labels`` with the official split.

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
import pandas as pd

from scanlens.config.schema import Data
from scanlens.errors import SettingsError, UnreadableScan
from scanlens.sources.listing.columns import empty_listing
from scanlens.sources.readers.archive import DAMAGED, MAX_UNPACKED, packing_problem, stamp
from scanlens.types import SPLITS, Scan

_COLOURS = 3
# What zipfile, and numpy on an array's header, raise on files that are damaged or made to harm.
_UNUSABLE = (*DAMAGED, OSError, RuntimeError, TypeError, OverflowError, SyntaxError, tokenize.TokenError)


def read_npz_row(path: Path, split: str, row: int, reference: str, *, dims: int, max_pixels: int) -> Scan:
    """Read one image (1 or 3, height, width) or volume (1, depth, height, width) in 0-255.

    Raises:
        UnreadableScan: There is no such row, its array holds no pixels, or it is of the other ``dims``.
    """
    values = row_values(path, split, row, reference)
    colour = values.ndim == dims + 1 and values.shape[-1] == _COLOURS
    if values.ndim != dims and not colour:
        other = 5 - dims
        raise UnreadableScan(reference, f"other dimensions: {values.shape}; set data.dims={other}")
    if values.size > max_pixels * (_COLOURS if colour else 1):
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
        images = _mapped(path, f"{split}_images", *stamp(path))
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
            count = len(_mapped(path, f"{split}_images", *stamp(path)))
            references += [f"{path.name}#{split}/{row}" for row in range(count)]
    except _UNUSABLE as error:
        raise UnreadableScan(path.name, f"not a MedMNIST file ({type(error).__name__})") from error
    if not references:
        raise UnreadableScan(path.name, "the file holds no train_images, val_images or test_images")
    return references


def list_npz(data: Data, root: Path) -> pd.DataFrame:
    """List every row of a MedMNIST file with its official split.

    Classes are called ``"0"``, ``"1"``... unless ``data.labels`` gives their names in order.

    Raises:
        SettingsError: The file is no such archive, a split's arrays disagree, or a class has no name.
    """
    path = npz_file(data, root)
    parts = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
        for split in SPLITS:
            if f"{split}_images.npy" not in members:
                continue
            parts.append(_list_split(data, path, split))
    except _UNUSABLE as error:
        raise SettingsError(
            f"{path} is not a MedMNIST file ({type(error).__name__}).",
            "It must be an .npz with train_images, train_labels, val_images ... test_labels.",
        ) from error
    if not parts:
        raise SettingsError(
            f"{path} holds no train_images, val_images or test_images; only: {', '.join(sorted(members))}.",
            "Set data.root to a MedMNIST .npz file.",
        )
    return pd.concat(parts, ignore_index=True)


def _list_split(data: Data, path: Path, split: str) -> pd.DataFrame:
    images = _mapped(path, f"{split}_images", *stamp(path))
    labels = _mapped(path, f"{split}_labels", *stamp(path))
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise SettingsError(
            f"{path}: {split}_labels gives {labels.shape[1]} labels a scan; one class a scan is expected.",
            "Choose a binary or multiclass MedMNIST file.",
        )
    classes = labels.reshape(-1)
    if len(classes) != len(images) or classes.dtype.kind not in "iub":
        raise SettingsError(
            f"{path}: {len(classes)} {classes.dtype} {split}_labels do not fit {len(images)} {split}_images.",
            "Fetch the file again.",
        )
    if images.ndim - 1 not in (data.dims, data.dims + 1) or (
        images.ndim - 1 == data.dims + 1 and images.shape[-1] != _COLOURS
    ):
        raise SettingsError(
            f"{path}: {split}_images has shape {images.shape}, which is not {data.dims}-dimensional.",
            f"Set data.dims={5 - data.dims}.",
        )
    listing = empty_listing(len(images))
    listing["path"] = [f"{path.name}#{split}/{row}" for row in range(len(images))]
    listing["label"] = [_class_name(data, path, split, row, int(value)) for row, value in enumerate(classes)]
    listing["split"] = split
    return listing


def _class_name(data: Data, path: Path, split: str, row: int, value: int) -> str:
    if data.labels is None:
        return str(value)
    if not 0 <= value < len(data.labels):
        raise SettingsError(
            f"{path.name} row {split}/{row}: class {value} has no name; data.labels has {len(data.labels)}: "
            f"{', '.join(data.labels)}.",
            "Name every class in data.labels, in order, or set it to null.",
        )
    return data.labels[value]


def npz_file(data: Data, root: Path) -> Path:
    """Return the ``.npz`` file the settings mean: the root, ``data.table`` in it, or the only one there.

    Raises:
        SettingsError: There is none, or there are several.
    """
    if root.is_file():
        return root
    found = sorted(path.name for path in root.glob("*.npz"))
    if data.table and (root / data.table).is_file():
        return root / data.table
    if data.table is None and len(found) == 1:
        return root / found[0]
    raise SettingsError(
        f"{root} is a folder with {len(found)} .npz files: {', '.join(found) or 'none'}.",
        "Set data.root to the MedMNIST .npz file itself.",
    )


@lru_cache(maxsize=3)
def _mapped(path: Path, name: str, modified_ns: int, size: int) -> npt.NDArray[np.generic]:
    """Unpack one array of the archive into an unnamed temporary file and map it read-only.

    ``modified_ns`` and ``size`` belong to the cache's key: an altered file is opened anew.

    Raises:
        KeyError: There is no such array.
        ValueError: It holds Python objects or a single number, its header does not fit its bytes, or it may
            not be unpacked.
        Exception: One of :data:`_UNUSABLE`.
    """
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
