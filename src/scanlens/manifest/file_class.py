"""What kind of file a scan came in, in the words a report groups by."""

from __future__ import annotations

import re

from pydicom.uid import UID

from scanlens.sources.readers.itk import is_itk
from scanlens.sources.readers.nifti import is_nifti
from scanlens.types import Scan

_MAGIC = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II": "TIFF",
    b"MM": "TIFF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"NRRD": "NRRD",
    b"PK": "NumPy archive",
}
_GZIP = b"\x1f\x8b"
_SYNTAX = "TransferSyntaxUID"
_LONGWINDED = re.compile(r",? (Non-Hierarchical.*|Image Compression)")
_MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with alpha",
    "P": "palette",
    "RGBA": "RGB with alpha",
    "I": "grey",
    "F": "grey",
    "I;16": "grey",
    "I;16B": "grey",
}
"""Pillow's names of colour models."""


def file_class(head: bytes, scan: Scan) -> str:
    """Return the format, coding, photometric interpretation and bits of a scan that could be read.

    Args:
        head: The first bytes of its file.
        scan: What was read from it.

    Returns:
        For example ``DICOM, JPEG 2000, MONOCHROME2, 16 bit``.
    """
    if _SYNTAX in scan.header:
        form = ["DICOM", _LONGWINDED.sub("", UID(scan.header[_SYNTAX]).name)]
    elif is_nifti(head) or head.startswith(_GZIP):
        form = ["NIfTI"]
    elif head.startswith(b"NRRD") or not is_itk(head):
        form = [next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "DICOM")]
    else:
        form = ["MetaImage"]
    volume = ["volume"] if scan.pixels.ndim == 4 else []
    return ", ".join(
        [*form, *filter(None, [_MODES.get(scan.photometric, scan.photometric)]), f"{scan.bits} bit", *volume]
    )
