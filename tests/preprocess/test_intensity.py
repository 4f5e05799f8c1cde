"""Which values become 0 and 1, by rule and kind of scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from scanlens.preprocess.intensity import (
    BYTE_RANGE,
    SOFT_TISSUE,
    convert_channels,
    limits,
    rescale,
    standardise,
)
from scanlens.types import Scan

PERCENTILES = (1.0, 99.0)
PIXELS = np.random.default_rng(0).normal(500, 200, (1, 40, 40)).astype(np.float32)
LOW, HIGH = (float(value) for value in np.quantile(PIXELS.astype(np.float64), [0.01, 0.99]))
WHOLE = (float(PIXELS.min()), float(PIXELS.max()))


def scan(**fields: Any) -> Scan:
    return Scan(**{"pixels": PIXELS, **fields})


@pytest.mark.parametrize(
    ("rule", "fields", "window", "expected"),
    [
        ("auto", {"modality": "CT", "bits": 16}, None, SOFT_TISSUE),
        ("auto", {"modality": "CT", "bits": 16, "window": (-1000, 400)}, None, (-1000, 400)),
        ("auto", {"modality": "CT", "bits": 16, "window": (-1000, 400)}, (0, 80), (0, 80)),
        ("auto", {"modality": "DX", "bits": 12, "window": (0, 1)}, None, (LOW, HIGH)),
        ("auto", {"modality": "MR", "bits": 16}, None, (LOW, HIGH)),
        ("auto", {"modality": "OT", "bits": 32}, None, (LOW, HIGH)),
        ("auto", {"modality": "OT", "bits": 8}, None, BYTE_RANGE),
        ("auto", {"modality": "US", "bits": 8, "window": (0, 1)}, None, BYTE_RANGE),
        ("percentile", {"modality": "CT", "bits": 8}, None, (LOW, HIGH)),
        ("minmax", {"modality": "CT", "bits": 8}, None, WHOLE),
        ("window", {"bits": 8, "window": (10, 20)}, None, (10, 20)),
        ("window", {"bits": 8, "window": (10, 20)}, (30, 40), (30, 40)),
    ],
)
def test_limits(rule: str, fields: dict[str, Any], window: Any, expected: tuple[float, float]) -> None:
    assert limits(scan(**fields), rule, PERCENTILES, window) == pytest.approx(expected, rel=1e-5)


def test_percentiles_change_the_limits() -> None:
    assert limits(scan(), "percentile", (10.0, 99.0), None)[0] > LOW


def test_a_missing_window_and_pixels_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="no window"):
        limits(scan(), "window", PERCENTILES, None)
    broken = PIXELS.copy()
    broken[0, 3, 3] = np.nan
    for rule in ("percentile", "minmax"):
        with pytest.raises(ValueError, match="not finite"):
            limits(scan(pixels=broken), rule, PERCENTILES, None)


def test_nearly_empty_and_blank_scans() -> None:
    dot = np.zeros((1, 50, 50), np.float32)
    dot[0, 0, 0] = 7
    assert limits(scan(pixels=dot), "percentile", PERCENTILES, None) == (0, 7)
    blank = np.full((1, 9, 9), 3, np.float32)
    lower, upper = limits(scan(pixels=blank), "minmax", PERCENTILES, None)
    assert not rescale(blank, lower, upper).any()


def test_rescaling_clips_to_the_unit_range_exactly() -> None:
    scaled = rescale(np.array([-200, -160, 40, 240, 3000], np.float32), *SOFT_TISSUE)
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [0, 0, 0.5, 1, 1]


def test_grey_value_of_colour_is_that_of_pillow() -> None:
    colour = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(colour).convert("L"), dtype=np.float32)
    grey = convert_channels(colour.transpose(2, 0, 1).astype(np.float32), 1)
    assert grey.shape == (1, 20, 30)
    assert grey.dtype == np.float32
    assert np.abs(grey[0] - expected).max() <= 1


def test_grey_becomes_three_equal_channels_and_back() -> None:
    colour = convert_channels(PIXELS, 3)
    assert colour.shape == (3, 40, 40)
    assert all(np.array_equal(channel, PIXELS[0]) for channel in colour)
    assert np.allclose(convert_channels(colour, 1), PIXELS)
    assert convert_channels(PIXELS, 1) is PIXELS


def test_standardise_goes_by_channel_in_two_and_three_dimensions() -> None:
    statistics = {"mean": [0.2, 0.4], "std": [0.1, 0.5]}
    for spatial in ((3, 4), (2, 3, 4)):
        batch = np.random.default_rng(2).random((5, 2, *spatial), dtype=np.float32)
        found = standardise(batch, statistics)
        assert np.allclose(found[:, 0], (batch[:, 0] - 0.2) / 0.1, atol=1e-5)
        assert np.allclose(found[:, 1], (batch[:, 1] - 0.4) / 0.5, atol=1e-5)
    with pytest.raises(ValueError, match="expected 2 channels"):
        standardise(batch[:, :1], statistics)
