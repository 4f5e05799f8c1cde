"""The settings are checked, and ``auto`` becomes numbers by the manifest."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from scanlens.config.schema import Preprocess
from scanlens.preprocess.preprocessor import Preprocessor, resolve_preprocessor

MakeConfig = Callable[..., Preprocess]


def manifest_of(
    *shapes: tuple[int, ...], channels: int = 1, split: str = "train", spacing: tuple[float, ...] = ()
) -> pd.DataFrame:
    table = pd.DataFrame({"shape": [list(shape) for shape in shapes]})
    table["spacing"] = [list(spacing)] * len(table)
    return table.assign(channels=channels, split=split, status="ok")


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
        ([(28, 28, 28)], 3, (28, 28, 28)),
        ([(35, 51, 35), (33, 49, 36)], 3, (52, 52, 52)),
        ([(20, 512, 512)], 3, (64, 64, 64)),
        ([(60, 64, 10)], 3, (64, 64, 64)),
    ],
)
def test_automatic_size(
    preprocess_config: MakeConfig, shapes: list[tuple[int, ...]], dims: int, size: tuple[int, ...]
) -> None:
    assert resolve_preprocessor(preprocess_config(), manifest_of(*shapes), dims).size == size


def test_the_size_is_decided_by_accepted_training_scans_only(preprocess_config: MakeConfig) -> None:
    others = pd.concat(
        [
            manifest_of(*[(500, 500)] * 5, split="test"),
            manifest_of(*[(500, 500)] * 5).assign(status="blank: every pixel is 0"),
        ]
    )
    table = pd.concat([manifest_of((40, 40)), others], ignore_index=True)
    assert resolve_preprocessor(preprocess_config(), table, 2).size == (40, 40)


def test_automatic_channels(preprocess_config: MakeConfig) -> None:
    grey, colour = manifest_of((40, 40)), manifest_of((40, 40), channels=3)
    for tables, expected in (([grey], 1), ([colour], 3), ([grey, colour], 1), ([grey, colour, colour], 3)):
        assert resolve_preprocessor(preprocess_config(), pd.concat(tables), 2).channels == expected


def test_settings_replace_auto(preprocess_config: MakeConfig) -> None:
    config = preprocess_config(
        size=[40, 30], channels=3, aspect="stretch", intensity="window", windows=[[-5, 5]], crop="none"
    )
    windows = ((-5.0, 5.0),)
    expected = Preprocessor((40, 30), 3, "stretch", "window", (0.5, 99.5), windows, 2, None, "none", 1)
    assert resolve_preprocessor(config, manifest_of((90, 90)), 2) == expected
    assert resolve_preprocessor(preprocess_config(size=48), manifest_of((9, 9, 9)), 3).size == (48, 48, 48)


def test_windows_and_slices_become_channels(preprocess_config: MakeConfig) -> None:
    windows = [[-1000.0, 400.0], [-160.0, 240.0], [-500.0, 1300.0]]
    grey, volume = manifest_of((90, 90)), manifest_of((9, 90, 80))
    assert resolve_preprocessor(preprocess_config(windows=windows), grey, 2).channels == 3
    assert resolve_preprocessor(preprocess_config(windows=windows[:2]), grey, 2).channels == 2
    assert resolve_preprocessor(preprocess_config(windows=windows, channels=3), grey, 2).channels == 3
    assert resolve_preprocessor(preprocess_config(windows=windows[:1], channels=3), grey, 2).channels == 3
    flat = resolve_preprocessor(preprocess_config(slices=5), volume, 3)
    assert (flat.channels, flat.size, flat.dims) == (5, (128, 128), 3)
    both = resolve_preprocessor(preprocess_config(slices=5, windows=windows[:2]), volume, 3)
    assert both.channels == 10


def test_only_red_green_and_blue_are_colours(preprocess_config: MakeConfig) -> None:
    colour = manifest_of((90, 90), channels=3)
    windows = [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]
    assert resolve_preprocessor(preprocess_config(), colour, 2).colour
    assert resolve_preprocessor(preprocess_config(windows=windows[:1]), colour, 2).colour
    assert not resolve_preprocessor(preprocess_config(windows=windows), colour, 2).colour
    assert not resolve_preprocessor(preprocess_config(slices=3), manifest_of((9, 9, 9)), 3).colour
    assert not resolve_preprocessor(preprocess_config(), manifest_of((90, 90)), 2).colour


def test_with_a_spacing_the_size_holds_the_training_scans(preprocess_config: MakeConfig) -> None:
    table = pd.concat(
        [
            manifest_of(*[(100, 200)] * 99, spacing=(0.5, 0.5)),
            manifest_of((5000, 5000), spacing=(0.5, 0.5)),
            manifest_of((9000, 9000), spacing=()),
            manifest_of(*[(900, 900)] * 50, spacing=(1.0, 1.0), split="test"),
        ],
        ignore_index=True,
    )
    config = preprocess_config(spacing=[0.25, 1.0])
    found = resolve_preprocessor(config, table, 2)
    assert found.spacing == (0.25, 1.0)
    assert found.size == (200, 104)
    assert resolve_preprocessor(preprocess_config(spacing=0.5, size=64), table, 2).size == (64, 64)
    volumes = manifest_of((20, 100, 60), spacing=(3.0, 1.0, 1.0))
    assert resolve_preprocessor(preprocess_config(spacing=2.0), volumes, 3).size == (32, 56, 32)
    assert resolve_preprocessor(preprocess_config(spacing=1, slices=3), volumes, 3).size == (104, 64)
