"""NRRD and MetaImage volumes arrive in the axes of every other, and no header leads to another file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from scanlens.errors import UnreadableScan
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.sources.readers.itk import is_itk, read_itk
from scanlens.types import Scan

VOLUME = np.random.default_rng(1).integers(-1000, 1000, (5, 4, 3), dtype=np.int16)
SIDES = (2.0, 3.0, 4.0)  # along x, y, z
ENDINGS = ("nrrd", "mha")


def read(path: Path, *, dims: int = 3, max_pixels: int = 1000) -> Scan:
    with path.open("rb") as file:
        assert is_itk(file.read(4096))
    return read_itk(path, path.name, dims=dims, max_pixels=max_pixels)


def write(path: Path, values: np.ndarray = VOLUME, *, vector: bool = False, zipped: bool = False) -> Path:
    image = SimpleITK.GetImageFromArray(values, isVector=vector)
    image.SetSpacing(SIDES[: image.GetDimension()])
    SimpleITK.WriteImage(image, str(path), zipped)
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_axes_and_spacing(tmp_path: Path, ending: str, zipped: bool) -> None:
    scan = read(write(tmp_path / f"a.{ending}", zipped=zipped))
    np.testing.assert_array_equal(scan.pixels[0], VOLUME)  # ITK's z, y, x of an upright scan are S, P, L
    assert (scan.spacing, scan.orientation) == ((4.0, 3.0, 2.0), "SPL")
    assert (scan.photometric, scan.bits, scan.pixels.dtype) == ("int16", 16, np.float32)


@pytest.mark.parametrize("stored", ["RAS", "LPS", "SAR", "ASL", "PIR", "IRP", "LAI"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_stored_axes_do_not_matter(tmp_path: Path, stored: str, ending: str) -> None:
    image = SimpleITK.ReadImage(str(write(tmp_path / f"a.{ending}")))
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, stored), str(tmp_path / f"turned.{ending}"))
    scan = read(tmp_path / f"turned.{ending}")
    np.testing.assert_array_equal(scan.pixels[0], VOLUME)
    assert scan.spacing == (4.0, 3.0, 2.0)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["bare", "wrong.dcm"])
def test_the_ending_does_not_matter(tmp_path: Path, ending: str, name: str) -> None:
    path = write(tmp_path / f"a.{ending}").rename(tmp_path / name)
    np.testing.assert_array_equal(read(path).pixels[0], VOLUME)


def test_nrrd_in_ras(tmp_path: Path) -> None:
    """Written by hand after the format's definition, so that no writer's habits are tested."""
    header = (
        "NRRD0005",
        "# a comment",
        "type: int16",
        "dimension: 3",
        "space: right-anterior-superior",
        "sizes: 3 4 5",
        "space directions: (2,0,0) (0,3,0) (0,0,4)",
        "encoding: gzip",
        "endian: little",
        "maker:=someone",
    )
    voxels = gzip.compress(VOLUME.astype("<i2").tobytes())
    (tmp_path / "a.nrrd").write_bytes("\n".join(header).encode() + b"\n\n" + voxels)
    scan = read(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(scan.pixels[0], VOLUME[:, ::-1, ::-1])
    assert scan.spacing == (4.0, 3.0, 2.0)
    assert scan.header["maker"] == "someone"


@pytest.mark.parametrize("ending", ENDINGS)
def test_images(tmp_path: Path, ending: str) -> None:
    grey = read(write(tmp_path / f"a.{ending}", VOLUME[0]), dims=2)
    np.testing.assert_array_equal(grey.pixels, VOLUME[:1])
    assert (grey.spacing, grey.orientation) == ((3.0, 2.0), "")
    colour = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    scan = read(write(tmp_path / f"rgb.{ending}", colour, vector=True), dims=2)
    np.testing.assert_array_equal(scan.pixels, colour.transpose(2, 0, 1))
    assert scan.bits == 8


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_slice_is_an_image_or_a_volume_of_depth_one(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}", VOLUME[:1])
    image = read(path, dims=2)
    assert (image.pixels.shape, image.spacing, image.orientation) == ((1, 4, 3), (3.0, 2.0), "PL")
    assert read(path).pixels.shape == (1, 1, 4, 3)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("values", "vector", "dims", "reason"),
    [
        (VOLUME, False, 2, r"set data\.dims=3"),
        (VOLUME[0], False, 3, r"set data\.dims=2"),
        (np.zeros((11, 10, 10), np.int16), False, 3, "more than the 1000 allowed"),
        (np.zeros((2, 3, 4, 5), np.uint8), False, 3, "too many dimensions"),
        (np.zeros((3, 4, 5, 3), np.uint8), True, 3, "3 values a voxel"),
        (np.zeros((4, 5, 2), np.uint8), True, 2, "2 values a voxel"),
        (np.zeros((4, 5, 3), np.float32), True, 2, "3 values a voxel"),
        (np.zeros((3, 4, 5), np.complex64), False, 3, "complex"),
    ],
)
def test_refused(
    tmp_path: Path, ending: str, values: np.ndarray, vector: bool, dims: int, reason: str
) -> None:
    image = SimpleITK.GetImageFromArray(values, isVector=vector)
    SimpleITK.WriteImage(image, str(tmp_path / f"a.{ending}"))
    with pytest.raises(UnreadableScan, match=reason):
        read(tmp_path / f"a.{ending}", dims=dims)


@pytest.mark.parametrize("ending", ["nhdr", "mhd"])
def test_voxels_in_another_file_are_refused(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}")
    with pytest.raises(UnreadableScan, match="header without its data"):
        read(path)


@pytest.mark.parametrize(
    ("ending", "old", "new", "reason"),
    [
        ("nrrd", b"encoding: raw\n", b"encoding: raw\nDATA FILE: /etc/hostname\n", "without its data"),
        ("nrrd", b"encoding: raw\n", b"encoding: raw\ndatafile:LIST\n", "without its data"),
        ("nrrd", b"encoding: raw\n", b"encoding: raw\r#\rdata file: x\n", "damaged"),
        ("nrrd", b"sizes: 3 4 5", b"sizes: 99999 99999 99999", "more than the 1000"),
        ("mha", b"= LOCAL", b"= /etc/hostname", "without its data"),
        ("mha", b"= LOCAL", b"= LIST 2\na.raw", "without its data"),
        ("mha", b"ElementDataFile =", b"ElementDataFile : other.raw\nElementDataFile =", "without its data"),
        ("mha", b"NDims = 3", b"NDims = 99", "dimensions is not"),
        ("mha", b"DimSize = 3 4 5", b"DimSize = 99999 99999 99999", "more than the 1000"),
        ("mha", b"DimSize = 3 4 5", b"DimSize = 0 4 5", "a side is zero"),
        ("mha", b"DimSize =", b"Comment = " + b"x" * 3000 + b"\nDimSize =", "damaged"),
        ("mha", b"DimSize =", b"CompressedDataSize = 99999999999\nDimSize =", "larger than the file"),
        ("mha", b"DimSize = 3 4 5\n", b"DimSize\n", "damaged"),
    ],
)
def test_hostile_headers(tmp_path: Path, ending: str, old: bytes, new: bytes, reason: str) -> None:
    path = write(tmp_path / f"a.{ending}")
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    with pytest.raises(UnreadableScan, match=reason):
        read(path)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_truncated(tmp_path: Path, ending: str, zipped: bool) -> None:
    whole = write(tmp_path / f"a.{ending}", zipped=zipped).read_bytes()
    for cut in (300, len(whole) - 40, len(whole) - 9):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises((UnreadableScan, RuntimeError)):
            read_itk(tmp_path / "cut", "cut", dims=3, max_pixels=1000)


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_voxels_are_not_returned_as_noise(tmp_path: Path, ending: str) -> None:
    whole = write(tmp_path / f"a.{ending}", zipped=True).read_bytes()
    for at in range(len(whole) - 60, len(whole) - 10, 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(UnreadableScan, match="its compressed voxels are damaged"):
            read(tmp_path / "damaged")


def test_more_voxels_than_declared(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mha", np.zeros((9, 9, 9), np.int16), zipped=True)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 9 9 9", b"DimSize = 9 9 8"))
    with pytest.raises(UnreadableScan, match="its compressed voxels are damaged"):
        read(path)


def test_singular_directions(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"(0,3,0)", b"(2,0,0)"))
    with pytest.raises((UnreadableScan, RuntimeError)):
        read(path)


@pytest.mark.parametrize(
    "head", [b"", b"NRRD", b"NDims", b"\x89PNG\r\n", b"key = value\n", b"<html>\nNDims = 3\n", bytes(4096)]
)
def test_anything_else_is_not_taken(head: bytes) -> None:
    assert not is_itk(head)


SMALL = np.random.default_rng(3).integers(0, 120, (4, 4, 4))
META = {"ElementToIntensityFunctionSlope": "0.01", "ElementToIntensityFunctionOffset": "-3"}


def with_fields(path: Path, values: np.ndarray, **fields: str) -> Path:
    """Write a volume whose header has more fields."""
    write(path, values)
    before, form = (b"ElementDataFile", "{} = {}\n") if path.suffix == ".mha" else (b"encoding:", "{}: {}\n")
    text = "".join(form.format(*one) for one in fields.items()).encode()
    path.write_bytes(path.read_bytes().replace(before, text + before, 1))
    return path


@pytest.mark.parametrize(
    ("ending", "dtype", "fields"),
    [
        ("mha", "u1", META),
        ("mha", "i1", META),
        ("mha", "u1", {"ElementToIntensityFunctionSlope": "16"}),
        ("mha", "i1", {}),
        ("nrrd", "i1", {}),
    ],
)
def test_scaled_or_signed_bytes_give_what_their_twin_of_16_bits_gives(
    tmp_path: Path, ending: str, dtype: str, fields: dict[str, str]
) -> None:
    auto = Preprocessor((4, 4, 4), 1, "stretch", "auto", (0.5, 99.5), None, 3)
    stored = SMALL - (60 if dtype == "i1" else 0)
    found = read(with_fields(tmp_path / f"a.{ending}", stored.astype(dtype), **fields))
    twin = read(with_fields(tmp_path / f"b.{ending}", stored.astype("i2"), **fields))
    np.testing.assert_array_equal(found.pixels, twin.pixels)
    np.testing.assert_array_equal(auto.apply(found), auto.apply(twin))
    slope = float(fields.get("ElementToIntensityFunctionSlope", 1))
    offset = float(fields.get("ElementToIntensityFunctionOffset", 0))
    np.testing.assert_allclose(found.pixels[0], stored * slope + offset, rtol=1e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_plain_bytes_are_a_share_of_255(tmp_path: Path, ending: str) -> None:
    auto = Preprocessor((4, 4, 4), 1, "stretch", "auto", (0.5, 99.5), None, 3)
    image = auto.apply(read(write(tmp_path / f"a.{ending}", SMALL.astype(np.uint8))))
    np.testing.assert_allclose(image[0], SMALL / 255, atol=1e-6)


def test_quantised_voxels_get_their_values_back(tmp_path: Path) -> None:
    bounds = {"old min": "-1000", "old max": "1560"}
    scan = read(with_fields(tmp_path / "a.nrrd", SMALL.astype(np.uint8), **bounds))
    np.testing.assert_array_equal(scan.pixels[0], -1000 + (SMALL + 0.5) * 10)
    assert scan.rescaled
    signed = read(with_fields(tmp_path / "b.nrrd", SMALL.astype(np.int16), **bounds))
    np.testing.assert_array_equal(signed.pixels[0], SMALL)


def test_a_scale_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = with_fields(tmp_path / "a.mha", SMALL.astype(np.uint8), ElementToIntensityFunctionSlope="x")
    with pytest.raises(UnreadableScan, match="elementtointensityfunctionslope is no number"):
        read(path)
