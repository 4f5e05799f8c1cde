"""Every option composes, params.yaml is DVC's own bytes, and misspelt settings are refused by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import compose_and_dump

from scanlens.config.compose import compose_text, write_params
from scanlens.config.load import warn_if_stale
from scanlens.errors import SettingsError

PROJECT = Path(__file__).resolve().parent.parent.parent
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in (PROJECT / "conf").glob("*/*.yaml")
    # Sweeps are spaces of settings, bases the ground of others: no options of config.yaml.
    if path.parent.name != "sweep" and path.stem != "base"
)
REQUIRED = {
    "data=folder": ["data.root=/scans"],
    "data=table": ["data.root=/scans", "data.table=labels.csv"],
    "data=medmnist": ["data.root=/scans.npz"],
    "transfer=file": ["transfer.file=weights.safetensors"],
    "transfer=bundle": ["transfer.file=data/09_bundle"],
    "tracking=server": ["tracking.uri=http://127.0.0.1:5000"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes(option: str) -> None:
    assert compose_text(PROJECT, [option, *REQUIRED.get(option, [])])


@pytest.mark.parametrize("option", sorted(REQUIRED))
def test_what_must_be_given_is_named(option: str) -> None:
    key = REQUIRED[option][0].split("=")[0]
    with pytest.raises(SettingsError, match=f"{key} must be given"):
        compose_text(PROJECT, [option])


@pytest.mark.parametrize("overrides", [[], ["model=resnet50", "training.lr=3e-4"], ["experiment=quick"]])
def test_params_are_byte_identical_to_what_dvc_writes(tmp_path: Path, overrides: list[str]) -> None:
    target = tmp_path / "params.yaml"
    compose_and_dump(target, str(PROJECT / "conf"), None, "config", str(tmp_path), overrides)
    assert target.read_text(encoding="utf-8") == compose_text(PROJECT, overrides)


def test_committed_params_are_up_to_date() -> None:
    assert (PROJECT / "params.yaml").read_text(encoding="utf-8") == compose_text(PROJECT)


def test_write_says_whether_anything_changed(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    assert write_params(tmp_path)
    assert not write_params(tmp_path)
    assert write_params(tmp_path, ["training.epochs=3"])


def test_params_that_say_the_same_are_as_new_as_an_edited_conf(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    write_params(tmp_path)
    before = (tmp_path / "params.yaml").read_bytes()
    os.utime(tmp_path / "params.yaml", (1, 1))
    assert warn_if_stale(tmp_path)
    assert not write_params(tmp_path)
    assert not warn_if_stale(tmp_path)
    assert (tmp_path / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.lrr=1", ["training.lrr", "Did you mean lr?", "weight_decay"]),
        ("modell=resnet18", ["modell", "Did you mean model?", "training"]),
        ("model=resnet19", ["resnet19", "resnet18", "densenet121"]),
        ("training.lr=fast", ["training.lr", "'fast'", "a number"]),
        ("data.kind=dicom", ["data.kind", "phantom | folder | table | medmnist"]),
        ("data.dims=4", ["data.dims", "2 | 3"]),
        ("+training.momentum=1", ["training.momentum", "Keys: epochs"]),
        ("preprocess.size=big", ["preprocess.size", "auto"]),
        ("training.patience=2.5", ["training.patience", "a whole number"]),
        ("training.augment=1", ["training.augment", "true | false"]),
        ("training.epochs=0", ["training.epochs", "at least 1"]),
        ("training.lr=-1", ["training.lr", "-1", "above 0 and at most 10"]),
    ],
)
def test_a_wrong_setting_names_key_and_choices(override: str, named: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        compose_text(PROJECT, [override])
    for text in named:
        assert text in str(caught.value)


def test_a_folder_without_conf_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="project's root"):
        compose_text(tmp_path)
