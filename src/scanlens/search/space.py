"""What a sweep may choose: a dimension a conf key, written as in ``training.lr=log(1e-4,1e-2)``."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from hydra.core.override_parser.types import Quote, QuotedString

from scanlens.errors import SettingsError

FORMS = "log(LOW,HIGH), uniform(LOW,HIGH[,STEP]), int(LOW,HIGH[,STEP]), logint(LOW,HIGH), or values a,b,c"
_CALL = re.compile(r"(log|uniform|int|logint|choice)\((.*)\)", re.DOTALL)


@dataclass(frozen=True)
class Dimension:
    """The values one conf key may take.

    Attributes:
        key: A conf key (``training.lr``) or a group (``model``).
        kind: choice, log, uniform, int or logint.
        options: Of choice: the values as Hydra overrides spell them.
        low: Of the numeric kinds, inclusive.
        high: Likewise.
        step: Of uniform and int; None is any number, or 1.
    """

    key: str
    kind: str
    options: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None

    def suggest(self, trial: optuna.Trial) -> str:
        """The value that the study's sampler chooses, as an override spells it."""
        if self.kind == "choice":
            return str(trial.suggest_categorical(self.key, self.options))
        if self.kind in ("int", "logint"):
            step, log = int(self.step or 1), self.kind == "logint"
            return str(trial.suggest_int(self.key, int(self.low), int(self.high), step=step, log=log))
        number = trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.kind == "log")
        return repr(number)

    def values(self) -> tuple[str, ...]:
        """Every value, for a grid.

        Raises:
            SettingsError: There is no end of them.
        """
        if self.kind == "choice":
            return self.options
        if self.kind == "int":
            return tuple(str(n) for n in range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.kind == "uniform" and self.step:
            count = int((self.high - self.low) / self.step + 1e-9) + 1
            return tuple(repr(round(self.low + i * self.step, 12)) for i in range(count))
        raise SettingsError(
            f"{self.key}={self} has no end of values: a grid needs a list, or int() or uniform() by steps.",
            "Write values a,b,c or choose --sampler tpe.",
        )

    def samples(self) -> tuple[str, ...]:
        """Values to try out before any work: all options, or the two ends."""
        if self.kind == "choice":
            return self.options
        as_text = (lambda n: str(int(n))) if self.kind in ("int", "logint") else repr
        return as_text(self.low), as_text(self.high)

    def __str__(self) -> str:
        if self.kind == "choice":
            return ",".join(self.options)
        numbers = [self.low, self.high, *([self.step] if self.step is not None else [])]
        return f"{self.kind}({','.join(f'{n:.15g}' for n in numbers)})"


def split_outside_brackets(text: str) -> list[str]:
    """Parts between the commas that stand in no bracket or quote: ``[64],[128,64]`` has two."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def as_override(value: Any) -> str:
    """A YAML value as a Hydra override spells it."""
    if isinstance(value, str):
        return value
    return json.dumps(value).replace('"', "'") if isinstance(value, list | dict) else json.dumps(value)


def quoted(text: str) -> str:
    """Text that an override takes letter by letter, such as a path."""
    return str(QuotedString(text, Quote.single).with_quotes())


def read_dimension(key: str, value: Any) -> Dimension:
    """One entry of a space.

    Args:
        key: The conf key or group.
        value: Text as on the command line, or a list of values as in YAML.

    Raises:
        SettingsError: The text is not one of :data:`FORMS`.
    """
    if isinstance(value, list):
        return Dimension(key, "choice", _options(key, [as_override(option) for option in value]))
    text = as_override(value).strip()
    call = _CALL.fullmatch(text)
    if call is None or call[1] == "choice":
        return Dimension(key, "choice", _options(key, split_outside_brackets(call[2] if call else text)))
    kind = call[1]
    try:
        numbers = [float(part) for part in split_outside_brackets(call[2])]
    except ValueError:
        numbers = []
    most = 3 if kind in ("uniform", "int") else 2
    if not 2 <= len(numbers) <= most:
        raise SettingsError(f"{key}={text}: expected {FORMS}.")
    low, high = numbers[:2]
    step = numbers[2] if len(numbers) == 3 else None
    if not low < high:
        raise SettingsError(f"{key}={text}: {low:g} is not below {high:g}.")
    if kind in ("log", "logint") and low <= 0:
        raise SettingsError(f"{key}={text}: a logarithm needs bounds above 0, got {low:g}.")
    if kind in ("int", "logint") and any(n != int(n) for n in numbers):
        raise SettingsError(f"{key}={text}: expected whole numbers.")
    if step is not None and step <= 0:
        raise SettingsError(f"{key}={text}: the step must be above 0, got {step:g}.")
    return Dimension(key, kind, (), low, high, step)


def _options(key: str, options: Sequence[str]) -> tuple[str, ...]:
    if not options or "" in options:
        raise SettingsError(f"{key}={','.join(options)}: an empty value.", f"Expected {FORMS}.")
    if len(set(options)) != len(options):
        raise SettingsError(f"{key}={','.join(options)}: a value stands there twice.")
    return tuple(options)


def grid(
    dimensions: Sequence[Dimension],
    exclude: Sequence[Mapping[str, Sequence[str]]],
    fixed: Mapping[str, str],
) -> list[dict[str, str]]:
    """Every combination but the excluded ones, the last key changing fastest.

    Args:
        dimensions: With an end of values.
        exclude: Each names some keys and for each the values; a combination that matches all of one is out.
        fixed: Values that are no choice, which a rule of ``exclude`` may name too.
    """
    keys = [dimension.key for dimension in dimensions]
    combinations = [
        dict(zip(keys, values, strict=True))
        for values in itertools.product(*(d.values() for d in dimensions))
    ]
    return [
        combination
        for combination in combinations
        if not any(
            all({**fixed, **combination}.get(key) in values for key, values in rule.items())
            for rule in exclude
        )
    ]
