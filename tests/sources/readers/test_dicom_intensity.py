"""Grey values of DICOM files are those behind their scale, whatever the bits; padding is nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pydicom.pixels import apply_voi_lut
from pydicom.sequence import Sequence

from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.sources.read import read_scan
from scanlens.sources.readers.dicom import decode
from scanlens.types import Scan
from tests.helpers.dicom import STORED, dataset, enhanced, item, save

AUTO = Preprocessor((16, 16), 1, "pad", "auto", (0.5, 99.5), None, 2)
BYTES = np.random.default_rng(2).integers(10, 120, (16, 16)).astype(np.uint8)
IN_BYTES = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
IN_WORDS = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}


def read(path: Path, dims: int = 2) -> Scan:
    return read_scan(path.parent, path.name, dims=dims, max_pixels=10**7)


def modality_lut() -> Sequence:
    lut = item(LUTDescriptor=[256, 0, 16], ModalityLUTType="US")
    lut.add_new("LUTData", "US", [3 * number for number in range(256)])
    return Sequence([lut])


@pytest.mark.parametrize("modality", ["OT", "US", "DX", "MR", "PT"])
@pytest.mark.parametrize(
    ("stored", "tags"),
    [
        (BYTES, {"RescaleSlope": "0.01", "RescaleIntercept": "0"}),
        (BYTES, {"RescaleSlope": "16", "RescaleIntercept": "-100"}),
        (BYTES, {"RescaleIntercept": "-100"}),
        (BYTES, {"ModalityLUTSequence": modality_lut()}),
        ((BYTES.astype(int) - 90).astype(np.int8), {"PixelRepresentation": 1}),
    ],
    ids=["fraction", "larger", "intercept", "lut", "signed"],
)
def test_scaled_or_signed_bytes_give_what_their_twin_of_16_bits_gives(
    tmp_path: Path, stored: np.ndarray, tags: dict[str, object], modality: str
) -> None:
    tags = {"Modality": modality, **tags}
    found = AUTO.apply(read(save(tmp_path, dataset(stored, **IN_BYTES, **tags))))
    words = stored.astype(np.int16 if stored.dtype == np.int8 else np.uint16)
    twin = AUTO.apply(read(save(tmp_path, dataset(words, **IN_WORDS, **tags), "twin.dcm")))
    np.testing.assert_array_equal(found, twin)
    assert found.max() - found.min() > 0.5


@pytest.mark.parametrize("tags", [{}, {"RescaleSlope": 1, "RescaleIntercept": 0}, {"RescaleIntercept": ""}])
def test_plain_bytes_are_a_share_of_255(tmp_path: Path, tags: dict[str, object]) -> None:
    image = AUTO.apply(read(save(tmp_path, dataset(BYTES, Modality="OT", **IN_BYTES, **tags))))
    np.testing.assert_allclose(image[0], BYTES / 255, atol=1e-6)


def test_a_bit_is_black_or_white(tmp_path: Path) -> None:
    tags = {"Modality": "OT", **IN_BYTES, "BitsStored": 1, "HighBit": 0}
    image = AUTO.apply(read(save(tmp_path, dataset((BYTES > 60).astype(np.uint8), **tags))))
    np.testing.assert_allclose(image[0], BYTES > 60, atol=1e-5)


@pytest.mark.parametrize(
    ("tags", "slope", "intercept"),
    [
        ({"RescaleIntercept": -1024}, 1, -1024),
        ({"RescaleSlope": "", "RescaleIntercept": -1024}, 1, -1024),
        ({"RescaleSlope": 2}, 2, 0),
        ({"RescaleSlope": 2, "RescaleIntercept": ""}, 2, 0),
        ({"RescaleSlope": "", "RescaleIntercept": ""}, 1, 0),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_half_a_rescale_is_completed(
    tmp_path: Path, tags: dict[str, object], slope: float, intercept: float, photometric: str
) -> None:
    scan = read(save(tmp_path, dataset(PhotometricInterpretation=photometric, **tags)))
    shown = 4095 - STORED if photometric == "MONOCHROME1" else STORED
    np.testing.assert_array_equal(scan.pixels[0], shown * float(slope) + intercept)


def test_half_a_rescale_of_a_frame(tmp_path: Path) -> None:
    units = item(PixelValueTransformationSequence=Sequence([item(RescaleIntercept=-7)]))
    made = dataset(np.stack([STORED, STORED]), SharedFunctionalGroupsSequence=Sequence([units]))
    np.testing.assert_array_equal(read(save(tmp_path, made)).pixels[0], STORED - 7.0)


@pytest.mark.parametrize("modality", ["NM", "PT"])
def test_emission_starts_at_zero(tmp_path: Path, modality: str) -> None:
    scan = read(save(tmp_path, dataset(BYTES.astype(np.uint16) + 500, Modality=modality, **IN_WORDS)))
    assert scan.modality == modality
    assert AUTO.apply(scan).min() > 0.7


TISSUE = np.random.default_rng(5).integers(1000, 2000, (16, 16))
RIM = np.zeros((16, 16), bool)
RIM[:, :6] = True


def padded(tmp_path: Path, value: int, declared: int, name: str = "a.dcm", **tags: object) -> Scan:
    signed = value < 0
    stored = np.where(RIM, value, TISSUE).astype(np.int16 if signed else np.uint16)
    made = dataset(stored, **{**IN_WORDS, "PixelRepresentation": int(signed), **tags})
    made.add_new("PixelPaddingValue", "SS" if declared < 0 else "US", declared)
    return read(save(tmp_path, made, name))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("modality", ["MR", "MG", "OT", "DX", "NM", "CT"])
@pytest.mark.parametrize(
    ("value", "declared"), [(-32768, -32768), (65535, 65535), (0, 0), (-2000, 63536), (63536, -2000)]
)
def test_padding_is_background_and_in_no_statistic(
    tmp_path: Path, value: int, declared: int, modality: str, photometric: str
) -> None:
    tags = {"Modality": modality, "PhotometricInterpretation": photometric}
    if modality == "CT":
        tags |= {"RescaleSlope": 1, "RescaleIntercept": -1400}
    windowed = {"WindowCenter": 1500, "WindowWidth": 3000} if modality == "MG" else {}
    found = AUTO.apply(padded(tmp_path, value, declared, **tags, **windowed))[0]
    assert (found[RIM] == 0).all()
    # The tissue alone, as a scan of its own.
    signed = value < 0
    alone = TISSUE[:, 6:].astype(np.int16 if signed else np.uint16)
    made = dataset(alone, **IN_WORDS, **tags, **windowed, PixelRepresentation=int(signed))
    tissue = read(save(tmp_path, made, "alone.dcm"))
    narrow = dataclasses.replace(AUTO, size=(16, 10))
    np.testing.assert_array_equal(found[:, 6:], narrow.apply(tissue)[0])


def test_padding_is_background_in_every_window(tmp_path: Path) -> None:
    scan = padded(tmp_path, 65535, 65535, Modality="MR")
    split = dataclasses.replace(AUTO, channels=2, windows=((0.0, 3000.0), (500.0, 1500.0)))
    image = split.apply(scan)
    assert (image[:, RIM] == 0).all()
    assert (image[:, ~RIM] > 0.3).all()


def test_a_range_of_padding(tmp_path: Path) -> None:
    scan = padded(tmp_path, 60000, 59000, PixelPaddingRangeLimit=61000)
    np.testing.assert_array_equal(scan.padding, RIM)
    assert (scan.pixels[0, RIM] == TISSUE[~RIM].min()).all()


@pytest.mark.parametrize("declared", [7, 65535])
def test_no_or_nothing_but_padding_is_none(tmp_path: Path, declared: int) -> None:
    flat = np.full((16, 16), 65535, np.uint16)
    made = dataset(flat, PixelPaddingValue=declared, **IN_WORDS)
    scan = read(save(tmp_path, made))
    assert scan.padding is None
    assert (scan.pixels == 65535).all()


def test_padding_of_frames_is_turned_with_them(tmp_path: Path) -> None:
    frames = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5) + 100
    frames[2, 3, 4] = 4000
    made = enhanced(frames, [(0, 0, 10), (0, 0, 5), (0, 0, 0)], (1, 0, 0, 0, 1, 0))
    made.PixelPaddingValue = 4000
    scan = read(save(tmp_path, made), dims=3)
    assert scan.padding is not None
    assert scan.padding.shape == scan.pixels.shape[1:]
    assert np.argwhere(scan.padding).tolist() == [[0, 3, 4]]
    assert scan.pixels[0, 0, 3, 4] == 100


def voi_lut(*entries: int, first: int = 1000) -> Sequence:
    lut = item(LUTDescriptor=[len(entries), first, 16])
    lut.add_new("LUTData", "US", list(entries))
    return Sequence([lut])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("entries", [(0, 10, 20, 40), (40, 20, 10, 0)])
def test_a_voi_lut_decides_what_is_bright_as_viewers_show_it(
    tmp_path: Path, entries: tuple[int, ...], photometric: str
) -> None:
    stored = np.arange(1000, 1004, dtype=np.uint16).reshape(2, 2)
    made = dataset(
        stored, VOILUTSequence=voi_lut(*entries), Modality="DX", PhotometricInterpretation=photometric
    )
    scan = read(save(tmp_path, made))
    shown = apply_voi_lut(stored, made).astype(float)
    if photometric == "MONOCHROME1":
        shown = -shown
    np.testing.assert_array_equal(np.argsort(scan.pixels[0].ravel()), np.argsort(shown.ravel()))
    assert scan.window is not None
    assert scan.window[0] <= scan.pixels.min() < scan.pixels.max() <= scan.window[1]
    assert not scan.doubts


def test_hounsfield_units_stay_whatever_the_voi_lut() -> None:
    made = dataset(VOILUTSequence=voi_lut(40, 20, 0), Modality="CT", RescaleIntercept=-1024)
    assert decode(made, [0])[0][0, 0, 0, 0] == -1024


@pytest.mark.parametrize(
    ("photometric", "shape", "doubts"),
    [
        ("MONOCHROME2", "INVERSE", 1),
        ("MONOCHROME2", "IDENTITY", 0),
        ("MONOCHROME1", "INVERSE", 0),
        ("MONOCHROME1", "IDENTITY", 1),
    ],
)
def test_a_presentation_lut_that_contradicts_is_told(
    tmp_path: Path, photometric: str, shape: str, doubts: int
) -> None:
    made = dataset(PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    scan = read(save(tmp_path, made))
    assert [photometric in doubt and shape in doubt for doubt in scan.doubts] == [True] * doubts
    shown = 4095 - STORED if photometric == "MONOCHROME1" else STORED
    np.testing.assert_array_equal(scan.pixels[0], shown)


def test_a_window_beside_a_voi_lut_that_inverts_is_told(tmp_path: Path) -> None:
    made = dataset(VOILUTSequence=voi_lut(40, 20, 0), WindowCenter=1000, WindowWidth=500)
    assert len(read(save(tmp_path, made)).doubts) == 1
