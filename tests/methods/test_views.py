"""The table of methods and their options."""

from __future__ import annotations

from dataclasses import fields

import pytest

from scanlens.errors import SettingsError
from scanlens.methods import attributions, filters, gradcam
from scanlens.methods.views import CAMS, METHODS, OPTIONS, PIXELWISE, Options, choose_options, used


def test_every_option_is_heeded_and_every_heeded_one_exists() -> None:
    assert {option for method in METHODS.values() for option in method.options} == set(OPTIONS)
    assert set(OPTIONS) == {field.name for field in fields(Options)}
    assert set(CAMS) | set(PIXELWISE) < set(METHODS)
    assert set(CAMS) == set(gradcam.CAM_METHODS)


def test_the_defaults_are_those_of_the_methods() -> None:
    assert (Options().samples, Options().noise) == (attributions.SAMPLES, attributions.SMOOTHGRAD_NOISE)
    assert filters.ASCENT_STEPS == attributions.PATH_STEPS == 64


def test_options_that_are_not_given_keep_their_defaults() -> None:
    assert choose_options(["occlusion"], dict.fromkeys(OPTIONS)) == Options()
    chosen = choose_options(["occlusion", "filters"], {"patch": [4, 5], "seed": 3, "stride": None})
    assert (chosen.patch, chosen.seed) == ((4, 5), 3)
    assert used("occlusion", chosen) == {"patch": (4, 5), "stride": None, "baseline": "mean", "scale": None}


@pytest.mark.parametrize(
    ("methods", "given", "message"),
    [
        (["guess"], {}, "No method 'guess'. Choose of: probability, grad_cam"),
        (["grad_cam"], {"patch": [4]}, "--patch fits occlusion only"),
        (["probability", "filters"], {"samples": 4}, "--samples fits smoothgrad only"),
        (["occlusion"], {"scale": 0.0}, "--scale is 0"),
        (["occlusion"], {"scale": float("nan")}, "--scale is nan"),
        (["filters"], {"seed": -1}, "--seed is -1"),
    ],
)
def test_what_no_method_heeds_is_refused(methods: list[str], given: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        choose_options(methods, given)
