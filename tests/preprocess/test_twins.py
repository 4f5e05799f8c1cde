"""A scan's input is that of the same values stored otherwise: in 16 bits, rescaled, signed, with padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from pydicom.sequence import Sequence

from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.sources.read import read_scan
from scanlens.types import Scan
from tests.helpers.dicom import dataset, item, save

SIDE = 32
VALUES = np.clip(
    np.add.outer(np.arange(SIDE) * 4.0, np.arange(SIDE) * 3.0)
    + np.random.default_rng(0).integers(0, 20, (SIDE, SIDE)),
    0,
    240,
).astype(np.uint8)
"""Whole numbers of 8 bits that use most of the range."""


def made_of(scan: Scan, dims: int = 2) -> np.ndarray:
    """What the network gets before it is standardised."""
    size = (SIDE, SIDE) if dims == 2 else (2, SIDE, SIDE)
    return Preprocessor(size, 1, "pad", "auto", (0.5, 99.5), None, dims).apply(scan)


def dicom(folder: Path, stored: np.ndarray, name: str, **tags: Any) -> np.ndarray:
    tags = {"Modality": "OT", "BitsAllocated": stored.dtype.itemsize * 8, **tags}
    path = save(folder, dataset(stored, **tags), name)
    return made_of(read_scan(folder, path.name, dims=2, max_pixels=10**6))


def nifti(folder: Path, stored: np.ndarray, name: str, slope: float = 1.0, inter: float = 0.0) -> np.ndarray:
    image = nib.Nifti1Image(np.stack([stored.T, stored.T], axis=2), np.diag([1.0, 1.0, 2.0, 1.0]))
    image.header.set_slope_inter(slope, inter)
    nib.save(image, folder / name)
    return made_of(read_scan(folder, name, dims=3, max_pixels=10**6), 3)


SIGNED = (VALUES.astype(np.int16) - 120).astype(np.int8)


@pytest.mark.parametrize(
    ("stored", "tags"),
    [
        (VALUES, {"RescaleSlope": 0.01, "RescaleIntercept": 0}),
        (VALUES, {"RescaleSlope": 16, "RescaleIntercept": -100}),
        (VALUES, {"RescaleIntercept": -100}),
        (VALUES, {"RescaleSlope": "", "RescaleIntercept": 5}),
        (SIGNED, {"PixelRepresentation": 1}),
    ],
    ids=["slope", "pair", "half a pair", "empty slope", "signed"],
)
def test_eight_bits_of_dicom_are_like_sixteen(
    tmp_path: Path, stored: np.ndarray, tags: dict[str, Any]
) -> None:
    eight = dicom(tmp_path, stored, "8.dcm", BitsStored=8, HighBit=7, **tags)
    sixteen = dicom(
        tmp_path, stored.astype(f"{stored.dtype.kind}2"), "16.dcm", BitsStored=16, HighBit=15, **tags
    )
    np.testing.assert_allclose(eight, sixteen, atol=1e-6)
    assert np.ptp(eight) > 0.9


def test_a_modality_lut_makes_the_range_another(tmp_path: Path) -> None:
    lut = item(LUTDescriptor=[256, 0, 16], ModalityLUTType="US")
    lut.add_new("LUTData", "US", (np.arange(256) * 40).tolist())
    tags = {"ModalityLUTSequence": Sequence([lut])}
    assert np.ptp(dicom(tmp_path, VALUES, "8.dcm", BitsStored=8, HighBit=7, **tags)) > 0.9
    assert (dicom(tmp_path, VALUES, "8.dcm", BitsStored=8, HighBit=7, **tags) == 1).mean() < 0.1


def test_unscaled_unsigned_bytes_keep_their_range(tmp_path: Path) -> None:
    dim = (VALUES // 4).astype(np.uint8)
    assert dicom(tmp_path, dim, "8.dcm", BitsStored=8, HighBit=7).max() == pytest.approx(int(dim.max()) / 255)
    assert nifti(tmp_path, dim, "8.nii").max() == pytest.approx(int(dim.max()) / 255, abs=0.01)


@pytest.mark.parametrize(
    ("stored", "slope", "inter"),
    [(VALUES, 0.004, 0.0), (VALUES, 15.0, -7.0), (VALUES, 1.0, -100.0), (SIGNED, 1.0, 0.0)],
    ids=["slope", "pair", "inter", "signed"],
)
def test_eight_bits_of_nifti_are_like_sixteen(
    tmp_path: Path, stored: np.ndarray, slope: float, inter: float
) -> None:
    eight = nifti(tmp_path, stored, "8.nii.gz", slope, inter)
    sixteen = nifti(tmp_path, stored.astype(f"{stored.dtype.kind}2"), "16.nii.gz", slope, inter)
    np.testing.assert_allclose(eight, sixteen, atol=1e-6)
    assert np.ptp(eight) > 0.9


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_signed_bytes_of_other_formats_too(tmp_path: Path, ending: str) -> None:
    volumes = [np.stack([SIGNED.astype(kind)] * 2) for kind in (np.int8, np.int16)]
    seen = []
    for number, volume in enumerate(volumes):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(volume), str(tmp_path / f"{number}.{ending}"))
        seen.append(made_of(read_scan(tmp_path, f"{number}.{ending}", dims=3, max_pixels=10**6), 3))
    np.testing.assert_allclose(*seen, atol=1e-6)
    assert np.ptp(seen[0]) > 0.9


FRAME = np.ones((SIDE, SIDE), bool)
FRAME[8:-4, 3:-3] = False
"""Where nothing was imaged."""


@pytest.mark.parametrize("modality", ["MR", "MG", "DX", "OT", "US"])
@pytest.mark.parametrize(
    ("padding", "tags"),
    [
        (-32768, {}),
        (32767, {}),
        (-20000, {"PixelPaddingRangeLimit": -20010}),
    ],
    ids=["lowest", "highest", "range"],
)
def test_padding_enters_no_statistic_and_is_background(
    tmp_path: Path, modality: str, padding: int, tags: dict[str, Any]
) -> None:
    stored = VALUES.astype(np.int16) + 500
    inside = Scan(stored[None].astype(np.float32)[:, 8:-4, 3:-3], modality=modality, bits=16)
    window = Preprocessor((SIDE - 12, SIDE - 6), 1, "pad", "auto", (0.5, 99.5), None, 2).apply(inside)
    stored[FRAME] = padding
    if tags:
        stored[0] = -20010
    seen = dicom(
        tmp_path, stored, "a.dcm", Modality=modality, PixelRepresentation=1, BitsStored=16, HighBit=15,
        PixelPaddingValue=padding, **tags,
    )  # fmt: skip
    assert (seen[0][FRAME] == 0).all()
    np.testing.assert_allclose(seen[:, 8:-4, 3:-3], window, atol=2e-3)


def test_padding_of_an_inverted_radiograph_is_dark_too(tmp_path: Path) -> None:
    stored = VALUES.astype(np.uint16) * 16
    stored[FRAME] = 0  # white on the film
    seen = dicom(
        tmp_path, stored, "a.dcm", Modality="DX", PhotometricInterpretation="MONOCHROME1",
        BitsStored=12, HighBit=11, PixelPaddingValue=0,
    )  # fmt: skip
    assert (seen[0][FRAME] == 0).all()
    assert np.corrcoef(seen[0][~FRAME], -VALUES[~FRAME].astype(float))[0, 1] > 0.999


def test_padding_of_a_ct_is_never_brighter_than_air(tmp_path: Path) -> None:
    stored = VALUES.astype(np.int16)  # all of it tissue
    stored[FRAME] = -2000
    tags = {"Modality": "CT", "PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
    path = save(tmp_path, dataset(stored, BitsAllocated=16, PixelPaddingValue=-2000, **tags), "low.dcm")
    assert read_scan(tmp_path, path.name, dims=2, max_pixels=10**6).pixels.min() == -2000
    stored[FRAME] = 30000
    path = save(tmp_path, dataset(stored, BitsAllocated=16, PixelPaddingValue=30000, **tags), "high.dcm")
    scan = read_scan(tmp_path, path.name, dims=2, max_pixels=10**6)
    assert (made_of(scan)[0][FRAME] == 0).all()


def test_padding_written_with_the_other_sign(tmp_path: Path) -> None:
    stored = VALUES.astype(np.int16)
    stored[FRAME] = -2000
    made = dataset(stored, BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=1)
    made.add_new("PixelPaddingValue", "US", 63536)
    path = save(tmp_path, made, "a.dcm")
    scan = read_scan(tmp_path, path.name, dims=2, max_pixels=10**6)
    assert scan.padding is not None
    assert np.array_equal(scan.padding, FRAME)


def test_a_voi_lut_that_inverts_turns_the_picture_as_viewers_show_it(tmp_path: Path) -> None:
    lut = item(LUTDescriptor=[4096, 0, 12])
    lut.add_new("LUTData", "US", np.arange(4095, -1, -1).tolist())
    stored = VALUES.astype(np.uint16) * 16
    tags = {"Modality": "DX", "BitsStored": 12, "HighBit": 11, "VOILUTSequence": Sequence([lut])}
    seen = dicom(tmp_path, stored, "a.dcm", **tags)
    assert np.corrcoef(seen.ravel(), -VALUES.ravel().astype(float))[0, 1] > 0.999
    double = dicom(tmp_path, stored, "b.dcm", PhotometricInterpretation="MONOCHROME1", **tags)
    assert np.corrcoef(double.ravel(), VALUES.ravel().astype(float))[0, 1] > 0.999


def test_emission_scans_of_both_modalities_begin_at_zero(tmp_path: Path) -> None:
    stored = VALUES.astype(np.uint16) + 1000
    tags = {"BitsStored": 16, "HighBit": 15}
    nuclear, positron = (dicom(tmp_path, stored, f"{m}.dcm", Modality=m, **tags) for m in ("NM", "PT"))
    np.testing.assert_array_equal(nuclear, positron)
    assert nuclear.min() > 0.5
