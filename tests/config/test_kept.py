"""Own data that were chosen once are kept, or a run stops: phantoms are never taken in silence."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanlens.config.compose import compose_text, with_kept_data, write_params
from scanlens.config.kept import keep_data, kept_choice, refuse_forgotten_data
from scanlens.errors import SettingsError
from scanlens.search.plan import read_plan

OWN = [
    "data=table",
    'data.root="/my scans/é"',
    "data.table=labels.csv",
    "data.columns.label=dx",
    "data.labels=[b,a]",
]


@pytest.fixture
def checkout(project: Path, tmp_path: Path) -> Path:
    """A project that was run on own data."""
    shutil.copytree(project / "conf", tmp_path / "conf")
    write_params(tmp_path, OWN)
    return tmp_path


def data_of(project: Path, overrides: list[str]) -> dict[str, Any]:
    section: dict[str, Any] = yaml.safe_load(compose_text(project, overrides))["data"]
    return section


def test_a_command_that_leaves_the_data_out_goes_on_with_them(checkout: Path) -> None:
    wanted = data_of(checkout, OWN)
    assert data_of(checkout, with_kept_data(checkout, ["training.lr=1e-4"])) == wanted
    assert data_of(checkout, with_kept_data(checkout, ["data.dims=3"])) == {**wanted, "dims": 3}


@pytest.mark.parametrize("choice", ["data=phantom", "data=folder"])
def test_another_choice_is_taken_as_it_is(checkout: Path, choice: str) -> None:
    assert with_kept_data(checkout, [choice, "data.root=/other"]) == [choice, "data.root=/other"]


def test_an_experiment_with_data_of_its_own_keeps_them(checkout: Path) -> None:
    (checkout / "conf/experiment/mine.yaml").write_text(
        "# @package _global_\ndefaults: [override /data: folder]\ndata: {root: /other}\n"
    )
    assert with_kept_data(checkout, ["experiment=mine"]) == ["experiment=mine"]


def test_a_sweep_goes_on_with_them(checkout: Path) -> None:
    plan = read_plan(checkout, ["training.lr=1e-3,1e-4"], {})
    assert data_of(checkout, plan.overrides({"training.lr": "1e-3"})) == data_of(checkout, OWN)


def test_a_stage_of_dvcs_own_settings_stops_and_says_what_was_left_out(checkout: Path) -> None:
    phantoms = yaml.safe_load(compose_text(checkout, ["training.lr=1e-4"]))
    # Also in the copy that dvc exp run --temp makes.
    copy = checkout / ".dvc/tmp/exps/tmp1"
    shutil.copytree(checkout / "conf", copy / "conf")
    for folder in (checkout, copy):
        with pytest.raises(SettingsError) as caught:
            refuse_forgotten_data(folder, phantoms)
        words = shlex.split(str(caught.value).partition("dvc exp run ")[2].partition(" ...")[0])
        assert data_of(checkout, words[1::2]) == data_of(checkout, OWN)
    write_params(checkout, ["data=phantom"])
    assert kept_choice(checkout) == []
    refuse_forgotten_data(checkout, phantoms)


def test_a_stage_remembers_what_dvc_was_told(checkout: Path) -> None:
    settings = yaml.safe_load(compose_text(checkout, ["data=folder", "data.root=/b"]))
    refuse_forgotten_data(checkout, settings)
    assert kept_choice(checkout) == [("data", "folder"), ("data.root", "/b")]
    keep_data(checkout, yaml.safe_load(compose_text(checkout))["data"])
    assert kept_choice(checkout) == []
