"""Reading one scan, whatever its file is called: the first bytes decide which reader takes it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from scanlens.errors import ScanlensError, UnreadableScan
from scanlens.sources.content import Content, opened, refuse_other_dims
from scanlens.sources.readers.archive import is_archive
from scanlens.sources.readers.dicom import read_dicom
from scanlens.sources.readers.dicom_file import is_dicom
from scanlens.sources.readers.itk import is_itk, read_itk
from scanlens.sources.readers.medmnist import read_npz_row, row_values
from scanlens.sources.readers.nifti import is_nifti, read_nifti
from scanlens.sources.readers.quiet import quiet
from scanlens.sources.readers.raster import is_raster, read_raster
from scanlens.sources.readers.reasons import reason_of
from scanlens.sources.readers.series import read_series
from scanlens.types import Scan

_HEAD_BYTES = 4096
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_FORMAT = 31  # zlib's window bits for a gzip header with the largest window
_DICOM_MAGIC = b"DICM"
_DICOM_MAGIC_AT = 128


def read_scan(
    root: Path, reference: str, *, dims: int, max_pixels: int, sha256: str | None = None, mask: bool = False
) -> Scan:
    """Read one scan below the data root.

    Args:
        root: The data root: a folder, or a MedMNIST ``.npz`` file.
        reference: Any of :mod:`scanlens.reference`, or an alias.
        dims: 2 for images, 3 for volumes.
        max_pixels: Files whose header declares more pixels (all frames together) are refused unread.
        sha256: What :func:`content_sha256` said of it, or None: other content is refused undecoded.
        mask: Whether a mask is read: DICOM segmentation objects are masks, and no scans.

    Returns:
        The scan as :class:`scanlens.types.Scan` says; one channel where all channels are equal.

    Raises:
        UnreadableScan: The file is absent, empty, no image, damaged, too large, of the other ``dims``,
            holds values that are not finite, or has changed. The reason quotes nothing of the file.
        SettingsError: The reference is an alias and its book is missing.
    """
    with _reasons(reference), opened(root, reference) as content:
        if sha256 is not None and _content_sum(content, reference) != sha256:
            raise UnreadableScan(reference, "changed: its content is another than in the manifest")
        return _decoded(content, reference, dims, max_pixels, mask=mask)


def read_with_sum(root: Path, reference: str, *, dims: int, max_pixels: int) -> tuple[Scan, str]:
    """Read one scan and the sum of the very content it was read from.

    The sum comes second: a sparse file of terabytes is refused by its header, not hashed.

    Args:
        root: As for :func:`read_scan`, like the other arguments.
        reference: Which scan.
        dims: 2 or 3.
        max_pixels: The most that a header may declare.

    Returns:
        What :func:`read_scan` and :func:`content_sha256` return.

    Raises:
        UnreadableScan: As :func:`read_scan`, and where a file changes meanwhile.
        SettingsError: The reference is an alias and its book is missing.
    """
    with _reasons(reference), opened(root, reference) as content:
        before = _states(content)
        scan = _decoded(content, reference, dims, max_pixels)
        found = _content_sum(content, reference)
        if _states(content) != before:
            raise UnreadableScan(reference, "changed while it was read")
        return scan, found


def content_sha256(root: Path, reference: str) -> str:
    """Return the SHA-256 of a scan's content, wherever it lies.

    Of a file its bytes; of a MedMNIST row its array's bytes; of a series the files' sums, sorted, so that
    neither names nor order count; of a frame the file's sum and the frame's number.

    Raises:
        UnreadableScan: The file is absent, outside the root or cannot be read.
        SettingsError: The reference is an alias and its book is missing.
    """
    with _reasons(reference), opened(root, reference) as content:
        return _content_sum(content, reference)


def _decoded(content: Content, reference: str, dims: int, max_pixels: int, *, mask: bool = False) -> Scan:
    refuse_other_dims(content, reference, dims)
    if content.is_series:
        scan = read_series(
            content.files,
            reference,
            max_pixels=max_pixels,
            called=content.called,
            damaged=content.damaged,
        )
    else:
        scan = _read_file(content, reference, dims=dims, max_pixels=max_pixels, mask=mask)
    return _checked(scan, reference)


def _states(content: Content) -> list[tuple[int, int]]:
    """Return when each file was last written (nanoseconds) and its bytes."""
    found = [path.stat() for path in content.files]
    return [(state.st_mtime_ns, state.st_size) for state in found]


def _content_sum(content: Content, reference: str) -> str:
    parts = content.reference
    if parts.row is not None:
        values = row_values(content.files[0], parts.split, parts.row, reference)
        return hashlib.sha256(values.tobytes()).hexdigest()
    sums = sorted(_file_sha256(path) for path in content.files)
    if parts.frame is not None:
        sums.append(f"frame {parts.frame}")
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode("ascii")).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _reasons(reference: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a reason.

    Decoders raise dozens of exception types on damaged files, and their messages may quote patient data:
    this is the one place that catches all of them, and only the type's name goes on.
    """
    try:
        with quiet():
            yield
    except ScanlensError:
        raise
    except Exception as error:
        raise UnreadableScan(reference, reason_of(error)) from error


def _read_file(content: Content, reference: str, *, dims: int, max_pixels: int, mask: bool) -> Scan:
    path, parts = content.files[0], content.reference
    if parts.row is not None:
        return read_npz_row(path, parts.split, parts.row, reference, dims=dims, max_pixels=max_pixels)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise UnreadableScan(reference, "empty file")
    if parts.frame is not None and not is_dicom(head):
        raise UnreadableScan(reference, "only DICOM files have numbered frames")
    # Before all others: its preamble may be another format's beginning, often TIFF's.
    if head[_DICOM_MAGIC_AT:].startswith(_DICOM_MAGIC):
        return read_dicom(path, reference, dims=dims, max_pixels=max_pixels, frame=parts.frame, mask=mask)
    if is_nifti(_unzipped(head)):
        return read_nifti(path, reference, dims=dims, max_pixels=max_pixels)
    if is_raster(head):
        return read_raster(path, reference, dims=dims, max_pixels=max_pixels)
    if is_itk(head):
        return read_itk(path, reference, dims=dims, max_pixels=max_pixels)
    if is_archive(head):
        raise UnreadableScan(reference, "an archive, not an image: unpack it, or name what lies in it")
    if is_dicom(head):  # without a preamble; the reader asks for pixel data
        return read_dicom(path, reference, dims=dims, max_pixels=max_pixels, frame=parts.frame, mask=mask)
    raise UnreadableScan(reference, "not an image this scanlens reads")


def _unzipped(head: bytes) -> bytes:
    if not head.startswith(_GZIP_MAGIC):
        return head
    return zlib.decompressobj(_GZIP_FORMAT).decompress(head, _HEAD_BYTES)


def _checked(scan: Scan, reference: str) -> Scan:
    pixels = scan.pixels
    if 0 in pixels.shape:
        raise UnreadableScan(reference, f"a side is zero: {pixels.shape[1:]}")
    if not np.isfinite(pixels).all():
        raise UnreadableScan(reference, "pixel values are not all finite (NaN or infinity)")
    if pixels.shape[0] == 3 and (pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all():
        return replace(scan, pixels=pixels[:1].copy())
    return scan
