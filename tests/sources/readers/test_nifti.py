"""Volumes arrive as axial slices, nose up and the right hand on the left, however they were stored."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scanlens.errors import UnreadableScan
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.sources.read import read_scan
from scanlens.types import Scan

SIDES = (2.0, 3.0, 4.0)
RAS = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


def read(path: Path, *, dims: int = 3, max_pixels: int = 1000) -> Scan:
    return read_scan(path.parent, path.name, dims=dims, max_pixels=max_pixels)


def write(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(values, np.diag([*SIDES, 1.0]) if affine is None else affine), path)
    return path


def test_axes_and_spacing(tmp_path: Path) -> None:
    scan = read(write(tmp_path / "a.nii", RAS))
    assert scan.pixels.shape == (1, 5, 4, 3)
    assert scan.orientation == "SPL"
    assert scan.spacing == (4.0, 3.0, 2.0)
    assert scan.pixels[0, 0, 0, 0] == RAS[2, 3, 0]  # lowest slice, front, right: the top left of the picture
    assert scan.pixels[0, 4, 3, 2] == RAS[0, 0, 4]  # highest slice, back, left: the bottom right


@pytest.mark.parametrize("stored", ["RAS", "LPS", "SAR", "ASL", "PIR", "IRP", "LAI"])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_the_stored_axes_do_not_matter(tmp_path: Path, stored: str, ending: str) -> None:
    image = nib.Nifti1Image(RAS, np.diag([*SIDES, 1.0]))
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(stored)
        )
    )
    assert "".join(nib.aff2axcodes(turned.affine)) == stored
    nib.save(turned, tmp_path / f"turned.{ending}")
    scan = read(tmp_path / f"turned.{ending}")
    np.testing.assert_array_equal(scan.pixels, read(write(tmp_path / "a.nii", RAS)).pixels)
    assert scan.spacing == (4.0, 3.0, 2.0)


def test_the_ending_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", RAS).rename(tmp_path / "a.png")
    assert read(tmp_path / "a.png").pixels.shape == (1, 5, 4, 3)


def test_nifti_2_and_scaling(tmp_path: Path) -> None:
    image = nib.Nifti2Image(RAS, np.diag([*SIDES, 1.0]))
    image.header.set_slope_inter(2.0, -1000.0)
    image.header["cal_min"], image.header["cal_max"] = -50, 100
    nib.save(image, tmp_path / "a.nii")
    scan = read(tmp_path / "a.nii")
    reference = nib.load(tmp_path / "a.nii").get_fdata()
    np.testing.assert_allclose(scan.pixels[0], reference.transpose(2, 1, 0)[:, ::-1, ::-1])
    assert (scan.window, scan.bits, scan.photometric) == ((-50.0, 100.0), 16, "int16")


def test_micrometres_become_millimetres(tmp_path: Path) -> None:
    image = nib.Nifti1Image(RAS, np.diag([500.0, 500.0, 1000.0, 1.0]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    assert read(tmp_path / "a.nii").spacing == pytest.approx((1.0, 0.5, 0.5))


def test_one_slice_is_an_image_or_a_volume_of_depth_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", RAS[:, :, :1])
    image = read(path, dims=2)
    assert (image.pixels.shape, image.spacing, image.orientation) == ((1, 4, 3), (3.0, 2.0), "PL")
    assert read(path, dims=3).pixels.shape == (1, 1, 4, 3)


def test_sagittal_slice_keeps_its_own_axes(tmp_path: Path) -> None:
    image = read(write(tmp_path / "a.nii", RAS[:1]), dims=2)
    assert (image.pixels.shape, image.spacing, image.orientation) == ((1, 5, 4), (4.0, 3.0), "SP")


@pytest.mark.parametrize(
    ("values", "dims", "reason"),
    [
        (RAS, 2, r"set data\.dims=3"),
        (RAS[:, :, 0], 3, r"set data\.dims=2"),
        (np.stack([RAS, RAS], axis=-1), 3, "too many dimensions"),
        (np.zeros((11, 10, 10), np.int16), 3, "more than the 1000 allowed"),
        (RAS.astype(np.complex64), 3, "only real numbers"),
        (np.full((3, 3, 3), np.nan, np.float32), 3, "not all finite"),
        (np.full((3, 3, 3), 1e300), 3, "not all finite"),
    ],
)
def test_refused(tmp_path: Path, values: np.ndarray, dims: int, reason: str) -> None:
    with pytest.raises(UnreadableScan, match=reason):
        read(write(tmp_path / "a.nii", values), dims=dims)


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (slice(42, 44), b"\0\0", "a side is zero"),
        (slice(42, 48), b"\xff\x7f" * 3, "more than the 1000"),
        (slice(108, 112), np.float32(1e12).tobytes(), "absurd place"),
        (slice(108, 112), np.float32(np.nan).tobytes(), "absurd place"),
        (slice(344, 348), b"ni1\0", "without its data"),
    ],
)
def test_absurd_headers(tmp_path: Path, at: slice, value: bytes, reason: str) -> None:
    header = bytearray(write(tmp_path / "a.nii", RAS).read_bytes())
    header[at] = value
    (tmp_path / "a.nii").write_bytes(header)
    with pytest.raises(UnreadableScan, match=reason):
        read(tmp_path / "a.nii")


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_truncated(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 99, (9, 9, 9), dtype=np.int16)
    whole = write(tmp_path / f"a.{ending}", noise).read_bytes()
    for cut in (400, len(whole) // 2, len(whole) - 40):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(UnreadableScan, match="truncated"):
            read(tmp_path / "cut")


def test_a_flipped_bit_in_a_zipped_file(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 99, (20, 20, 20), dtype=np.int16)
    content = write(tmp_path / "a.nii", noise).read_bytes()
    packed = bytearray(gzip.compress(content, 0))  # stored blocks: nothing but the checksum tells
    (tmp_path / "whole").write_bytes(packed)
    np.testing.assert_array_equal(
        read(tmp_path / "whole", max_pixels=9999).pixels, read(tmp_path / "a.nii", max_pixels=9999).pixels
    )
    packed[-1000] ^= 0x40
    (tmp_path / "flipped").write_bytes(packed)
    with pytest.raises(UnreadableScan, match="its compressed voxels are damaged"):
        read(tmp_path / "flipped", max_pixels=9999)


def test_far_more_behind_the_voxels(tmp_path: Path) -> None:
    content = write(tmp_path / "a.nii", RAS).read_bytes()
    (tmp_path / "long").write_bytes(gzip.compress(content + bytes(65 << 20), 1))
    with pytest.raises(UnreadableScan, match="far more data"):
        read(tmp_path / "long")


def test_texts_of_the_header(tmp_path: Path) -> None:
    image = nib.Nifti1Image(RAS, np.eye(4))
    image.header["descrip"], image.header["db_name"] = b"Doe\xff", b"17"
    nib.save(image, tmp_path / "a.nii")
    assert read(tmp_path / "a.nii").header == {"nifti.descrip": "Doe\ufffd", "nifti.db_name": "17"}


def test_real_volumes_agree_with_nibabel(shared_data: Path) -> None:
    for path in sorted((shared_data / "hippocampus").glob("*.nii.gz"))[::15]:
        scan = read(path, max_pixels=10**6)
        closest = nib.as_closest_canonical(nib.load(path))
        np.testing.assert_allclose(
            scan.pixels[0], closest.get_fdata().transpose(2, 1, 0)[:, ::-1, ::-1], rtol=1e-6
        )
        assert scan.spacing == pytest.approx(tuple(closest.header.get_zooms()[::-1]))


VALUES = np.random.default_rng(3).integers(0, 120, (8, 8, 8))


def scaled(path: Path, dtype: str, slope: float, intercept: float, less: int = 0) -> Path:
    image = nib.Nifti1Image((VALUES - less).astype(dtype), np.diag([*SIDES, 1.0]))
    image.header.set_slope_inter(slope, intercept)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1"])
@pytest.mark.parametrize(("slope", "intercept"), [(0.01, 0), (16, -100), (1, -50), (1, 0)])
def test_scaled_or_signed_bytes_give_what_their_twin_of_16_bits_gives(
    tmp_path: Path, dtype: str, slope: float, intercept: float
) -> None:
    auto = Preprocessor((8, 8, 8), 1, "stretch", "auto", (0.5, 99.5), None, 3)
    less = 60 if dtype == "i1" else 0
    found = auto.apply(read(scaled(tmp_path / "a.nii", dtype, slope, intercept, less)))
    if (dtype, slope, intercept) == ("u1", 1, 0):
        assert found.max() == pytest.approx(VALUES.max() / 255)
    else:
        twin = read(scaled(tmp_path / "b.nii", "i2", slope, intercept, less))
        np.testing.assert_array_equal(found, auto.apply(twin))
        assert found.max() - found.min() > 0.9


def patched(path: Path, values: np.ndarray = RAS, affine: np.ndarray | None = None, **fields: object) -> Path:
    """Write a header's fields unmended; ``pixdim`` from its second on."""
    write(path, values, affine)
    raw = bytearray(path.read_bytes())
    header = np.ndarray((), nib.nifti1.header_dtype, raw)
    for name, value in fields.items():
        if name == "pixdim":
            header[name][1:4] = value
        else:
            header[name] = value
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("pixdim", [(1, 1, 1), (0, 0, 0), (-2, 3, 4), (2, 3, 4)])
def test_the_spacing_is_that_of_the_affine_in_use(tmp_path: Path, pixdim: tuple[float, ...]) -> None:
    scan = read(patched(tmp_path / "a.nii", pixdim=pixdim, qform_code=0))
    assert scan.spacing == (4.0, 3.0, 2.0)
    assert ["pixdim" in doubt for doubt in scan.doubts] == [True] * (pixdim != (2, 3, 4))


def test_the_spacing_of_a_turned_qform_is_exact(tmp_path: Path) -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    path = patched(tmp_path / "a.nii", affine=turn @ np.diag([0.7, 0.7, 1.3, 1]), sform_code=0, qform_code=1)
    scan = read(path)
    assert scan.spacing == (pytest.approx(1.3), pytest.approx(0.7), pytest.approx(0.7))
    assert scan.doubts == ()
    assert scan.spacing is not None
    assert scan.spacing[1] == scan.spacing[2] == float(np.float32(0.7))


def test_neither_code_is_told(tmp_path: Path) -> None:
    scan = read(patched(tmp_path / "a.nii", sform_code=0, qform_code=0))
    assert [("guess" in doubt) for doubt in scan.doubts] == [True]
    assert scan.spacing == (4.0, 3.0, 2.0)
    unknown = read(patched(tmp_path / "b.nii", sform_code=0, qform_code=0, pixdim=(2, 0, 4)))
    assert unknown.spacing is None
    assert len(unknown.doubts) == 2


def test_qform_and_sform_of_different_axes_are_told(tmp_path: Path) -> None:
    turned = {"qform_code": 1, "quatern_b": 1, "quatern_c": 0, "quatern_d": 0}
    scan = read(patched(tmp_path / "a.nii", **turned))
    assert [("sform" in doubt) for doubt in scan.doubts] == [True]
    np.testing.assert_array_equal(scan.pixels, read(write(tmp_path / "b.nii", RAS)).pixels)


def test_a_quaternion_longer_by_rounding_is_read(tmp_path: Path) -> None:
    turned = {"sform_code": 0, "qform_code": 1, "quatern_c": 0, "quatern_d": 0}
    scan = read(patched(tmp_path / "a.nii", **turned, quatern_b=1.0002))
    exact = read(patched(tmp_path / "b.nii", **turned, quatern_b=1.0))
    np.testing.assert_array_equal(scan.pixels, exact.pixels)
    assert scan.affine == pytest.approx(exact.affine)
    with pytest.raises(UnreadableScan, match=r"a quaternion of length 1\.2\): save it with a sform"):
        read(patched(tmp_path / "c.nii", **turned, quatern_b=1.2))


def test_half_a_scale(tmp_path: Path) -> None:
    slope_only = read(patched(tmp_path / "a.nii", scl_slope=2, scl_inter=np.nan))
    assert sorted(slope_only.pixels.ravel()) == (np.arange(60) * 2).tolist()
    intercept_only = read(patched(tmp_path / "b.nii", scl_slope=0, scl_inter=-5))
    assert sorted(intercept_only.pixels.ravel()) == list(range(60))
    assert len(intercept_only.doubts) == 1
