"""Hashes: stable where they should be, different where they should be."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest
import scipy.fft

from scanlens.manifest.fingerprint import data_hash, perceptual_hash, pixel_sha256, split_hash
from scanlens.types import ImageArray


def picture(seed: int, side: int = 96) -> ImageArray:
    noise = np.random.default_rng(seed).random((side, side), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), side / 12)
    return 1000 * (smooth - smooth.min())[np.newaxis]


def distance(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


@pytest.mark.parametrize("seed", range(3))
def test_near_copies_are_near_and_others_far(seed: int) -> None:
    original = picture(seed)
    code = perceptual_hash(original)
    assert len(code) == 16
    smaller = cv2.resize(original[0], (64, 64), interpolation=cv2.INTER_AREA)[np.newaxis]
    assert distance(code, perceptual_hash(smaller)) <= 6
    assert distance(code, perceptual_hash(3 * original + 20)) <= 2
    assert distance(code, perceptual_hash(np.repeat(original, 3, axis=0))) <= 2
    assert distance(code, perceptual_hash(picture(seed + 100))) > 12


def test_bits_are_those_of_scipys_dct() -> None:
    original = picture(5, side=32)
    scaled = (original[0] - original.min()) / (original.max() - original.min())
    frequencies = scipy.fft.dctn(scaled.astype(np.float64), norm="ortho")[:8, :8].ravel()
    bits = "".join("1" if value > np.median(frequencies) else "0" for value in frequencies)
    assert perceptual_hash(original) == f"{int(bits, 2):016x}"


def test_a_volume_is_hashed_by_its_middle_slice() -> None:
    volume = np.stack([picture(seed)[0] for seed in range(5)])[np.newaxis]
    assert perceptual_hash(volume) == perceptual_hash(picture(2))


def test_table_hashes_follow_what_they_name_and_not_the_order() -> None:
    table = pd.DataFrame(
        {
            "scan_id": list("123"),
            "sha256": list("abc"),
            "label": list("xyx"),
            "split": ["train", "val", "test"],
            "status": ["ok", "ok", "ok"],
        }
    )
    assert data_hash(table) == data_hash(table[::-1])
    assert split_hash(table) == split_hash(table[::-1])
    for column, changes_data, changes_split in (
        ("sha256", True, False),
        ("label", True, False),
        ("split", False, True),
        ("status", True, True),
    ):
        changed = table.copy()
        changed.loc[1, column] = "other"
        assert (data_hash(changed) != data_hash(table)) == changes_data
        assert (split_hash(changed) != split_hash(table)) == changes_split


def test_pixel_hash_is_of_shape_and_little_endian_values() -> None:
    pixels = picture(3, side=12)
    expected = hashlib.sha256(b"1 12 12\n" + pixels.astype("<f4").tobytes()).hexdigest()
    assert pixel_sha256(pixels) == expected
    assert pixel_sha256(pixels.astype(">f4")) == expected
    assert pixel_sha256(np.asfortranarray(pixels)) == expected
    volume = np.stack([picture(seed, side=12)[0] for seed in range(5)])[np.newaxis]
    assert pixel_sha256(volume) == hashlib.sha256(b"1 5 12 12\n" + volume.tobytes()).hexdigest()


def test_pixel_hash_tells_pixels_and_shapes_apart_but_not_signs_of_zero() -> None:
    pixels = picture(3, side=12)
    other = pixels.copy()
    other[0, 5, 7] = np.nextafter(other[0, 5, 7], np.float32(1e9))
    different = [pixels, other, pixels.reshape(1, 6, 24), pixels.reshape(2, 6, 12), pixels[:, ::-1]]
    assert len({pixel_sha256(one) for one in different}) == 5
    zeros = np.zeros((1, 4, 4), np.float32)
    assert pixel_sha256(-zeros) == pixel_sha256(zeros)
