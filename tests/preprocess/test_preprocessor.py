"""Settings become numbers; every one of them changes something; masks go where their scans go."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Preprocess
from scanlens.errors import ScanlensError, SettingsError, UnreadableScan
from scanlens.preprocess.preprocessor import Preprocessor, resolve
from scanlens.types import Scan

MakeConfig = Callable[..., Preprocess]
PLAIN = Preprocessor((32, 32), 1, "pad", "percentile", (0.5, 99.5), None, 2)


def manifest_of(*shapes: tuple[int, ...], channels: int = 1, split: str = "train") -> pd.DataFrame:
    table = pd.DataFrame({"shape": [list(shape) for shape in shapes]})
    return table.assign(channels=channels, split=split, status="ok")


def noise(*shape: int, **fields: Any) -> Scan:
    pixels = np.random.default_rng(0).normal(100, 60, shape).astype(np.float32)
    return Scan(pixels, **{"bits": 16, **fields})


@pytest.mark.parametrize(
    ("shapes", "dims", "size"),
    [
        ([(28, 28)], 2, (28, 28)),
        ([(50, 90), (50, 60)], 2, (52, 52)),
        ([(64, 500)], 2, (64, 64)),
        ([(65, 65)], 2, (128, 128)),
        ([(255, 300), (300, 250)], 2, (128, 128)),
        ([(256, 300)], 2, (224, 224)),
        ([(3000, 2000), (20, 20), (900, 900)], 2, (224, 224)),
        ([(28, 28, 28)], 3, (32, 32, 32)),
        ([(35, 51, 35), (33, 49, 36)], 3, (56, 56, 56)),
        ([(20, 512, 512)], 3, (64, 64, 64)),
        ([(60, 64, 10)], 3, (64, 64, 64)),
    ],
)
def test_automatic_size(
    preprocess_config: MakeConfig, shapes: list[tuple[int, ...]], dims: int, size: tuple[int, ...]
) -> None:
    assert resolve(preprocess_config(), manifest_of(*shapes), dims).size == size


def test_the_size_is_decided_by_accepted_training_scans_only(preprocess_config: MakeConfig) -> None:
    others = pd.concat(
        [
            manifest_of(*[(500, 500)] * 5, split="test"),
            manifest_of(*[(500, 500)] * 5).assign(status="blank: every pixel is 0"),
        ]
    )
    table = pd.concat([manifest_of((40, 40)), others], ignore_index=True)
    assert resolve(preprocess_config(), table, 2).size == (40, 40)


def test_automatic_channels(preprocess_config: MakeConfig) -> None:
    grey, colour = manifest_of((40, 40)), manifest_of((40, 40), channels=3)
    for tables, expected in (([grey], 1), ([colour], 3), ([grey, colour], 1), ([grey, colour, colour], 3)):
        assert resolve(preprocess_config(), pd.concat(tables), 2).channels == expected


def test_settings_replace_auto(preprocess_config: MakeConfig) -> None:
    config = preprocess_config(
        size=[40, 30], channels=3, aspect="stretch", intensity="window", window=[-5, 5]
    )
    expected = Preprocessor((40, 30), 3, "stretch", "window", (0.5, 99.5), (-5.0, 5.0), 2)
    assert resolve(config, manifest_of((90, 90)), 2) == expected
    assert resolve(preprocess_config(size=48), manifest_of((9, 9, 9)), 3).size == (48, 48, 48)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [32]},
        {"size": [32, 32, 32]},
        {"size": 3},
        {"size": -32},
        {"percentiles": [99.0, 1.0]},
        {"percentiles": [1.0]},
        {"percentiles": [-1.0, 99.0]},
        {"percentiles": [1.0, 101.0]},
        {"window": [5.0, 5.0]},
        {"window": [5.0]},
    ],
)
def test_settings_out_of_range_are_refused_by_name(
    preprocess_config: MakeConfig, wrong: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match=rf"preprocess\.{next(iter(wrong))}: expected"):
        resolve(preprocess_config(**wrong), manifest_of((90, 90)), 2)


@pytest.mark.parametrize(
    "change",
    [
        {"size": (32, 40)},
        {"channels": 3},
        {"aspect": "stretch"},
        {"intensity": "minmax"},
        {"intensity": "auto"},
        {"intensity": "window"},
        {"percentiles": (10.0, 99.5)},
    ],
)
def test_every_setting_changes_the_result(change: dict[str, Any]) -> None:
    scan = noise(1, 40, 60, modality="CT", window=(0.0, 50.0))
    plain, changed = PLAIN.apply(scan), dataclasses.replace(PLAIN, **change).apply(scan)
    assert plain.shape != changed.shape or not np.allclose(plain, changed)


def test_the_window_changes_the_result() -> None:
    scan = noise(1, 40, 60, window=(0.0, 50.0))
    by_file = dataclasses.replace(PLAIN, intensity="window")
    by_setting = dataclasses.replace(by_file, window=(0.0, 200.0))
    assert not np.allclose(by_file.apply(scan), by_setting.apply(scan))


@pytest.mark.parametrize("rule", ["auto", "percentile", "minmax", "window"])
@pytest.mark.parametrize(("shape", "dims"), [((1, 41, 67), 2), ((3, 90, 33), 2), ((1, 20, 31, 25), 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_results_are_float32_of_one_shape_within_zero_and_one(
    rule: str, shape: tuple[int, ...], dims: int, channels: int
) -> None:
    window = (0.0, 150.0)
    preprocessor = Preprocessor((24,) * dims, channels, "pad", rule, (1.0, 99.0), window, dims)
    image = preprocessor.apply(noise(*shape))
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
    with pytest.raises(UnreadableScan, match=r"x\.dcm: no window"):
        dataclasses.replace(PLAIN, intensity="window").apply(noise(1, 9, 9), "x.dcm")
    broken = noise(1, 40, 40)
    broken.pixels[0, 5, 5] = np.nan
    for rule in ("percentile", "auto"):
        with pytest.raises(UnreadableScan, match=r"x\.dcm: not finite"):
            dataclasses.replace(PLAIN, intensity=rule).apply(dataclasses.replace(broken, bits=8), "x.dcm")


@pytest.mark.parametrize("window", [None, (-160.0, 240.0)])
def test_json_round_trip_gives_the_same_results(window: tuple[float, float] | None) -> None:
    preprocessor = dataclasses.replace(PLAIN, window=window)
    again = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json())))
    assert again == preprocessor
    scan = noise(1, 50, 40)
    assert again.apply(scan).tobytes() == preprocessor.apply(scan).tobytes()


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
    height, width = (part.stop - part.start for part in place)
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
