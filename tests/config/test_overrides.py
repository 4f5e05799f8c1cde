"""An override says what it says, or is named itself with how to write it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from scanlens.config.compose import compose_text
from scanlens.config.overrides import check_overrides, override_value
from scanlens.errors import SettingsError

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "value", ["/scans/été", "a=b", "/x (1)", "[1", "{a", "it's", 'a"b', "1e5", "true", " a"]
)
def test_a_value_that_needs_quotes_comes_through_as_the_remedy_writes_it(value: str) -> None:
    written = f"data.root={override_value(value)}"
    check_overrides([written])
    assert OverridesParser.create().parse_override(written).value() == value


@pytest.mark.parametrize("value", ["/scans/été", "a=b", "/x(1)", "[1"])
def test_an_override_that_cannot_be_parsed_is_named_itself(value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compose_text(PROJECT, ["training.lr=1e-3", f"data.root={value}", "seed=1"])
    assert f"'data.root={value}' can't be parsed" in str(caught.value)
    quoted = shlex.split(str(caught.value).partition("Quote the value: ")[2])[0]
    assert yaml.safe_load(compose_text(PROJECT, ["data=folder", quoted]))["data"]["root"] == value


def test_several_values_point_to_a_sweep() -> None:
    with pytest.raises(SettingsError, match=r"several values.*scanlens sweep training\.lr=1e-3,1e-4"):
        compose_text(PROJECT, ["training.lr=1e-3,1e-4"])


@pytest.mark.parametrize("word", ["training.lr", "ans/x"])
def test_a_word_without_a_value_is_named(word: str) -> None:
    with pytest.raises(SettingsError, match=f"'{word}' is no override: key=value"):
        compose_text(PROJECT, [word])


@pytest.mark.parametrize("name", ["2024", "1e5", "007", "1_000", "true", "3.0"])
def test_a_name_that_looks_like_a_number_needs_no_quotes(name: str) -> None:
    settings = yaml.safe_load(compose_text(PROJECT, [f"packaging.name={name}", "model.dropout=0.25"]))
    assert settings["packaging"]["name"] == name
    assert settings["model"]["dropout"] == 0.25


def test_labels_may_be_whole_numbers_and_others_are_told_to_be_quoted() -> None:
    own = ["data=folder", "data.root=/scans"]
    assert compose_text(PROJECT, [*own, "data.labels=[0,1]"])
    with pytest.raises(SettingsError, match="are quoted"):
        compose_text(PROJECT, [*own, "data.labels=[true,false]"])


def test_the_longest_key_in_the_reason_is_the_wrong_one() -> None:
    with pytest.raises(SettingsError, match=r"'model\.nme=3' is refused"):
        compose_text(PROJECT, ["model=lean", "model.nme=3"])


def test_experiments_on_own_data_leave_the_phantoms_out() -> None:
    own = ["data=folder", "data.root=/scans"]
    assert yaml.safe_load(compose_text(PROJECT, [*own, "experiment=quick"]))["training"]["epochs"] == 2
    with pytest.raises(SettingsError, match=r"phantom\.shortcut is 1\.0.*data=phantom"):
        compose_text(PROJECT, [*own, "experiment=shortcut"])


@pytest.mark.parametrize(
    "override",
    [
        "packaging.name=a/b",
        "packaging.name='a:b'",
        "packaging.name=' '",
        "packaging.name='..'",
        "tracking.experiment=' '",
    ],
)
def test_names_that_mlflow_will_not_take_are_refused(override: str) -> None:
    with pytest.raises(SettingsError, match="at most 250 characters"):
        compose_text(PROJECT, [override])


@pytest.mark.parametrize(
    "address", ["http://bob:se@cret@host:5000", "https://token@host", "postgresql://a:b@h/c"]
)
def test_a_password_is_refused_and_not_said(address: str) -> None:
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        compose_text(PROJECT, [f"tracking.uri={address}"])
    assert "cret" not in str(caught.value)
    assert address not in str(caught.value)
    assert compose_text(PROJECT, ["tracking.uri=postgresql://me@host/runs"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.labels=[a]", "at least two classes"),
        ("data.labels=[]", "at least two classes"),
        ("data.root=''", "text, not empty"),
        ("tracking.uri=''", "text, not empty"),
    ],
)
def test_what_can_lead_nowhere_is_refused_at_start(override: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        compose_text(PROJECT, ["data=folder", "data.root=/scans", override])
