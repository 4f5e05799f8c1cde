"""Hashes: of how a scan looks, of the data and of the split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import cv2
import numpy as np
import pandas as pd

from scanlens.manifest.columns import OK
from scanlens.types import ImageArray

_SIDE = 32
_KEPT = 8


def perceptual_hash(pixels: ImageArray) -> str:
    """64-bit DCT hash of how a scan looks: scaling, recompression or contrast change few of its bits.

    The picture (the mean over channels; the middle slice of a volume) is reduced to 32 by 32; its 8 by 8
    lowest frequencies, each compared with their median, are the bits.

    Args:
        pixels: float32, ``(channel, [depth,] height, width)``, any range, finite.

    Returns:
        16 hex digits.

    References:
        C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010 (pHash).

    Example:
        >>> pixels = np.random.default_rng(0).random((1, 64, 64), np.float32)
        >>> first, brighter, flipped = map(perceptual_hash, (pixels, 4 * pixels + 1, pixels[:, ::-1]))
        >>> len(first), first == brighter, first == flipped
        (16, True, False)
    """
    picture = pixels.mean(axis=0, dtype=np.float32)
    if picture.ndim == 3:
        picture = picture[picture.shape[0] // 2]
    lowest, highest = float(picture.min()), float(picture.max())
    scaled = (picture - lowest) / max(highest - lowest, np.finfo(np.float32).tiny)
    small = cv2.resize(np.ascontiguousarray(scaled), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    frequencies = np.asarray(cv2.dct(small))[:_KEPT, :_KEPT].ravel()
    bits = frequencies > np.median(frequencies)
    return np.packbits(bits).tobytes().hex()


def pixel_sha256(pixels: ImageArray) -> str:
    """SHA-256 of the shape and the decoded pixels: equal for one picture in several containers.

    Args:
        pixels: float32, ``(channel, [depth,] height, width)``, as read.

    Returns:
        64 hex digits, the same on machines of either byte order.

    Example:
        >>> pixels = np.array([[[0.0, 1.0], [2.0, 3.0]]], np.float32)
        >>> first, copy, reshaped = map(pixel_sha256, (pixels, pixels.copy(), pixels.reshape(1, 1, 4)))
        >>> len(first), first == copy, first == reshaped
        (64, True, False)
    """
    digest = hashlib.sha256(" ".join(map(str, pixels.shape)).encode() + b"\n")
    for plane in pixels.reshape(-1, *pixels.shape[-2:]):  # a plane at a time: a volume is not copied
        # Adding zero makes of a negative zero, which equals the positive one, the positive one.
        digest.update(np.ascontiguousarray(plane + np.float32(0), dtype="<f4").data)
    return digest.hexdigest()


def data_hash(manifest: pd.DataFrame) -> str:
    """SHA-256 over the accepted scans' ids, contents and labels; the order of the rows does not matter.

    Example:
        >>> rows = [["a1", "h1", "nodule", "ok"], ["b2", "h2", "normal", "ok"], ["c3", "h3", "normal", "no"]]
        >>> manifest = pd.DataFrame(rows, columns=["scan_id", "sha256", "label", "status"])
        >>> data_hash(manifest) == data_hash(manifest[1::-1])  # neither order nor quarantined scans count
        True
        >>> data_hash(manifest) == data_hash(manifest.assign(label="normal"))
        False
    """
    accepted = manifest[manifest["status"] == OK]
    return _hash_lines(accepted["scan_id"] + " " + accepted["sha256"] + " " + accepted["label"])


def split_hash(manifest: pd.DataFrame) -> str:
    """SHA-256 over the accepted scans' ids and splits; the order of the rows does not matter.

    Example:
        >>> manifest = pd.DataFrame({"scan_id": ["a1", "b2"], "split": ["train", "test"], "status": "ok"})
        >>> split_hash(manifest) == split_hash(manifest[::-1])
        True
        >>> split_hash(manifest) == split_hash(manifest.assign(split=["test", "train"]))
        False
    """
    accepted = manifest[manifest["status"] == OK]
    return _hash_lines(accepted["scan_id"] + " " + accepted["split"])


def _hash_lines(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
