"""Pictures of studies and runs: drawn, and the same for the same numbers."""

from __future__ import annotations

import io

import numpy as np
import optuna
import pytest
from matplotlib import pyplot
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial
from PIL import Image

from scanlens.search import charts


def greys(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


def study_of(values: list[float]) -> optuna.Study:
    study = optuna.create_study()
    space = {"lr": FloatDistribution(0, 1)}
    study.add_trials([create_trial(value=v, params={"lr": v / 10}, distributions=space) for v in values])
    return study


@pytest.mark.parametrize(
    ("values", "importance", "drawn"),
    [
        ([], {"lr": 1.0}, set()),
        ([0.5], {}, {"history"}),
        ([0.5, 0.4], {}, {"history", "parallel_coordinates"}),
        ([0.5, 0.4], {"lr": 1.0}, {"history", "parallel_coordinates", "importance"}),
    ],
)
def test_a_study_has_the_pictures_its_trials_allow(
    values: list[float], importance: dict[str, float], drawn: set[str]
) -> None:
    pictures = charts.study_pictures(study_of(values), importance)
    assert set(pictures) == drawn
    assert all(len(np.unique(greys(picture))) > 10 for picture in pictures.values())
    assert not pyplot.get_fignums(), "no figure is left open"


def test_equal_numbers_give_equal_bytes_and_others_others() -> None:
    names, values = ["a", "$b_1$"], [(0.5, 0.4, 0.6), (0.7, None, None)]
    assert charts.intervals(names, values, "t") == charts.intervals(names, values, "t")
    assert charts.intervals(names, values, "t") != charts.intervals(
        names, [values[0], (0.71, None, None)], "t"
    )
    assert charts.bars({"a": 0.25, "b": 0.75}, "t") == charts.bars({"b": 0.75, "a": 0.25}, "t")
    series = {"a": [(0, 1.0), (1, 0.5)], "b": [(0, 1.0)]}
    assert charts.curves(series, "t") == charts.curves(series, "t")
    assert charts.curves(series, "t") != charts.curves({"a": series["a"]}, "t")
