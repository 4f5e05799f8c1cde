"""Which values become 0 and 1, by rule and kind of scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from scanlens.preprocess.intensity import (
    BYTE_RANGE,
    DEFAULTS,
    RULES,
    SOFT_TISSUE,
    IntensityRange,
    convert_channels,
    extremes,
    limits,
    rescale,
    standardise,
)
from scanlens.types import Scan

PERCENTILES = (1.0, 99.0)
PIXELS = np.random.default_rng(0).normal(500, 200, (1, 200, 200)).astype(np.float32)
LOW, HIGH = (float(value) for value in np.quantile(PIXELS.astype(np.float64), [0.01, 0.99]))
WHOLE = (float(PIXELS.min()), float(PIXELS.max()))
STEP = (WHOLE[1] - WHOLE[0]) / 1000


def scan(**fields: Any) -> Scan:
    return Scan(**{"pixels": PIXELS, "bits": 16, **fields})


def found(this: Scan, rule: str = "auto", percentiles: tuple[float, float] = PERCENTILES) -> IntensityRange:
    return limits(this, rule, percentiles, extremes(this.pixels))


def head(air: int, scale: float = 1.0) -> Scan:
    """An MR slice: a bright disc in ``air`` pixels of faint noise on each side."""
    side = 60 + 2 * air
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[:side, :side] - side / 2
    pixels = np.abs(random.normal(0, 5, (side, side)))
    inside = rows**2 + columns**2 < 28**2
    pixels[inside] = random.normal(300, 40, inside.sum())
    return Scan((pixels * scale)[np.newaxis].astype(np.float32), modality="MR", bits=16)


@pytest.mark.parametrize(
    ("rule", "fields", "expected"),
    [
        ("auto", {"modality": "CT"}, SOFT_TISSUE),
        ("auto", {"modality": "CT", "window": (-1000, 400)}, SOFT_TISSUE),
        ("auto", {"modality": "CT", "bits": 8}, SOFT_TISSUE),
        ("auto", {"modality": "DX"}, (LOW, HIGH)),
        ("auto", {"modality": "CR", "window": (200, 900)}, (200, 900)),
        ("auto", {"modality": "MG", "window": (200, 900), "bits": 8}, (200, 900)),
        ("auto", {"modality": "DX", "window": (0, 1)}, (LOW, HIGH)),
        ("auto", {"modality": "DX", "window": (0, 65535)}, (LOW, HIGH)),
        ("auto", {"modality": "DX", "window": (900, 200)}, (LOW, HIGH)),
        ("auto", {"modality": "DX", "window": (float("nan"), 200)}, (LOW, HIGH)),
        ("auto", {"modality": "DX", "window": (0, 1), "bits": 8}, BYTE_RANGE),
        ("auto", {"modality": "OT", "bits": 32}, (LOW, HIGH)),
        ("auto", {"modality": "no such", "bits": 32}, (LOW, HIGH)),
        ("auto", {"modality": "OT", "bits": 8}, BYTE_RANGE),
        ("auto", {"modality": "US", "bits": 8, "window": (0, 1)}, BYTE_RANGE),
        ("auto", {"modality": "SM", "bits": 8}, BYTE_RANGE),
        ("percentile", {"modality": "CT", "bits": 8}, (LOW, HIGH)),
        ("minmax", {"modality": "CT", "bits": 8}, WHOLE),
        ("window", {"bits": 8, "window": (10, 20)}, (10, 20)),
    ],
)
def test_limits(rule: str, fields: dict[str, Any], expected: tuple[float, float]) -> None:
    assert found(scan(**fields), rule) == pytest.approx(expected, abs=STEP)


def test_every_modality_names_rules_that_exist() -> None:
    assert {name for entry in DEFAULTS.values() for name in entry.rules} <= set(RULES)
    assert all(entry.reason for entry in DEFAULTS.values())
    assert {name for name, entry in DEFAULTS.items() if entry.crop == "fan"} == {"US"}


def test_two_ct_scans_stay_comparable_whatever_their_viewers_windows() -> None:
    water = np.zeros((1, 9, 9), np.float32)
    windows = [None, (-1000.0, 400.0), (0.0, 80.0)]
    for window in windows:
        bounds = found(scan(pixels=water, modality="CT", window=window))
        assert rescale(water, *bounds)[0, 0, 0] == pytest.approx(0.4)


def test_air_around_the_body_does_not_decide_in_mr() -> None:
    tight, wide = (found(head(air)) for air in (4, 200))
    assert tight[1] == pytest.approx(wide[1], rel=0.05)
    assert found(head(200), "percentile")[1] < 0.95 * wide[1], "what it would be without looking at the body"
    assert max(tight[0], wide[0]) < 5, "air becomes 0"
    assert found(head(200, scale=7)) == pytest.approx(tuple(7 * value for value in wide), abs=10)


def test_zscore_is_the_bodys_mean_and_three_deviations() -> None:
    lower, upper = found(head(60), "zscore")
    assert (lower + upper) / 2 == pytest.approx(300, rel=0.02)
    assert (upper - lower) / 6 == pytest.approx(40, rel=0.1)


@pytest.mark.parametrize("modality", ["PT", "NM"])
def test_emission_scans_begin_at_zero(modality: str) -> None:
    pixels = np.zeros((1, 100, 100), np.float32)
    pixels[0, :5, :5] = np.linspace(5, 10, 25).reshape(5, 5)
    assert found(scan(pixels=pixels, modality=modality)) == pytest.approx((0, 10), abs=0.01)
    below = scan(pixels=-pixels - 1, modality=modality)
    assert found(below)[1] <= 0, "no upper limit above 0: percentiles instead"


def test_percentiles_change_the_limits() -> None:
    assert found(scan(), "percentile", (10.0, 99.0))[0] > LOW + 10 * STEP
    assert found(scan(), "percentile", (1.0, 90.0))[1] < HIGH - 10 * STEP
    assert found(head(9), percentiles=(1.0, 80.0))[1] < found(head(9))[1]


def test_a_missing_window_and_pixels_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="no window"):
        found(scan(), "window")
    for bad in (np.nan, np.inf, -np.inf):
        broken = PIXELS.copy()
        broken[0, 3, 3] = bad
        with pytest.raises(ValueError, match="not finite"):
            extremes(broken)


@pytest.mark.parametrize("rule", ["percentile", "minmax", "auto", "zscore"])
@pytest.mark.parametrize("modality", ["OT", "MR", "DX", "PT"])
def test_nearly_empty_blank_and_one_pixel_scans(rule: str, modality: str) -> None:
    dot = np.zeros((1, 50, 50), np.float32)
    dot[0, 0, 0] = 7
    scaled = rescale(dot, *found(scan(pixels=dot, modality=modality), rule))
    assert scaled[0, 0, 0] > 0.5
    assert (scaled[0, 1:, 1:] == scaled[0, 5, 5]).all()
    assert scaled[0, 0, 0] > scaled[0, 5, 5]
    for blank in (np.full((1, 9, 9), 3, np.float32), np.full((1, 1, 1), -3e7, np.float32)):
        lower, upper = found(scan(pixels=blank, modality=modality, window=(0, 1)), rule)
        assert lower < upper
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
    assert colour.shape == (3, 200, 200)
    assert all(np.array_equal(channel, PIXELS[0]) for channel in colour)
    assert np.allclose(convert_channels(colour, 1), PIXELS, rtol=1e-5)
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
