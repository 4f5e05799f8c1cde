"""The words a report groups files by."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless

from scanlens.manifest.file_class import file_class
from scanlens.types import Scan

IMAGE, VOLUME = np.zeros((1, 4, 4), np.float32), np.zeros((1, 2, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("head", "scan", "words"),
    [
        (b"\x89PNG\r\n", Scan(IMAGE, photometric="L"), "PNG, grey, 8 bit"),
        (b"\xff\xd8\xff\xe0", Scan(IMAGE, photometric="RGB"), "JPEG, RGB, 8 bit"),
        (b"II*\0", Scan(IMAGE, photometric="I;16", bits=16), "TIFF, grey, 16 bit"),
        (b"NRRD0004\n", Scan(VOLUME, bits=16), "NRRD, 16 bit, volume"),
        (b"ObjectType = Image\nNDims = 3\n", Scan(VOLUME, bits=16), "MetaImage, 16 bit, volume"),
        (b"\x1f\x8b\x08", Scan(VOLUME, bits=32), "NIfTI, 32 bit, volume"),
    ],
    ids=["png", "jpeg", "tiff", "nrrd", "metaimage", "nifti"],
)
def test_formats_colours_bits_and_volumes(head: bytes, scan: Scan, words: str) -> None:
    assert file_class(head, scan) == words


def test_dicom_says_its_coding() -> None:
    header = {"TransferSyntaxUID": JPEG2000Lossless}
    scan = Scan(IMAGE, photometric="MONOCHROME2", bits=16, header=header)
    words = file_class(b"\0" * 132, scan)
    assert words.startswith("DICOM, JPEG 2000")
    assert words.endswith("MONOCHROME2, 16 bit")
    assert "Image Compression" not in words
