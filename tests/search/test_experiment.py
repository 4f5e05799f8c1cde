"""A sweep's best settings as an experiment that composes to them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from scanlens.config.compose import compose_text
from scanlens.errors import SettingsError
from scanlens.search.experiment import experiment_path, write_experiment
from scanlens.tracking.lineage import flatten


@pytest.fixture
def conf(tmp_path: Path, project: Path) -> Path:
    shutil.copytree(project / "conf", tmp_path / "conf")
    return tmp_path


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.lr=0.001"],
        ["model=resnet18", "model.dropout=0.3", "training.lr=0.001"],
        ["data=table", "data.root=/scans", "data.table=labels.csv", "transfer=head"],
        ["experiment=quick", "training.batch_size=16"],
        ["seed=7", "model.hidden=[64,32]", "preprocess.size=64"],
        ["training.lr=0.003"],
    ],
    ids=str,
)
def test_an_experiment_composes_to_the_best_trials_settings(conf: Path, overrides: list[str]) -> None:
    path = write_experiment(conf, "best", [*overrides, "runtime.threads=1"], ["value 1", "more"])
    wanted = yaml.safe_load(compose_text(conf, overrides))
    assert yaml.safe_load(compose_text(conf, ["experiment=best"])) == wanted
    text = path.read_text()
    assert text.startswith("# @package _global_\n# Best of the sweep best: value 1\n# more\n")
    assert "threads" not in text
    named = {key.removeprefix("defaults.") for key in flatten(yaml.safe_load(text))} - {"defaults"}
    assert named <= {override.split("=")[0] for override in overrides}, "only what was chosen and fixed"
    # A later sweep of the name replaces it.
    write_experiment(conf, "best", ["training.lr=0.002"], ["value 2"])
    assert yaml.safe_load(compose_text(conf, ["experiment=best"]))["training"]["lr"] == 0.002


def test_an_experiment_of_ones_own_stays(conf: Path) -> None:
    with pytest.raises(SettingsError, match="is no sweep's"):
        experiment_path(conf, "quick")
    assert experiment_path(conf, "new").name == "new.yaml"
