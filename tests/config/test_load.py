"""params.yaml to dataclasses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from scanlens.config.compose import compose_text
from scanlens.config.load import check_sections, load_section, read_settings, warn_if_stale
from scanlens.config.schema import Columns, Data, Preprocess, Training
from scanlens.errors import SettingsError

PROJECT = Path(__file__).resolve().parent.parent.parent


def write(folder: Path, settings: object) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


@pytest.fixture
def settings() -> dict:
    return yaml.safe_load(compose_text(PROJECT))


def test_sections_become_dataclasses(tmp_path: Path, settings: dict) -> None:
    settings["training"]["lr"] = "3e-4"  # what YAML 1.1 makes of a number without a dot
    settings["preprocess"]["size"] = [96, 128]
    write(tmp_path, settings)
    assert load_section(Training, tmp_path).lr == 3e-4
    assert load_section(Preprocess, tmp_path).size == [96, 128]
    data = load_section(Data, tmp_path)
    assert isinstance(data.columns, Columns)
    assert data.phantom is not None
    assert data.phantom.balance["nodule"] == 1.0


def test_a_missing_key_is_named(tmp_path: Path, settings: dict) -> None:
    del settings["training"]["epochs"]
    write(tmp_path, settings)
    with pytest.raises(SettingsError, match=r"training\.epochs is missing"):
        load_section(Training, tmp_path)


def test_an_unknown_nested_key_is_named(tmp_path: Path, settings: dict) -> None:
    settings["data"]["columns"]["pateint"] = "id"
    write(tmp_path, settings)
    with pytest.raises(SettingsError, match=r"data\.columns\.pateint is not a setting.*Did you mean patient"):
        load_section(Data, tmp_path)


def test_an_unknown_section_is_named(settings: dict) -> None:
    with pytest.raises(SettingsError, match=r"trainin is not a setting.*Did you mean training"):
        check_sections({**settings, "trainin": {}})


def test_a_missing_file_and_section_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="scanlens params"):
        read_settings(tmp_path)
    write(tmp_path, {"seed": 0})
    with pytest.raises(SettingsError, match="Section training"):
        load_section(Training, tmp_path)


@pytest.mark.parametrize("text", ["- 1", "a: [", ""])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"params\.yaml"):
        read_settings(tmp_path)


def test_an_edited_conf_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    edited = tmp_path / "conf" / "model" / "a.yaml"
    edited.write_text("name: a", encoding="utf-8")
    write(tmp_path, {})
    os.utime(edited, (1, 1))
    assert not warn_if_stale(tmp_path)
    os.utime(edited, None)
    os.utime(tmp_path / "params.yaml", (2, 2))
    assert warn_if_stale(tmp_path)
    assert "scanlens params" in capsys.readouterr().err
