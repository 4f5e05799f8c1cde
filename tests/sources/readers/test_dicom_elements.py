"""What a DICOM file leaves out is filled in where it is certain, and named where it is not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from scanlens.errors import UnreadableScan
from scanlens.sources.read import read_scan
from scanlens.sources.readers.reasons import reason_of
from scanlens.types import Scan
from tests.helpers.dicom import STORED, dataset, save

FRAMES = np.arange(4 * 5 * 7, dtype=np.uint16).reshape(4, 5, 7)
RGB = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
COLOUR = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0} | {
    "NumberOfFrames": None,
    "Rows": 6,
    "Columns": 6,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
}


def read(path: Path, dims: int = 2) -> Scan:
    return read_scan(path.parent, path.name, dims=dims, max_pixels=10**6)


@pytest.mark.parametrize(
    "tags",
    [
        {"SamplesPerPixel": None},
        {"BitsStored": None},
        {"HighBit": None},
        {"PhotometricInterpretation": "monochrome2"},
        {"NumberOfFrames": 0},
        {"NumberOfFrames": ""},
    ],
)
def test_what_is_certain_is_filled_in(tmp_path: Path, tags: dict[str, object]) -> None:
    scan = read(save(tmp_path, dataset(**tags)))
    np.testing.assert_array_equal(scan.pixels[0], STORED)
    assert (scan.photometric, scan.bits) == ("MONOCHROME2", 12)


@pytest.mark.parametrize("missing", ["SamplesPerPixel", "PixelRepresentation"])
def test_colour_is_unsigned_and_has_three_samples(tmp_path: Path, missing: str) -> None:
    scan = read(save(tmp_path, dataset(RGB, **(COLOUR | {missing: None}))))
    np.testing.assert_array_equal(scan.pixels, RGB.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("tags", "missing"),
    [
        ({"Rows": None}, "Rows"),
        ({"PhotometricInterpretation": None}, "PhotometricInterpretation"),
        ({"PixelRepresentation": None}, "PixelRepresentation"),
        ({"BitsAllocated": None}, "BitsAllocated"),
        ({"BitsStored": None, "HighBit": None}, "BitsStored"),
    ],
)
def test_what_is_not_certain_is_named(tmp_path: Path, tags: dict[str, object], missing: str) -> None:
    with pytest.raises(UnreadableScan, match=f": {missing} is missing"):
        read(save(tmp_path, dataset(**tags)))


def test_the_order_of_colours_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableScan, match="PlanarConfiguration is missing"):
        read(save(tmp_path, dataset(RGB, **(COLOUR | {"PlanarConfiguration": None}))))


@pytest.mark.parametrize("declared", [None, 0])
def test_undeclared_frames_are_all_there(tmp_path: Path, declared: int | None) -> None:
    path = save(tmp_path, dataset(FRAMES, NumberOfFrames=declared))
    np.testing.assert_array_equal(read(path, 3).pixels[0], FRAMES)
    np.testing.assert_array_equal(read(path).pixels[0], FRAMES[2])


@pytest.mark.parametrize("has_bot", [True, False])
def test_undeclared_compressed_frames_are_all_there(tmp_path: Path, has_bot: bool) -> None:
    frames = []
    for value in (40, 120, 200):
        stream = io.BytesIO()
        Image.new("L", (8, 8), value).save(stream, format="JPEG")
        frames.append(stream.getvalue())
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "Rows": 8, "Columns": 8}
    made = dataset(np.zeros((8, 8), np.uint8), JPEGBaseline8Bit, **bits)
    made.PixelData = encapsulate(frames, has_bot=has_bot)
    made["PixelData"].VR = "OB"
    pixels = read(save(tmp_path, made), 3).pixels
    assert pixels.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(pixels[0].mean(axis=(1, 2)), [40, 120, 200], atol=1)


@pytest.mark.parametrize(
    ("stored", "tags", "reason"),
    [
        (
            FRAMES[:, :, :6],
            {"NumberOfFrames": None, "Columns": 7},
            "missing, and its pixel data hold 3.43 frames",
        ),
        (FRAMES, {"NumberOfFrames": 1}, "NumberOfFrames is 1, but its pixel data hold 4 frames"),
        (FRAMES, {"NumberOfFrames": 6}, "truncated: 280 of 420 bytes"),
    ],
)
def test_frames_and_bytes_that_disagree(
    tmp_path: Path, stored: np.ndarray, tags: dict[str, object], reason: str
) -> None:
    path = save(tmp_path, dataset(stored, **tags))
    for dims in (2, 3):
        with pytest.raises(UnreadableScan, match=reason):
            read(path, dims)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            AttributeError("The dataset has no (0028,0103) 'Pixel Representation' element"),
            "PixelRepresentation is missing",
        ),
        (AttributeError("'FileDataset' object has no attribute 'BitsStored'"), "BitsStored is missing"),
        (AttributeError("'Doe^Jane' object has no attribute 'x'"), "truncated or corrupt (AttributeError)"),
    ],
)
def test_a_missing_element_is_named_and_nothing_is_quoted(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
