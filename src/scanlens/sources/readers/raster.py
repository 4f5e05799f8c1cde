"""Raster images (PNG, JPEG, TIFF, BMP, WebP) through Pillow.

``pixels`` keep the file's units: 0-255, 0-65535 for 16 bits, the stored values for 32-bit. Pillow reads
colour, and grey with transparency, of 16 bits as 8: these OpenCV reads again, and Pillow's shows whether it
read the same picture. One-bit images arrive as 0 and 255. A raster's resolution tag is a printing hint, so
``spacing`` stays unknown.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.quiet import quiet_tiff
from scanlens.types import ImageArray, Scan

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
_BITS = {"I": 32, "F": 32, "I;16": 16, "I;16L": 16, "I;16B": 16, "I;16N": 16}
_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0
_SAMPLE_FORMAT = 339
_SIGNED = (2,)
_ORIENTATION = 274
_PILLOW_LIMIT = threading.Lock()


def is_raster(head: bytes) -> bool:
    """Tell from the first bytes whether Pillow should be asked."""
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def read_raster(path: Path, reference: str, *, dims: int, max_pixels: int) -> Scan:
    """Read an image the way a viewer shows it: EXIF rotation applied, transparency laid on black.

    Returns:
        ``pixels`` (channel, height, width), one channel for grey and three for colour files.

    Raises:
        UnreadableScan: More than ``max_pixels``, several pages, 16-bit colour of a variant that OpenCV and
            Pillow read differently, or ``dims`` is 3.
        Exception: Whatever Pillow raises on a damaged file; the caller turns it into a reason.
    """
    quiet_tiff()
    # A file, not a path: Pillow 13 maps raw TIFFs it knows the path of, and scrambles those whose orientation
    # exchanges the sides.
    with path.open("rb") as file, _open(file, reference, max_pixels) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnreadableScan(
                reference, f"too large: {height} x {width} pixels, more than the {max_pixels} allowed"
            )
        # MPO is a JPEG with a preview behind it, as telephones write them: the first image is the photo.
        pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if pages > 1:  # whatever dims is: neither one page nor all of them are known to be the scan
            raise UnreadableScan(
                reference, f"holds {pages} images: save each as a file of its own, or a volume as NIfTI"
            )
        if dims != 2:
            raise UnreadableScan(reference, "an image, not a volume: set data.dims=2")
        mode = image.mode
        inverted, signed, deep = _white_is_zero(image), _is_signed(image), _is_deep(image)
        turn = image.getexif().get(_ORIENTATION, 1)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        pixels = _deep_pixels(path, image, turn, reference) if deep else _pixels(image)
    if inverted:
        pixels = np.float32(np.iinfo(np.uint16).max) - pixels
    if signed:
        pixels = pixels.astype(np.uint8).astype(np.int8).astype(np.float32)
    bits = 1 if mode == "1" else 16 if deep else _BITS.get(mode, 8)
    return Scan(pixels=pixels, photometric=mode, bits=bits, rescaled=signed)


def _open(file: BinaryIO, reference: str, max_pixels: int) -> Image.Image:
    # Pillow's bomb check is a global: the lock keeps two threads' limits apart while headers are read.
    with _PILLOW_LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            return Image.open(file, formats=_FORMATS)
        except UnidentifiedImageError as error:
            raise UnreadableScan(reference, "a damaged header, or a variant Pillow does not read") from error
        except Image.DecompressionBombError as error:
            raise UnreadableScan(
                reference, f"too large: more than the {max_pixels} pixels allowed"
            ) from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _white_is_zero(image: Image.Image) -> bool:
    """Tell whether a 16-bit TIFF stores white as zero; up to 8 bits Pillow inverts such files itself."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    return image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _is_signed(image: Image.Image) -> bool:
    """Tell whether a TIFF stores signed bytes, which Pillow reads as unsigned."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    return image.mode == "L" and tags.get(_SAMPLE_FORMAT) == _SIGNED


def _is_deep(image: Image.Image) -> bool:
    """Tell whether the file holds 16 bits of which Pillow keeps 8."""
    tiles = getattr(image, "tile", [])[:1]
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in tiles)


def _deep_pixels(path: Path, image: Image.Image, turn: int, reference: str) -> ImageArray:
    """Read 16 bits of colour, transparency laid on black.

    Args:
        path: The file.
        image: What Pillow read, upright.
        turn: The orientation that the file asks for. OpenCV applies it to some formats by itself.
        reference: The scan, for the reason.
    """
    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is not None and stored.dtype == np.uint16 and stored.ndim == 3:
        bands = [stored[..., band].astype(np.uint16) for band in [2, 1, 0, 3][: stored.shape[2]]]
        seen = np.asarray(image.convert("RGB" if len(bands) == 3 else "RGBA"))
        for upright in (np.dstack(bands), np.dstack([_turned(band, turn) for band in bands])):
            if upright.shape == seen.shape and (np.abs(upright // 256 - seen.astype(int)) <= 1).all():
                colour = upright[..., :3].astype(np.float32)
                if len(bands) == 4:
                    colour *= upright[..., 3:] / np.float32(np.iinfo(np.uint16).max)
                return np.ascontiguousarray(colour.transpose(2, 0, 1))
    raise UnreadableScan(reference, "16-bit colour of a variant that is not read: save it as PNG")


def _turned(band: npt.NDArray[np.uint16], turn: int) -> npt.NDArray[np.uint16]:
    image = Image.fromarray(band)
    image.getexif()[_ORIENTATION] = turn
    return np.asarray(ImageOps.exif_transpose(image))


def _pixels(image: Image.Image) -> ImageArray:
    if image.mode in _BITS:
        return np.asarray(image).astype(np.float32)[None]
    if image.mode == "1":
        image = image.convert("L")
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image, dtype=np.float32)[None]
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), opaque)
    colour = np.asarray(image.convert("RGB"), dtype=np.float32)
    return np.ascontiguousarray(colour.transpose(2, 0, 1))
