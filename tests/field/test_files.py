"""Single files: what the network gets of them, or the reason for which it gets nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scanlens.errors import UnreadableScan
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.sources.read import read_scan
from scanlens.types import Scan

Case = Callable[[str], Path]
CHEST = (0.28, 0.32)
"""Mean of the cases' common picture in [0, 1] when all of its range is used."""


def read(folder: Path, name: str, dims: int = 2) -> Scan:
    (path,) = folder.glob(f"{name}*")
    return read_scan(folder, path.name, dims=dims, max_pixels=1 << 24)


def seen(scan: Scan) -> np.ndarray:
    dims = scan.pixels.ndim - 1
    return Preprocessor((32,) * dims, 1, "stretch", "auto", (0.5, 99.5), None, dims).apply(scan)


def test_eight_bits_that_are_scaled_or_signed_are_like_their_twin_of_sixteen(case: Case) -> None:
    twin = seen(read(case("01"), "b_", 3))
    for name in ("a_", "c_", "d_"):
        np.testing.assert_allclose(seen(read(case("01"), name, 3)), twin, atol=0.01)


@pytest.mark.parametrize("name", ["a_", "b_", "c_", "e_"])
def test_so_is_dicom(case: Case, name: str) -> None:
    assert CHEST[0] < seen(read(case("18"), name)).mean() < CHEST[1]


@pytest.mark.parametrize("name", ["a_", "b_", "c_"])
def test_spacing_is_of_the_affine(case: Case, name: str) -> None:
    assert read(case("03"), name, 3).spacing == pytest.approx((5.0, 0.5, 0.5))


def test_nifti_without_codes_and_with_a_rounded_quaternion(case: Case) -> None:
    assert read(case("05"), "a", 3).doubts
    assert read(case("06"), "a", 3).spacing == pytest.approx((2.0, 1.0, 1.0))


@pytest.mark.parametrize("name", ["a_", "e_", "f_"])
def test_padding_is_background(case: Case, name: str) -> None:
    whole, padded = seen(read(case("10"), "b_")), seen(read(case("10"), name))
    changed = padded == 0
    assert 0.4 < changed.mean() < 0.6
    np.testing.assert_allclose(padded[~changed], whole[~changed], atol=0.03)


def test_polarity(case: Case) -> None:
    assert seen(read(case("11"), "a_")).mean() < 0.4
    assert read(case("12"), "a_").doubts
    assert not read(case("12"), "b_").doubts + read(case("12"), "c_").doubts


@pytest.mark.parametrize(("name", "lowest"), [("a_", -1024), ("c_", -1024), ("d_", -1024), ("e_", 0)])
def test_half_a_rescale_is_completed(case: Case, name: str, lowest: int) -> None:
    assert read(case("17"), name).pixels.min() == lowest


def test_modality_nm(case: Case) -> None:
    scans = [read(case("19"), name) for name in ("a_", "b_")]
    assert [scan.modality for scan in scans] == ["NM", "PT"]
    np.testing.assert_array_equal(*map(seen, scans))


@pytest.mark.parametrize("name", ["a_", "b_", "c_", "d_", "e_", "f_", "g_"])
def test_rasters_of_more_bits_keep_them(case: Case, name: str) -> None:
    assert CHEST[0] < seen(read(case("74"), name)).mean() < CHEST[1]


@pytest.mark.parametrize(
    ("number", "name", "dims", "reason"),
    [
        ("15", "a_", 2, "PlanarConfiguration is missing"),
        ("15", "b_", 2, "PixelRepresentation is missing"),
        ("15", "d_", 2, "BitsStored is missing"),
        ("15", "e_", 2, "PhotometricInterpretation is missing"),
        ("34", "wsi", 2, "16 tiles of a whole-slide image"),
        ("35", "a_", 3, "several slices at one position"),
        ("35", "b_", 3, "differ in orientation"),
        ("75", "b_", 2, "holds 3 images"),
        ("75", "b_", 3, "holds 3 images"),
        ("75", "c_", 2, "holds 3 images"),
        ("77", "b_", 2, "its transfer syntax, .* is for uncompressed ones"),
    ],
)
def test_reasons(case: Case, number: str, name: str, dims: int, reason: str) -> None:
    with pytest.raises(UnreadableScan, match=reason):
        read(case(number), name, dims)


@pytest.mark.parametrize(
    ("number", "names"), [("15", ["c_", "f_", "g_"]), ("16", ["a_", "b_", "c_", "d_", "e_"])]
)
def test_what_is_certain_is_read(case: Case, number: str, names: list[str]) -> None:
    for name in names:
        assert np.ptp(read(case(number), name).pixels) > 0


def test_true_colours(case: Case) -> None:
    pictures = [read(case("16"), name).pixels for name in ("a_", "b_", "c_", "e_")]
    for picture in pictures[1:]:
        assert np.abs(picture - pictures[0]).mean() < 6


def test_proportions_of_pixels_that_are_no_squares(case: Case) -> None:
    scans = [read(case("13"), name) for name in ("a_", "b_")]
    made = [Preprocessor((32, 32), 1, "pad", "auto", (0.5, 99.5), None, 2).apply(scan) for scan in scans]
    np.testing.assert_allclose(*made, atol=0.02)


def test_frames(case: Case) -> None:
    assert read(case("14"), "a_").pixels.shape == read(case("14"), "b_").pixels.shape
    assert read(case("14"), "c_", 3).pixels.shape[1] == 4
