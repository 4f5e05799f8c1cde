"""The stage: a store with lineage, the same bytes twice, the audit's facts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanlens.config.schema import Synthesis
from scanlens.preprocess.store import Store
from scanlens.synthesis.make import load_generator, make_from_seeds
from scanlens.synthesis.run import label_slugs, lineage_of, synthesise

MakeStore = Callable[..., Store]


@pytest.mark.parametrize("shape", [(1, 20, 16), (3, 16, 16), (1, 10, 12, 14)])
def test_made_store(make_store: MakeStore, config: Synthesis, tmp_path: Path, shape: tuple[int, ...]) -> None:
    store = make_store(shape)
    facts = synthesise(store, config, tmp_path / "made", "cpu")
    made = Store.open(tmp_path / "made")
    assert made.shape == shape
    assert made.labels == store.labels
    assert made.index["label"].tolist() == ["dark"] * 5 + ["Bright 2!"] * 5
    assert set(made.index["split"]) == {"train"}
    assert set(made.index["patient"]) == {""}
    assert made.index["scan_id"].is_unique
    assert made.index["scan_id"].str.fullmatch(r"synthetic-[a-z0-9-]+-\d{5}").all()
    assert set(made.index["parents"]) == {lineage_of(store.index["scan_id"].iloc[store.rows("train")])}
    assert facts["made"] == 10
    assert set(facts["fidelity"]) == set(store.labels)
    assert facts["fidelity"]["dark"]["frechet"] >= 0
    assert 0 <= facts["memorisation"]["share_closer"] <= 1
    json.dumps(facts)
    generator = load_generator(tmp_path / "made" / "generator.safetensors")
    again = make_from_seeds(generator, made.targets([0, 7]), made.index["seed"].to_numpy()[[0, 7]], shape[1:])
    np.testing.assert_allclose(again, made.read([0, 7]), atol=1e-4)
    with Image.open(tmp_path / "made" / "sheet.png") as sheet:
        assert sheet.height > 4 * 128


def test_same_settings_same_bytes(make_store: MakeStore, config: Synthesis, tmp_path: Path) -> None:
    store = make_store()
    facts = [synthesise(store, config, tmp_path / name, "cpu") for name in ("one", "two")]
    assert facts[0] == facts[1]
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_class_without_training_scans_stays_empty(
    make_store: MakeStore, config: Synthesis, tmp_path: Path
) -> None:
    store = make_store()
    kept = store.rows("train")[store.targets(store.rows("train")) == 0]
    store.rows = lambda split: kept  # type: ignore[method-assign]
    facts = synthesise(store, config, tmp_path / "made", "cpu")
    assert facts["made"] == 5
    assert list(facts["fidelity"]) == ["dark"]


def test_lineage_ignores_order() -> None:
    assert lineage_of(["b", "a"]) == lineage_of(["a", "b"]) != lineage_of(["a"])


def test_label_slugs() -> None:
    slugs = label_slugs(["normal", "Normal", "Grade 2/3", "肺炎"])
    assert slugs[0] == "normal"
    assert len(set(slugs)) == 4
    assert all(slug and slug.isascii() and "/" not in slug for slug in slugs)
