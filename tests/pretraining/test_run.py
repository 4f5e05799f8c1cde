"""Made scans are learnt from only where training starts from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from scanlens.models.registry import build, resolve_model
from scanlens.models.weights import read_weights
from scanlens.pretraining.run import pretrain
from scanlens.scaling.device import Machine
from tests.helpers.tiny import augmentation, model, pretraining, transfer, write_store

CPU = Machine("cpu", "32", 1, 4)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the stage on 4 made scans a class; keywords change it."""
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "real")

    def run(output: str = "out", *, made: int = 4, source: str = "pretraining", **changes: Any) -> Any:
        write_store(tmp_path / "made", train=made, other=0, seed=4) if made else empty(tmp_path / "made")
        (tmp_path / output).mkdir()
        facts = pretrain(
            tmp_path / "real",
            tmp_path / "made",
            model(),
            transfer(source=source, file="weights.pt" if source == "file" else None),
            pretraining(**changes),
            augmentation(),
            CPU,
            tmp_path / output,
        )
        return facts, read_weights(tmp_path / output / "model.safetensors")

    return run


def empty(folder: Path) -> None:
    from scanlens.preprocess.store import StoreWriter

    columns = ["scan_id", "patient", "label", "split", "site", "path"]
    with StoreWriter(folder, (1, 16, 16), ["dark", "bright"], 8) as writer:
        writer.close(pd.DataFrame(columns=columns, dtype=str))


def fresh() -> dict[str, torch.Tensor]:
    return build(resolve_model(model(), (1, 16, 16), 2), 0).state_dict()


def test_it_learns_and_repeats_to_the_byte(call: Any, tmp_path: Path) -> None:
    facts, state = call(epochs=2)
    assert facts["scans"] == 8
    assert facts["epochs"] == 2
    assert 0 <= facts["val_auc"] <= 1
    assert not torch.equal(state["head.weight"], fresh()["head.weight"])
    history = pd.read_csv(tmp_path / "out" / "pretraining.csv")
    assert history["epoch"].tolist() == [0, 1]
    call("again", epochs=2)
    for name in ("model.safetensors", "pretraining.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_validation_split_of_one_class_is_no_obstacle(call: Any, tmp_path: Path) -> None:
    index = tmp_path / "real" / "index.parquet"
    table = pd.read_parquet(index)
    table.loc[table["split"] == "val", "label"] = "dark"
    table.to_parquet(index)
    facts, _ = call(epochs=2)
    assert "val_auc" not in facts
    assert np.isfinite(facts["val_loss"])
    json.dumps(facts, allow_nan=False)


def test_the_head_is_the_one_that_training_builds(call: Any, tmp_path: Path) -> None:
    for name in ("real", "made"):
        write_store(tmp_path / name)
        path = tmp_path / name / "store.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "task": "ordinal"}))
    _, state = call(made=0)
    wanted = build(resolve_model(model(), (1, 16, 16), 2, "ordinal"), 0).state_dict()
    assert state.keys() == wanted.keys()
    assert "head.score.weight" in state


@pytest.mark.parametrize(
    "change",
    [{"source": "none"}, {"source": "file"}, {"epochs": 0}, {"made": 0}],
    ids=str,
)
def test_where_nothing_is_learnt_the_fresh_weights_are_kept(
    call: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    facts, state = call(**change)
    assert facts["epochs"] == 0
    for name, tensor in fresh().items():
        assert torch.equal(state[name], tensor)
    assert pd.read_csv(tmp_path / "out" / "pretraining.csv").empty
