"""Rasters are read as a viewer shows them, in the file's own units."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from scanlens.errors import UnreadableScan
from scanlens.sources.read import read_scan
from scanlens.types import Scan

GREY = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def read(path: Path, *, dims: int = 2, max_pixels: int = 1000) -> Scan:
    return read_scan(path.parent, path.name, dims=dims, max_pixels=max_pixels)


@pytest.mark.parametrize("ending", ["png", "tiff", "bmp", "webp"])
@pytest.mark.parametrize("stored", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_formats_keep_every_value(tmp_path: Path, ending: str, stored: np.ndarray) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(stored).save(path, **({"lossless": True} if ending == "webp" else {}))
    scan = read(path)
    expected = stored[None] if stored.ndim == 2 else stored.transpose(2, 0, 1)
    assert scan.pixels.dtype == np.float32
    np.testing.assert_array_equal(scan.pixels, expected)
    assert (scan.bits, scan.modality, scan.spacing, scan.patient) == (8, "OT", None, "")


def test_the_ending_does_not_matter(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(tmp_path / "a.dcm").pixels[0], GREY)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bits(tmp_path: Path, ending: str) -> None:
    stored = GREY.astype(np.uint16) * 257 + 1
    Image.fromarray(stored).save(tmp_path / f"a.{ending}")
    scan = read(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(scan.pixels[0], stored)
    assert scan.bits == 16


DEEP = np.random.default_rng(4).integers(0, 4096, (5, 7, 3)).astype(np.uint16)


def write_deep(path: Path, stored: np.ndarray) -> Path:
    """Colour of 16 bits, with transparency where there is a fourth channel."""
    order = [2, 1, 0, 3][: stored.shape[2]]
    path.write_bytes(cv2.imencode(path.suffix, stored[..., order])[1].tobytes())
    return path


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bit_colour(tmp_path: Path, ending: str) -> None:
    scan = read(write_deep(tmp_path / f"a.{ending}", DEEP))
    np.testing.assert_array_equal(scan.pixels, DEEP.transpose(2, 0, 1))
    assert (scan.bits, scan.photometric) == (16, "RGB")


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bit_transparency_lies_on_black(tmp_path: Path, ending: str) -> None:
    alpha = np.full((5, 7, 1), 65535, np.uint16)
    alpha[0], alpha[1] = 0, 32768
    scan = read(write_deep(tmp_path / f"a.{ending}", np.dstack([DEEP, alpha])))
    expected = DEEP * (alpha / 65535)
    np.testing.assert_allclose(scan.pixels, expected.transpose(2, 0, 1), rtol=1e-6)
    assert scan.bits == 16


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(path: Path, kind: int, stored: np.ndarray, before: bytes = b"") -> Path:
    """A PNG of 16 bits: colour type, samples, further chunks."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in stored)
    head = struct.pack(">IIBBBBB", stored.shape[1], stored.shape[0], 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_sixteen_bit_grey_with_transparency(tmp_path: Path) -> None:
    opaque = np.dstack([DEEP[..., 0], np.full((5, 7), 65535, np.uint16)])
    scan = read(png(tmp_path / "a.png", 4, opaque))
    np.testing.assert_array_equal(scan.pixels, DEEP[None, ..., 0])
    assert scan.bits == 16


def tiff(path: Path, stored: np.ndarray, turn: int) -> Path:
    """An uncompressed TIFF of 16-bit colour with an orientation."""
    height, width, _ = stored.shape
    pixels = stored.astype("<u2").tobytes()
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [
        (273, 4, 1, 14),
        (274, 3, 1, turn),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, 1, len(pixels)),
    ]
    body = struct.pack("<3H", 16, 16, 16) + pixels
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *one) for one in entries)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + directory + bytes(4))
    return path


@pytest.mark.parametrize("ending", ["png", "tiff"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_sixteen_bit_colour_is_upright(tmp_path: Path, ending: str, turn: int) -> None:
    if ending == "png":
        exif = Image.Exif()
        exif[274] = turn
        path = png(tmp_path / "a.png", 2, DEEP, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    else:
        path = tiff(tmp_path / "a.tiff", DEEP, turn)
    small = Image.fromarray((DEEP >> 4).astype(np.uint8))
    small.getexif()[274] = turn
    found = read(path).pixels.transpose(1, 2, 0).astype(np.uint16)
    np.testing.assert_array_equal(found >> 4, np.asarray(ImageOps.exif_transpose(small)))


def test_damaged_sixteen_bit_colour_is_refused(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", 2, DEEP)
    raw = path.read_bytes()
    path.write_bytes(raw[:-40])
    with pytest.raises(UnreadableScan):
        read(path)


def test_signed_bytes_of_a_tiff(tmp_path: Path) -> None:
    stored = (GREY.astype(int) - 128).astype(np.int8)
    Image.fromarray(stored.view(np.uint8)).save(tmp_path / "a.tiff", tiffinfo={339: 2})
    scan = read(tmp_path / "a.tiff")
    np.testing.assert_array_equal(scan.pixels[0], stored)
    assert scan.rescaled


@pytest.mark.parametrize("dtype", ["i4", "f4"])
def test_thirty_two_bits_keep_their_values(tmp_path: Path, dtype: str) -> None:
    stored = GREY.astype(dtype) * 1000 - 5000
    Image.fromarray(stored).save(tmp_path / "a.tiff")
    scan = read(tmp_path / "a.tiff")
    np.testing.assert_array_equal(scan.pixels[0], stored)
    assert scan.bits == 32


@pytest.mark.parametrize("order", "<>")
def test_either_byte_order(tmp_path: Path, order: str) -> None:
    stored = GREY.astype(np.uint16) * 257
    image = Image.fromarray(stored.astype(f"{order}u2"))
    image.save(tmp_path / "a.tiff")
    head = (tmp_path / "a.tiff").read_bytes()[:2]
    np.testing.assert_array_equal(read(tmp_path / "a.tiff").pixels[0], stored)
    assert head in (b"II", b"MM")


@pytest.mark.parametrize("method", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_compressed_tiff(tmp_path: Path, method: str) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.tiff", compression=method)
    np.testing.assert_allclose(
        read(tmp_path / "a.tiff").pixels, COLOUR.transpose(2, 0, 1), atol=99 if method == "jpeg" else 0
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_is_inverted(tmp_path: Path, dtype: type[np.unsignedinteger]) -> None:
    stored = GREY.astype(dtype)
    bits, (rows, columns) = 8 * stored.itemsize, stored.shape
    tags = {256: columns, 257: rows, 258: bits, 259: 1, 262: 0, 273: 8, 277: 1, 278: rows, 279: stored.nbytes}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    header = b"II*\0" + struct.pack("<I", 8 + stored.nbytes)
    (tmp_path / "a.tiff").write_bytes(header + stored.tobytes() + directory)
    np.testing.assert_array_equal(read(tmp_path / "a.tiff").pixels[0], np.iinfo(dtype).max - stored)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels[0], np.where(GREY > 100, 255, 0))


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(GREY // 100)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.png")
    pixels = read(tmp_path / "a.png").pixels
    np.testing.assert_array_equal(pixels[2] - pixels[0], 20)
    np.testing.assert_array_equal(pixels[0], (GREY // 100) * 30 + 10)


def test_transparency_is_laid_on_black(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 255)
    alpha[:3] = 0
    Image.fromarray(np.dstack([COLOUR, alpha])).save(tmp_path / "a.png")
    pixels = read(tmp_path / "a.png").pixels
    assert (pixels[:, :3] == 0).all()
    np.testing.assert_array_equal(pixels[:, 3:], COLOUR.transpose(2, 0, 1)[:, 3:])


@pytest.mark.parametrize(
    ("ending", "mode"), [("png", "LA"), ("tiff", "LA"), ("tiff", "RGBA"), ("webp", "RGBA")]
)
def test_other_transparency_is_laid_on_black(tmp_path: Path, ending: str, mode: str) -> None:
    alpha = np.full_like(GREY, 255)
    alpha[:3] = 0
    image = Image.fromarray(COLOUR).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    options = {"lossless": True} if ending == "webp" else {}
    image.save(tmp_path / f"a.{ending}", **options)
    pixels = read(tmp_path / f"a.{ending}").pixels
    assert (pixels[:, :3] == 0).all()
    assert (pixels[:, 3:] > 0).any()
    assert len(pixels) == (1 if mode == "LA" else 3)


def test_a_transparent_colour_of_a_palette_and_of_greys_is_black(tmp_path: Path) -> None:
    image = Image.fromarray(GREY // 100)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "palette.png", transparency=2)
    pixels = read(tmp_path / "palette.png").pixels
    assert (pixels[:, GREY // 100 == 2] == 0).all()
    assert (pixels[:, GREY // 100 == 1] == np.array([[40], [50], [60]])).all()
    Image.fromarray(GREY).save(tmp_path / "grey.png", transparency=50)
    np.testing.assert_array_equal(read(tmp_path / "grey.png").pixels[0], np.where(GREY == 50, 0, GREY))


@pytest.mark.parametrize("ending", ["bmp", "tiff"])
def test_palettes_of_other_formats(tmp_path: Path, ending: str) -> None:
    image = Image.fromarray(GREY // 100)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / f"a.{ending}")
    pixels = read(tmp_path / f"a.{ending}").pixels
    np.testing.assert_array_equal(pixels[0], (GREY // 100) * 30 + 10)
    np.testing.assert_array_equal(pixels[2] - pixels[0], 20)


def test_equal_channels_become_one(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([GREY] * 3)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, GREY[None])


# What the camera's position (EXIF tag 0x0112) says must be done to show the image upright.
UPRIGHT = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("position", UPRIGHT)
@pytest.mark.parametrize(("ending", "dtype"), [("png", "u1"), ("png", "u2"), ("tiff", "u1"), ("webp", "u1")])
def test_exif_orientation_is_applied(tmp_path: Path, position: int, ending: str, dtype: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = position
    stored = GREY.astype(dtype)
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(stored).save(tmp_path / f"a.{ending}", exif=exif, **options)
    np.testing.assert_array_equal(read(tmp_path / f"a.{ending}").pixels[0], UPRIGHT[position](stored))


def test_exif_orientation_of_a_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :16] = 200  # the upper left quarter, which comes to lie in the upper right
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=100)
    pixels = read(tmp_path / "a.jpg").pixels
    assert pixels.shape == (1, 32, 16)
    assert pixels[0, :16, 8:].min() > 190
    assert pixels[0, 16:].max() < 10


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(read(tmp_path / "a.tiff").pixels[:, 0, 0], [255, 0, 0])


def test_more_pixels_than_allowed(tmp_path: Path) -> None:
    Image.new("L", (100, 30)).save(tmp_path / "a.png")
    limit = Image.MAX_IMAGE_PIXELS
    assert read(tmp_path / "a.png", max_pixels=3000).pixels.shape == (1, 30, 100)
    for allowed in (2999, 100):
        with pytest.raises(UnreadableScan, match=f"more than the {allowed}"):
            read(tmp_path / "a.png", max_pixels=allowed)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_limit_above_pillow_s_own_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("L", (100, 30)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", max_pixels=3000).pixels.shape == (1, 30, 100)


def test_an_image_is_no_volume(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    with pytest.raises(UnreadableScan, match=r"data\.dims=2"):
        read(tmp_path / "a.png", dims=3)


def test_several_pages_are_refused(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.tiff", save_all=True, append_images=[Image.fromarray(GREY)])
    for dims in (2, 3):
        with pytest.raises(UnreadableScan, match="holds 2 images: save each"):
            read(tmp_path / "a.tiff", dims=dims)


@pytest.mark.parametrize("ending", ["png", "jpg", "tiff", "bmp", "webp"])
def test_truncated_at_every_tenth(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 30), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{ending}")
    whole = (tmp_path / f"a.{ending}").read_bytes()
    for tenth in range(1, 9):
        (tmp_path / "cut").write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(UnreadableScan, match=r"truncated|header"):
            read(tmp_path / "cut")
