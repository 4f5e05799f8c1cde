"""What a space may say, and what it comes to."""

from __future__ import annotations

import math

import optuna
import pytest

from scanlens.errors import SettingsError
from scanlens.search.space import Dimension, grid, read_dimension, split_outside_brackets


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("log(1e-4, 1e-2)", "log", "log(0.0001,0.01)"),
        ("uniform(0,0.5)", "uniform", "uniform(0,0.5)"),
        ("uniform(0,0.5,0.25)", "uniform", "uniform(0,0.5,0.25)"),
        ("int(16,64)", "int", "int(16,64)"),
        ("int(16,64,16)", "int", "int(16,64,16)"),
        ("logint(8,512)", "logint", "logint(8,512)"),
        ("cnn,resnet18", "choice", "cnn,resnet18"),
        ("choice(cnn, resnet18)", "choice", "cnn,resnet18"),
        (["cnn", "resnet18"], "choice", "cnn,resnet18"),
        ([True, None, 0.5], "choice", "true,null,0.5"),
        ("[64],[128,64]", "choice", "[64],[128,64]"),
        ([[64], [128, 64]], "choice", "[64],[128, 64]"),
        (0.25, "choice", "0.25"),
    ],
)
def test_every_form(value: object, kind: str, text: str) -> None:
    dimension = read_dimension("key", value)
    assert dimension.kind == kind
    assert str(dimension) == text
    assert read_dimension("key", text.replace(", ", ",")).kind == kind


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("log(1)", "expected log"),
        ("log(a,b)", "expected log"),
        ("log(1,2,3)", "expected log"),
        ("log(0,1)", "above 0"),
        ("uniform(1,0)", "not below"),
        ("int(1.5,3)", "whole"),
        ("int(1,3,0)", "step"),
        ("a,,b", "empty"),
        ("", "empty"),
        ([], "empty"),
        ("a,a", "twice"),
    ],
)
def test_a_wrong_form_is_refused_by_name(value: object, named: str) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        read_dimension("training.lr", value)
    assert "training.lr" in str(caught.value)


def test_commas_in_brackets_and_quotes_do_not_split() -> None:
    assert split_outside_brackets("a,[b,c],{d: e, f: g},'h,i'") == ["a", "[b,c]", "{d: e, f: g}", "'h,i'"]


def test_suggestions_stay_inside_and_spread() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    forms = {
        "a": "log(1e-4,1e-2)",
        "b": "uniform(0,1,0.25)",
        "c": "int(4,12,4)",
        "d": "logint(2,256)",
        "e": "x,y",
    }
    dimensions = [read_dimension(key, value) for key, value in forms.items()]
    rows = []
    for _ in range(200):
        trial = study.ask()
        rows.append([dimension.suggest(trial) for dimension in dimensions])
    a, b, c, d, e = map(set, zip(*rows, strict=True))
    assert all(1e-4 <= float(value) <= 1e-2 for value in a)
    # Half of a logarithmic range lies below its geometric mean.
    assert 0.4 < sum(float(row[0]) < 1e-3 for row in rows) / 200 < 0.6
    assert {float(value) for value in b} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert c == {"4", "8", "12"}
    assert all(2 <= int(value) <= 256 for value in d)
    assert math.isclose(sum(int(row[3]) < 23 for row in rows) / 200, 0.5, abs_tol=0.12)
    assert e == {"x", "y"}


def test_the_text_of_a_number_is_the_number() -> None:
    trial = optuna.create_study().ask({})
    assert float(read_dimension("a", "uniform(0,1)").suggest(trial)) == trial.params["a"]


def test_a_grid_without_what_is_excluded() -> None:
    dimensions = [read_dimension("model", "dense,cnn"), read_dimension("transfer", "scratch,head")]
    everything = grid(dimensions, [], {})
    assert everything == [
        {"model": "dense", "transfer": "scratch"},
        {"model": "dense", "transfer": "head"},
        {"model": "cnn", "transfer": "scratch"},
        {"model": "cnn", "transfer": "head"},
    ]
    rule = {"model": ("dense",), "transfer": ("head",)}
    assert grid(dimensions, [rule], {}) == [row for row in everything if row != everything[1]]
    # A rule may also name what the command line fixed.
    assert grid(dimensions[1:], [rule], {"model": "dense"}) == [{"transfer": "scratch"}]


def test_values_of_a_grid() -> None:
    assert read_dimension("a", "int(2,7,2)").values() == ("2", "4", "6")
    assert read_dimension("a", "uniform(0,0.3,0.1)").values() == ("0.0", "0.1", "0.2", "0.3")
    for form in ("log(1,2)", "uniform(0,1)", "logint(1,4)"):
        with pytest.raises(SettingsError, match="no end of values"):
            read_dimension("a", form).values()


def test_samples_are_the_ends() -> None:
    assert read_dimension("a", "log(1e-4,1e-2)").samples() == ("0.0001", "0.01")
    assert read_dimension("a", "int(1,9)").samples() == ("1", "9")
    assert Dimension("a", "choice", ("x", "y")).samples() == ("x", "y")
