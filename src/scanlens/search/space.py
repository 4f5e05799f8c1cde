"""What a sweep may choose: a dimension per conf key, written as in ``training.lr=log(1e-4,1e-2)``."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from scanlens.errors import SettingsError

FORMS = (
    "log(LOW,HIGH), uniform(LOW,HIGH[,STEP]), int(LOW,HIGH[,STEP]), logint(LOW,HIGH), range(LOW,END[,STEP]), "
    "or values a,b,c"
)
_CALL = re.compile(r"(log|uniform|int|logint)\((.*)\)", re.DOTALL)


@dataclass(frozen=True)
class Dimension:
    """The values one conf key may take.

    Attributes:
        key: A conf key (``training.lr``) or a group (``model``).
        text: As a person wrote it, without spaces around commas.
        distribution: Optuna's; the options of a choice are texts as Hydra overrides spell them.
    """

    key: str
    text: str
    distribution: BaseDistribution

    @property
    def options(self) -> tuple[str, ...]:
        """Of a choice; a number has none."""
        wanted = self.distribution
        return tuple(map(str, wanted.choices)) if isinstance(wanted, CategoricalDistribution) else ()

    def suggest(self, trial: optuna.Trial) -> str:
        """The value that the study's sampler chooses, as an override spells it."""
        wanted = self.distribution
        if isinstance(wanted, CategoricalDistribution):
            return str(trial.suggest_categorical(self.key, wanted.choices))
        if isinstance(wanted, IntDistribution):
            return str(trial.suggest_int(self.key, wanted.low, wanted.high, step=wanted.step, log=wanted.log))
        assert isinstance(wanted, FloatDistribution)
        return spelled(
            trial.suggest_float(self.key, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
        )

    def samples(self) -> tuple[str, ...]:
        """Values to try out before any work: all options, or the two ends."""
        wanted = self.distribution
        if isinstance(wanted, IntDistribution | FloatDistribution):
            return spelled(wanted.low), spelled(wanted.high)
        return self.options


def spelled(value: object) -> str:
    """A chosen value as an override spells it."""
    return repr(value) if isinstance(value, float) else str(value)


def as_override(value: Any) -> str:
    """A YAML value as a Hydra override spells it."""
    if isinstance(value, str):
        return value
    return json.dumps(value).replace('"', "'") if isinstance(value, list | dict) else json.dumps(value)


def read_dimension(key: str, value: Any) -> Dimension:
    """One entry of a space.

    Args:
        key: The conf key or group.
        value: Text as on the command line, or a list of values as in YAML.

    Raises:
        SettingsError: The text is not one of :data:`FORMS`.
    """
    text = as_override(value).strip()
    call = _CALL.fullmatch(text)
    if isinstance(value, list) or call is None:
        options = [as_override(one) for one in value] if isinstance(value, list) else _options(key, text)
        if not all(options) or len(set(options)) != len(options) or not options:
            raise SettingsError(
                f"{key}={text}: a value is empty or stands there twice.", f"Expected {FORMS}."
            )
        return Dimension(key, ",".join(options), CategoricalDistribution(options))
    kind, parts = call[1], [part.strip() for part in call[2].split(",")]
    log, made = kind.startswith("log"), IntDistribution if "int" in kind else FloatDistribution
    number: Any = int if "int" in kind else float
    try:
        low, high, *steps = (number(part) for part in parts)
        if not math.isfinite(high - low) or len(steps) > (not log):
            raise ValueError("other numbers were expected")
        step = {"step": steps[0]} if steps else {}
        return Dimension(key, f"{kind}({','.join(parts)})", made(low, high, log=log, **step))
    except ValueError as error:
        raise SettingsError(f"{key}={text}: {error}.", f"Expected {FORMS}.") from error


def _options(key: str, text: str) -> list[str]:
    """The values of one of Hydra's sweeps, or the text: ``a,b``, ``[64],[128,64]``, ``range(1,5)``."""
    try:
        override = OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException:
        # Composing the settings will say what is wrong.
        return [text]
    if override.is_choice_sweep() or override.is_range_sweep():
        return list(override.sweep_string_iterator())
    return [text]


def grid(
    dimensions: Sequence[Dimension],
    exclude: Sequence[Mapping[str, Sequence[str]]],
    fixed: Mapping[str, str],
) -> list[dict[str, str]]:
    """Every combination but the excluded ones, the last key changing fastest.

    Args:
        dimensions: Each a choice.
        exclude: Each names some keys and for each the values; a combination that matches all of one is out.
        fixed: Values that are no choice, which a rule of ``exclude`` may name too.

    Raises:
        SettingsError: A number has no end of values.
    """
    for dimension in dimensions:
        if not dimension.options:
            what = f"{dimension.key}={dimension.text} has no end of values"
            raise SettingsError(f"{what}.", "For a grid write a,b,c or range(LOW,HIGH[,STEP]).")
    keys = [dimension.key for dimension in dimensions]
    products = itertools.product(*(dimension.options for dimension in dimensions))
    combinations = [dict(zip(keys, values, strict=True)) for values in products]

    def matches(choices: Mapping[str, str], rule: Mapping[str, Sequence[str]]) -> bool:
        return all({**fixed, **choices}.get(key) in values for key, values in rule.items())

    return [c for c in combinations if not any(matches(c, rule) for rule in exclude)]
