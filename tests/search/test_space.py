"""What a space may say, and what it comes to."""

from __future__ import annotations

import math
import re

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from scanlens.errors import SettingsError
from scanlens.search.space import grid, read_dimension


@pytest.mark.parametrize(
    ("value", "distribution", "text"),
    [
        ("log(1e-4, 1e-2)", FloatDistribution(1e-4, 1e-2, log=True), "log(1e-4,1e-2)"),
        ("uniform(0,0.5)", FloatDistribution(0, 0.5), "uniform(0,0.5)"),
        ("uniform(0,0.5,0.25)", FloatDistribution(0, 0.5, step=0.25), "uniform(0,0.5,0.25)"),
        ("int(16,64)", IntDistribution(16, 64), "int(16,64)"),
        ("int(16,64,16)", IntDistribution(16, 64, step=16), "int(16,64,16)"),
        ("logint(8,512)", IntDistribution(8, 512, log=True), "logint(8,512)"),
    ],
)
def test_every_form_of_a_number(value: str, distribution: object, text: str) -> None:
    dimension = read_dimension("key", value)
    assert dimension.distribution == distribution
    assert dimension.text == text
    assert not dimension.options


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("cnn,resnet18", ("cnn", "resnet18")),
        ("choice(cnn, resnet18)", ("cnn", "resnet18")),
        (["cnn", "resnet18"], ("cnn", "resnet18")),
        ("range(2,8,2)", ("2", "4", "6")),
        ("off,local", ("off", "local")),
        ([True, None, 0.5], ("true", "null", "0.5")),
        ("[64],[128,64]", ("[64]", "[128,64]")),
        ([[64], [128, 64]], ("[64]", "[128, 64]")),
        ("a,[b,c],'h,i'", ("a", "[b,c]", "'h,i'")),
        (0.25, ("0.25",)),
        ("/a=b", ("/a=b",)),
    ],
)
def test_every_form_of_a_choice(value: object, options: tuple[str, ...]) -> None:
    dimension = read_dimension("key", value)
    assert dimension.options == options
    assert dimension.text == ",".join(options)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("log(1)", "Expected log"),
        ("log(a,b)", "Expected log"),
        ("log(1,2,3)", "Expected log"),
        ("log(0,1)", "`low > 0`"),
        ("uniform(1,0)", "`low <= high`"),
        ("uniform(0,inf)", "other numbers"),
        ("int(1.5,3)", "1.5"),
        ("int(1,3,0)", "`step > 0`"),
        ("", "empty"),
        ([], "empty"),
        ("a,a", "twice"),
    ],
)
def test_a_wrong_form_is_refused_by_name(value: object, named: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(named)) as caught:
        read_dimension("training.lr", value)
    assert "training.lr" in str(caught.value)


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


def test_numbers_have_no_grid() -> None:
    for form in ("log(1,2)", "uniform(0,1)", "int(1,4)"):
        with pytest.raises(SettingsError, match=r"no end of values.*range"):
            grid([read_dimension("a", form)], [], {})


def test_samples_are_the_ends() -> None:
    assert read_dimension("a", "log(1e-4,1e-2)").samples() == ("0.0001", "0.01")
    assert read_dimension("a", "int(1,9)").samples() == ("1", "9")
    assert read_dimension("a", "x,y").samples() == ("x", "y")
