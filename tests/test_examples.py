"""The examples in docstrings say what happens."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)

_PLAIN = re.compile(
    r"(FloatArray|IntArray|PredictionSets|np\.ndarray|npt\.NDArray\[.*\]|float|int|str|bool"
    r"|(list|Sequence|tuple)\[(str|int|float).*\])( \| None)?"
)
"""Annotations of what an example can write down: arrays, numbers, texts, and lists of these."""


@pytest.mark.parametrize("package", ["evaluation", "maps"])
def test_public_functions_of_plain_arguments_have_one(package: str) -> None:
    plain, lacking = 0, []
    for path in sorted((SOURCE / "scanlens" / package).glob("[!_]*.py")):
        module = importlib.import_module(f"scanlens.{package}.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            parameters = inspect.signature(function).parameters.values()
            own = function.__module__ == module.__name__ and not name.startswith("_")
            if own and all(_PLAIN.fullmatch(parameter.annotation) for parameter in parameters):
                plain += 1
                if ">>>" not in (function.__doc__ or ""):
                    lacking.append(f"{path.stem}.{name}")
    assert plain >= 5
    assert not lacking


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted
    assert not result.failed
