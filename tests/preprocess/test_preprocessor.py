"""From a scan to the network's input: known truths, every argument, and masks that go where scans go."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from scanlens.errors import ScanlensError, SettingsError, UnreadableScan
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.types import Scan

PLAIN = Preprocessor((32, 32), 1, "pad", "percentile", (0.5, 99.5), None, 2)


def noise(*shape: int, **fields: Any) -> Scan:
    pixels = np.random.default_rng(0).normal(100, 60, shape).astype(np.float32)
    return Scan(pixels, **{"bits": 16, **fields})


@pytest.mark.parametrize(
    "change",
    [
        {"size": (32, 40)},
        {"channels": 3},
        {"aspect": "stretch"},
        {"intensity": "minmax"},
        {"intensity": "auto"},
        {"intensity": "window"},
        {"intensity": "zscore"},
        {"percentiles": (40.0, 99.5)},
        {"percentiles": (0.5, 90.0)},
        {"windows": ((0.0, 50.0),)},
        {"windows": ((0.0, 50.0), (0.0, 200.0)), "channels": 2},
        {"spacing": (1.0, 1.0)},
        {"spacing": (0.5, 1.0)},
        {"crop": "foreground"},
        {"crop": "fan"},
    ],
)
def test_every_setting_changes_the_result(change: dict[str, Any]) -> None:
    scan = noise(1, 40, 60, modality="CT", window=(0.0, 50.0), spacing=(0.6, 0.5))
    scan.pixels[:, :10] = scan.pixels.min()
    plain, changed = PLAIN.apply(scan), dataclasses.replace(PLAIN, **change).apply(scan)
    assert plain.shape != changed.shape or not np.allclose(plain, changed)


def test_slices_and_dims_change_the_result() -> None:
    volume = dataclasses.replace(PLAIN, dims=3, size=(8, 8, 8))
    scan = noise(1, 9, 20, 20)
    results = [volume.apply(scan)]
    for slices in (3, 5):
        flat = dataclasses.replace(volume, size=(8, 8), slices=slices, channels=slices)
        results.append(flat.apply(scan))
    assert [result.shape for result in results] == [(1, 8, 8, 8), (3, 8, 8), (5, 8, 8)]


@pytest.mark.parametrize("rule", ["auto", "percentile", "minmax", "window", "zscore"])
@pytest.mark.parametrize(("shape", "dims"), [((1, 41, 67), 2), ((3, 90, 33), 2), ((1, 20, 31, 25), 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_results_are_float32_of_one_shape_within_zero_and_one(
    rule: str, shape: tuple[int, ...], dims: int, channels: int
) -> None:
    preprocessor = Preprocessor((24,) * dims, channels, "pad", rule, (1.0, 99.0), None, dims)
    image = preprocessor.apply(noise(*shape, window=(0.0, 150.0)))
    assert image.dtype == np.float32
    assert image.shape == (channels, *(24,) * dims)
    assert image.flags.c_contiguous
    assert image.min() >= 0
    assert 0.5 < image.max() <= 1


def test_bytes_become_their_share_of_255() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (1, 32, 32)).astype(np.float32)
    image = dataclasses.replace(PLAIN, intensity="auto").apply(Scan(pixels, bits=8))
    assert np.allclose(image, pixels / 255, atol=1e-6)


def test_the_scan_itself_is_not_changed() -> None:
    scan = noise(1, 32, 32)
    before = scan.pixels.copy()
    PLAIN.apply(scan)
    assert np.array_equal(scan.pixels, before)


def test_scans_that_cannot_be_preprocessed_are_refused_by_name() -> None:
    with pytest.raises(UnreadableScan, match=r"x\.dcm: dimensions: 3 spatial axes, but 2"):
        PLAIN.apply(noise(1, 9, 9, 9), "x.dcm")
    with pytest.raises(UnreadableScan, match=r"x\.dcm: no spacing"):
        dataclasses.replace(PLAIN, spacing=(1.0, 1.0)).apply(noise(1, 9, 9), "x.dcm")
    with pytest.raises(UnreadableScan, match=r"x\.dcm: spacing: 9e\+06 mm"):
        dataclasses.replace(PLAIN, spacing=(1.0, 1.0)).apply(noise(1, 9, 9, spacing=(1.0, 1e6)), "x.dcm")
    with pytest.raises(UnreadableScan, match=r"x\.dcm: colour"):
        dataclasses.replace(PLAIN, windows=((0, 1), (0, 2)), channels=2).apply(noise(3, 9, 9), "x.dcm")
    with pytest.raises(UnreadableScan, match=r"x\.dcm: not finite"):
        PLAIN.locate(Scan(np.full((1, 9, 9), np.nan, np.float32)), "x.dcm")
    with pytest.raises(UnreadableScan, match=r"x\.dcm: no window"):
        dataclasses.replace(PLAIN, intensity="window").apply(noise(1, 9, 9), "x.dcm")
    broken = noise(1, 40, 40)
    broken.pixels[0, 5, 5] = np.nan
    for rule in ("percentile", "auto"):
        with pytest.raises(UnreadableScan, match=r"x\.dcm: not finite"):
            dataclasses.replace(PLAIN, intensity=rule).apply(dataclasses.replace(broken, bits=8), "x.dcm")


@pytest.mark.parametrize(
    "preprocessor",
    [
        PLAIN,
        Preprocessor((30, 20), 1, "stretch", "auto", (1.0, 90.0), ((-160.0, 240.0),), 2, None, "foreground"),
        Preprocessor((30, 20), 6, "pad", "window", (1.0, 90.0), ((0, 80), (0, 200)), 3, (0.5, 2.0), "fan", 3),
    ],
)
def test_json_round_trip_gives_the_same_results(preprocessor: Preprocessor) -> None:
    again = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json())))
    assert again == preprocessor
    scan = noise(1, *(9, 50, 40)[-preprocessor.dims :], spacing=(3.0, 1.0, 1.0)[-preprocessor.dims :])
    assert again.apply(scan).tobytes() == preprocessor.apply(scan).tobytes()


def test_json_of_an_older_form_is_refused() -> None:
    older = {"size": [32, 32], "channels": 1, "aspect": "pad", "intensity": "auto", "dims": 2,
             "percentiles": [0.5, 99.5], "window": None}  # fmt: skip
    with pytest.raises(
        SettingsError, match=r"missing \[.*'spacing'.*unknown \['window'\].* Run the preprocess"
    ):
        Preprocessor.from_json(older)


def test_json_with_missing_or_unknown_keys_is_refused() -> None:
    content = PLAIN.to_json()
    with pytest.raises(SettingsError, match=r"unknown \['resize'\]"):
        Preprocessor.from_json({**content, "resize": 1})
    del content["size"]
    with pytest.raises(SettingsError, match=r"missing \['size'\]"):
        Preprocessor.from_json(content)


@pytest.mark.parametrize("aspect", ["pad", "stretch"])
@pytest.mark.parametrize("spacing", [None, (0.5, 1.5)])
def test_a_mask_stays_on_what_it_marks(aspect: str, spacing: tuple[float, float] | None) -> None:
    pixels = np.zeros((1, 90, 60), np.float32)
    pixels[0, 20:50, 30:45] = 1
    preprocessor = dataclasses.replace(PLAIN, aspect=aspect, intensity="minmax")
    image = preprocessor.apply(Scan(pixels, spacing=spacing))
    mask = preprocessor.apply_mask(pixels[0] > 0, (90, 60), spacing)
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, image[0] >= 0.5)
    place = preprocessor.placement((90, 60), spacing)
    height, width = place.shape
    assert mask.sum() == pytest.approx(height * width / 12, rel=0.2)


def test_small_empty_and_full_masks() -> None:
    dot = np.zeros((400, 400), bool)
    dot[100, 200] = True
    assert np.argwhere(PLAIN.apply_mask(dot, (400, 400))).tolist() == [[8, 16]]
    assert not PLAIN.apply_mask(np.zeros((90, 60), bool), (90, 60)).any()
    full = PLAIN.apply_mask(np.ones((32, 16), bool), (32, 16))
    assert full[:, 8:24].all()
    assert full.sum() == 32 * 16


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ScanlensError, match=r"mask of shape \(9, 9\) was given for a scan of shape \(9, 8\)"):
        PLAIN.apply_mask(np.zeros((9, 9), bool), (9, 8))


def disc(diameter: float, spacing: tuple[float, float], shape: tuple[int, int]) -> Scan:
    """A disc of so many millimetres, off the centre."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    down, across = rows * spacing[0] - 35, columns * spacing[1] - 30
    inside = down**2 + across**2 < (diameter / 2) ** 2
    return Scan(inside[np.newaxis].astype(np.float32), spacing=spacing, bits=16)


@pytest.mark.parametrize(
    ("spacing", "shape"), [((0.25, 0.25), (300, 320)), ((0.2, 0.5), (400, 130)), ((1.5, 1.0), (50, 70))]
)
@pytest.mark.parametrize("crop", ["none", "foreground"])
def test_a_disc_keeps_its_millimetres(
    spacing: tuple[float, float], shape: tuple[int, int], crop: str
) -> None:
    preprocessor = Preprocessor((96, 80), 1, "pad", "minmax", (0, 100), None, 2, (0.5, 0.8), crop)
    image = preprocessor.apply(disc(40, spacing, shape))[0]
    area = image.sum() * 0.5 * 0.8
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(40, rel=0.02)
    found = np.argwhere(image > 0.5)
    height, width = np.ptp(found, axis=0) + 1
    assert height * 0.5 == pytest.approx(40, abs=1.6)
    assert width * 0.8 == pytest.approx(40, abs=2)


def test_windows_in_hounsfield_units_are_exact_and_one_channel_each() -> None:
    units = np.array([[-2000, -1000, -160, 0], [40, 240, 400, 3000]], np.float32)
    scan = Scan(units[np.newaxis], modality="CT", bits=16, window=(-7.0, 7.0))
    windows = ((-1000.0, 400.0), (-160.0, 240.0), (-500.0, 1300.0))
    image = Preprocessor((2, 4), 3, "stretch", "auto", (1, 99), windows, 2).apply(scan)
    for channel, (lower, upper) in zip(image, windows, strict=True):
        assert np.allclose(channel, np.clip((units - lower) / (upper - lower), 0, 1), atol=1e-6)


def test_a_bright_edge_is_clipped_before_it_is_averaged() -> None:
    """Bone of 3000 HU beside fat of -100: averaged first, every mixed pixel would be white."""
    units = np.tile(np.array([-100, 3000], np.float32), (8, 4))
    scan = Scan(units[np.newaxis], modality="CT", bits=16)
    image = Preprocessor((4, 4), 1, "stretch", "auto", (1, 99), ((-100.0, 300.0),), 2).apply(scan)
    assert np.allclose(image, 0.5)


def test_channels_are_the_slices_window_by_window() -> None:
    volume = np.broadcast_to(np.arange(9, dtype=np.float32)[:, None, None] * 10, (1, 9, 16, 16)).copy()
    flat = Preprocessor((16, 16), 6, "pad", "auto", (0, 100), ((0.0, 80.0), (0.0, 160.0)), 3, None, "none", 3)
    image = flat.apply(Scan(volume, modality="CT", bits=16))
    assert np.allclose(image[:, 3, 3], [30 / 80, 40 / 80, 50 / 80, 30 / 160, 40 / 160, 50 / 160])
    assert np.ptp(image, axis=(1, 2)).max() == 0


def test_grey_slices_of_a_coloured_volume() -> None:
    flat = Preprocessor((8, 8), 3, "pad", "auto", (0, 100), None, 3, None, "none", 3)
    image = flat.apply(Scan(np.full((3, 5, 8, 8), 51, np.float32)))
    assert np.allclose(image, 0.2, atol=1e-5)


def test_ultrasound_is_cropped_to_its_fan_and_nothing_else_is() -> None:
    pixels = np.zeros((1, 100, 200), np.float32)
    pixels[:, 20:80, 60:140] = 90
    auto = dataclasses.replace(PLAIN, crop="auto", intensity="auto")
    fan, other = (auto.locate(Scan(pixels, modality=modality)) for modality in ("US", "CR"))
    assert [(part.start, part.stop) for part in other] == [(0, 100), (0, 200)]
    for part, (start, stop) in zip(fan, [(20, 80), (60, 140)], strict=True):
        assert start - 4 <= part.start <= start
        assert stop <= part.stop <= stop + 4
    assert auto.crop_of("US") == "fan"
    assert auto.crop_of("CR") == "none"
    filled = auto.apply(Scan(pixels, modality="US"))
    assert (filled > 0.2).mean() > 0.6


def planted(dims: int, spacing: tuple[float, ...]) -> tuple[Scan, tuple[int, ...]]:
    """A body off the centre with a bright dot in it."""
    shape, dot = ((60, 130, 170), (30, 48, 102)) if dims == 3 else ((130, 170), (48, 102))
    pixels = np.random.default_rng(0).normal(20, 2, shape).astype(np.float32)
    body = tuple(slice(place - 22, place + 26) for place in dot[-2:])
    body = (slice(dot[0] - 24, dot[0] + 25), *body) if dims == 3 else body
    pixels[body] += 100
    pixels[tuple(slice(place - 1, place + 2) for place in dot)] = 400
    return Scan(pixels[np.newaxis], spacing=spacing, bits=16), dot


@pytest.mark.parametrize("crop", ["none", "foreground", "fan"])
@pytest.mark.parametrize("wanted", [None, 0.7, 1.9])
@pytest.mark.parametrize(("dims", "slices"), [(2, 1), (3, 1), (3, 3)])
def test_a_planted_dot_is_where_mask_and_position_say(
    crop: str, wanted: float | None, dims: int, slices: int
) -> None:
    """Crop, spacing, padding and cutting to size: the image, its mask and the way back agree."""
    spacing = (1.0, 0.8, 1.3)[-dims:]
    scan, dot = planted(dims, spacing)
    axes = 2 if slices > 1 else dims
    size = (48, 64, 84)[-axes:]
    preprocessor = Preprocessor(
        size, slices, "pad", "minmax", (0, 100), None, dims, wanted and (wanted,) * axes, crop, slices
    )
    image = preprocessor.apply(scan)[slices // 2]
    box = preprocessor.locate(scan)
    marked = np.zeros(scan.pixels.shape[1:], bool)
    marked[tuple(slice(place - 1, place + 2) for place in dot)] = True
    mask = preprocessor.apply_mask(marked, marked.shape, spacing, box)
    assert mask.shape == size
    peak = tuple(int(place) for place in np.unravel_index(image.argmax(), size))
    assert mask[peak]
    assert image[mask].min() > np.median(image[image > 0.1]) if wanted != 1.9 else mask.sum() >= 1
    there = preprocessor.placement(marked.shape, spacing, box).to_scan(peak)
    # Half a pixel of the grid and the dot's own two.
    reach = 0.5 * (wanted or 3) / min(spacing) + 2
    assert np.abs(np.subtract(there, dot[-axes:])).max() <= reach
    if crop != "none":
        assert any(part.stop - part.start < side for part, side in zip(box, marked.shape, strict=True))


def test_one_pixel_blank_and_tiny_scans() -> None:
    for crop in ("none", "foreground", "fan"):
        for intensity in ("auto", "percentile", "minmax", "zscore"):
            preprocessor = dataclasses.replace(PLAIN, crop=crop, intensity=intensity)
            for shape in ((1, 1), (1, 9), (7, 7)):
                blank = preprocessor.apply(Scan(np.full((1, *shape), 9, np.float32), bits=16, modality="MR"))
                assert blank.shape == (1, 32, 32)
                assert not blank.any()


def test_grey_scans_for_three_channels_are_repeated_and_colours_kept() -> None:
    colour = noise(3, 20, 20, bits=8)
    three = dataclasses.replace(PLAIN, channels=3)
    grey = three.apply(noise(1, 20, 20))
    assert np.array_equal(grey[0], grey[1])
    assert np.array_equal(grey[0], PLAIN.apply(noise(1, 20, 20))[0])
    kept = three.apply(colour)
    assert not np.array_equal(kept[0], kept[1])


HUGE = np.full((1, 64, 64), 3e38, np.float32)
SPREAD = np.where(np.eye(64, dtype=bool), np.float32(-3e38), HUGE)


@pytest.mark.parametrize(
    ("rule", "scan"),
    [
        ("window", Scan(noise(1, 16, 16).pixels, window=(5.0, 5.0))),
        ("window", Scan(noise(1, 16, 16).pixels, window=(9.0, 5.0))),
        ("window", Scan(noise(1, 16, 16).pixels, window=(0.0, float("nan")))),
        ("window", Scan(noise(1, 16, 16).pixels, window=(0.0, 1e300))),
        ("window", Scan(noise(1, 16, 16).pixels, window=(0.0, 1e-44))),
        *((rule, Scan(SPREAD, bits=32)) for rule in ("minmax", "zscore", "percentile", "auto")),
        ("minmax", Scan(np.eye(64, dtype=np.float32)[None] * 1e-44, bits=32)),
        # Its limits are in order; the sum of an area of such values is not.
        ("minmax", Scan(np.triu(HUGE[0])[None], bits=32)),
    ],
)
def test_values_that_float32_cannot_rescale_are_a_reason(rule: str, scan: Scan) -> None:
    with pytest.raises(UnreadableScan, match=r"limits: |not finite: "):
        dataclasses.replace(PLAIN, intensity=rule).apply(scan)


@pytest.mark.parametrize("value", [0.0, 7.0, 1e20, -1e20, 1e38])
@pytest.mark.parametrize("rule", ["minmax", "zscore", "percentile"])
def test_blank_scans_become_zero_however_large_their_value(rule: str, value: float) -> None:
    blank = Scan(np.full((1, 32, 32), value, np.float32), bits=32)
    assert not dataclasses.replace(PLAIN, intensity=rule).apply(blank).any()
