"""The bank: balance, limits, lineage, reproducibility."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanlens.atomic import write_json
from scanlens.augmentation.bank import build_bank, copies_of_classes
from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Augmentation, Policy
from scanlens.errors import SettingsError
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.store import Store

MakeStore = Callable[..., Store]


@pytest.fixture
def config(policy: Policy) -> Augmentation:
    return Augmentation(policy=policy, balance=True, max_factor=3.0, seed=4)


@pytest.mark.parametrize(
    ("counts", "limit", "expected"),
    [
        ([10, 4, 1], 100, [0, 6, 9]),
        ([10, 4, 1], 15, [0, 6, 9]),
        ([10, 4, 1], 3, [0, 0, 3]),
        ([10, 4, 1], 5, [0, 1, 4]),
        ([10, 4, 0], 100, [0, 6, 0]),
        ([5, 5], 100, [0, 0]),
        ([7], 100, [0]),
        ([10, 4], 0, [0, 0]),
    ],
)
def test_copies_of_classes(counts: list[int], limit: int, expected: list[int]) -> None:
    assert copies_of_classes(np.array(counts), limit).tolist() == expected


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 12), (1, 8, 8, 8)])
def test_bank_balances_from_training_scans_only(
    make_store: MakeStore, config: Augmentation, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    store = make_store({"large": 9, "small": 2, "middle": 5}, shape)
    facts = build_bank(store, config, tmp_path / "bank")
    bank = Store.open(tmp_path / "bank")
    assert facts["made"] == len(bank) == 11
    assert facts["after"] == {"large": 9, "small": 9, "middle": 9}
    assert bank.shape == shape
    assert set(bank.index["split"]) == {"train"}
    assert bank.index["scan_id"].is_unique
    by_id = store.index.set_index("scan_id")
    parents = by_id.loc[bank.index["parents"]]
    assert set(parents["split"]) == {"train"}
    for column in ("patient", "label", "site"):
        assert parents[column].tolist() == bank.index[column].tolist()
    uses = bank.index.groupby(["label", "parents"]).size()
    assert uses.groupby("label").agg(lambda counts: counts.max() - counts.min()).max() <= 1


def test_seed_and_parent_make_the_copy_again(
    make_store: MakeStore, config: Augmentation, tmp_path: Path
) -> None:
    store = make_store({"large": 6, "small": 2})
    build_bank(store, config, tmp_path / "bank")
    bank = Store.open(tmp_path / "bank")
    policy = build_policy(config.policy, 2, 1)
    places = {scan_id: row for row, scan_id in enumerate(store.index["scan_id"])}
    for row in range(len(bank)):
        parent = store.read([places[bank.index["parents"][row]]])[0]
        copy = policy.apply(parent, int(bank.index["seed"][row]))
        assert np.abs(bank.read([row])[0] - copy).max() <= 0.5 / 65535 + 1e-7


def test_same_settings_same_bytes(make_store: MakeStore, config: Augmentation, tmp_path: Path) -> None:
    store = make_store({"large": 6, "small": 2})
    for name in ("one", "two"):
        build_bank(store, config, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert {"store.json", "index.parquet", "sheet.png", "shard-00000.npy"} <= set(files)
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    build_bank(store, dataclasses.replace(config, seed=5), tmp_path / "three")
    shards = [(tmp_path / name / "shard-00000.npy").read_bytes() for name in ("one", "three")]
    assert shards[0] != shards[1]


@pytest.mark.parametrize("off", [{"balance": False}, {"max_factor": 1.0}])
def test_empty_bank_is_a_store(
    make_store: MakeStore, config: Augmentation, tmp_path: Path, off: dict[str, object]
) -> None:
    store = make_store({"large": 4, "small": 1})
    facts = build_bank(store, dataclasses.replace(config, **off), tmp_path / "bank")
    bank = Store.open(tmp_path / "bank")
    assert facts["made"] == len(bank) == 0
    assert bank.read([]).shape == (0, 1, 16, 16)
    assert {"parents", "seed"} <= set(bank.index.columns)


def test_limit(make_store: MakeStore, config: Augmentation, tmp_path: Path) -> None:
    store = make_store({"large": 10, "small": 2})
    facts = build_bank(store, dataclasses.replace(config, max_factor=1.5), tmp_path / "bank")
    assert facts["made"] == 6


def test_sheet_has_a_row_a_class(make_store: MakeStore, config: Augmentation, tmp_path: Path) -> None:
    store = make_store({"large": 4, "small": 1, "none": 0})
    build_bank(store, config, tmp_path / "bank")
    with Image.open(tmp_path / "bank" / "sheet.png") as sheet:
        assert sheet.height > 2 * 128
        assert sheet.height < 3 * 170
        assert np.asarray(sheet).std() > 10


def test_the_sheet_shows_windows_in_grey(make_store: MakeStore, config: Augmentation, tmp_path: Path) -> None:
    """Three channels that are windows: the middle one is drawn, not three as if they were colours."""
    for windows, coloured in ((None, True), (((0, 1), (0, 2), (0, 3)), False)):
        store = make_store({"one": 2, "two": 2}, (3, 16, 16))
        preprocessor = Preprocessor((16, 16), 3, "pad", "auto", (0.5, 99.5), windows, 2)
        write_json(store.folder / "preprocessor.json", preprocessor.to_json())
        build_bank(store, config, tmp_path / "bank")
        with Image.open(tmp_path / "bank" / "sheet.png") as sheet:
            drawn = np.asarray(sheet.convert("RGB")).astype(int)
        assert bool(np.ptp(drawn, axis=2).max() > 50) is coloured


def test_refusals(make_store: MakeStore, config: Augmentation, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="empty"):
        build_bank(make_store({"a": 0}), config, tmp_path / "bank")
