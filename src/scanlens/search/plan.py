"""What a sweep is asked to do, from ``conf/sweep/<name>.yaml`` and the command line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from scanlens.errors import SettingsError
from scanlens.search.space import Dimension, as_override, read_dimension, split_outside_brackets
from scanlens.tracking.lineage import NOT_IDENTITY

SWEEPS = Path("conf/sweep")
SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("median", "hyperband", "none")
STAGES = ("training", "evaluation", "explanation", "packaging")
"""How far a trial may run."""
Direction = Literal["minimize", "maximize"]
LOWER_IS_BETTER = ("loss", "mae", "rmse", "nll", "brier", "ece")
TRIALS = 20
"""Of tpe and random, where no number is given; a grid has as many as it has combinations."""


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Attributes:
        name: Of the study, its file and the experiment it ends with.
        space: What is chosen.
        fixed: ``{key: value}`` overrides of every trial.
        exclude: Combinations that a grid leaves out: ``({key: values}, ...)``.
        sampler: One of :data:`SAMPLERS`.
        trials: How many are wanted in all; None: :data:`TRIALS`, or the whole grid.
        metric: What is optimised, of the validation split.
        direction: minimize or maximize.
        pruner: One of :data:`PRUNERS`.
        until: Last stage a trial runs.
        jobs: Trials at a time.
        seed: Of the sampler; the seed of the runs is the conf key ``seed``.
    """

    name: str
    space: tuple[Dimension, ...]
    fixed: Mapping[str, str]
    exclude: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    sampler: str = "tpe"
    trials: int | None = None
    metric: str = "val_loss"
    direction: Direction | Literal[""] = ""
    pruner: str = "median"
    until: str = "training"
    jobs: int = 1
    seed: int = 0

    def overrides(self, choices: Mapping[str, str]) -> list[str]:
        """Hydra overrides of one trial."""
        return [f"{key}={value}" for key, value in {**self.fixed, **choices}.items()]

    def identity(self) -> dict[str, Any]:
        """What must not change while a study is continued: its values would not compare."""
        return {
            "space": {dimension.key: str(dimension) for dimension in self.space},
            # Where it runs and is tracked is no part of the question, and an address may hold a password.
            "fixed": {k: v for k, v in self.fixed.items() if k.split(".")[0] not in NOT_IDENTITY},
            "exclude": [{key: list(values) for key, values in rule.items()} for rule in self.exclude],
            "metric": self.metric,
            "direction": self.direction,
            "until": self.until,
        }


FILE_KEYS = ("space", "fixed", *(f.name for f in fields(Plan) if f.name not in ("name", "space", "fixed")))


def read_plan(project: Path, words: Sequence[str], options: Mapping[str, Any]) -> Plan:
    """The sweep that the command line asks for.

    Args:
        project: Folder that holds ``conf/``.
        words: At most one name of a file in ``conf/sweep/``, and ``key=values`` that add to its space or
            replace parts of it. A key with a single value is fixed.
        options: Fields of :class:`Plan` given as options; None where not given.

    Raises:
        SettingsError: Naming what is wrong.
    """
    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise SettingsError(f"Two sweeps are named: {', '.join(names)}.", "Name one, then key=values.")
    content: dict[str, Any] = _read(project, names[0]) if names else {}
    space = {str(key): read_dimension(str(key), value) for key, value in content.pop("space", {}).items()}
    fixed = {str(key): as_override(value) for key, value in content.pop("fixed", {}).items()}
    for word in words:
        if "=" not in word:
            continue
        key, _, value = word.partition("=")
        dimension = read_dimension(key, value)
        space.pop(key, None)
        fixed.pop(key, None)
        if dimension.kind == "choice" and len(dimension.options) == 1:
            fixed[key] = dimension.options[0]
        else:
            space[key] = dimension
    exclude = tuple(
        {str(key): _values(value) for key, value in rule.items()} for rule in content.pop("exclude", [])
    )
    given = {**content, **{key: value for key, value in options.items() if value is not None}}
    name = given.pop("name", None) or (names[0] if names else "sweep")
    plan = Plan(name, tuple(space.values()), fixed, exclude, **given)
    plan = replace(plan, direction=plan.direction or _direction(plan.metric))
    _check(plan)
    return plan


def _read(project: Path, name: str) -> dict[str, Any]:
    path = project / SWEEPS / f"{name}.yaml"
    known = sorted(found.stem for found in (project / SWEEPS).glob("*.yaml"))
    if not path.is_file():
        close = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise SettingsError(
            f"{SWEEPS / name}.yaml does not exist.",
            f"{hint}Sweeps: {', '.join(known) or 'none'}. Or give key=values.",
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds no settings.", f"Keys: {', '.join(FILE_KEYS)}.")
    unknown = [key for key in content if key not in FILE_KEYS]
    if unknown:
        raise SettingsError(f"{path}: {unknown[0]} is not a setting.", f"Keys: {', '.join(FILE_KEYS)}.")
    for key, kind in (("space", dict), ("fixed", dict), ("exclude", list)):
        if not isinstance(content.get(key, kind()), kind):
            raise SettingsError(f"{path}: {key} must be a {'mapping' if kind is dict else 'list'}.")
    return content


def _values(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(as_override(option) for option in value)
    return tuple(split_outside_brackets(as_override(value)))


def _direction(metric: str) -> Direction:
    last = metric.replace(".", "_").rsplit("_", 1)[-1]
    return "minimize" if last in LOWER_IS_BETTER else "maximize"


def _check(plan: Plan) -> None:
    if not plan.space:
        raise SettingsError("The sweep has nothing to choose.", "Give e.g. training.lr=log(1e-4,1e-2)")
    # It becomes a file's name, a Hydra choice and a word in a query to MLflow.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", plan.name):
        raise SettingsError(
            f"{plan.name!r} is no name for a study.", "Letters, digits, - and _ will do: --name NAME."
        )
    for what, value, known in (
        ("sampler", plan.sampler, SAMPLERS),
        ("pruner", plan.pruner, PRUNERS),
        ("until", plan.until, STAGES),
        ("direction", plan.direction, ("minimize", "maximize")),
    ):
        if value not in known:
            raise SettingsError(f"{what} is {value}; expected {' | '.join(known)}.")
    for what, number in (("trials", plan.trials), ("jobs", plan.jobs)):
        if number is not None and (not isinstance(number, int) or number < 1):
            raise SettingsError(f"{what} is {number}; expected a whole number above 0.")
    _check_metric(plan)
    if plan.exclude and plan.sampler != "grid":
        raise SettingsError("exclude needs sampler: grid; the others choose freely.")
    keys = {dimension.key for dimension in plan.space}
    for rule in plan.exclude:
        for key in rule:
            # A dimension that the command line fixed leaves its rules without an object.
            if key not in keys and key not in plan.fixed:
                raise SettingsError(f"exclude names {key}, which the space does not.")
    reserved = sorted(
        k for k in {*keys, *plan.fixed} if k.split(".")[0] in ("tracking", "experiment") and k in keys
    )
    if reserved:
        raise SettingsError(f"A sweep can't choose {reserved[0]}.")


def _check_metric(plan: Plan) -> None:
    if plan.metric.startswith("test"):
        raise SettingsError(
            f"metric is {plan.metric}: the test split must choose nothing, or its numbers flatter.",
            "Take a validation metric: val_loss, val_auc, or with --until evaluation val.auc_macro.",
        )
    if not plan.metric.startswith(("val_", "val.")):
        raise SettingsError(
            f"metric is {plan.metric}; expected one of the validation split: val_loss, val_auc, "
            "val_accuracy, or with --until evaluation val.auc_macro and the like."
        )
    if plan.metric.startswith("val."):
        if plan.until == "training":
            raise SettingsError(f"{plan.metric} is measured by stage evaluation.", "Add --until evaluation.")
        if plan.pruner != "none":
            raise SettingsError(f"{plan.metric} has no value an epoch to prune by.", "Add --pruner none.")
    changes_loss = [d.key for d in plan.space if d.key.startswith(("training.loss", "model.head"))]
    if plan.metric == "val_loss" and changes_loss:
        raise SettingsError(
            f"The space changes {changes_loss[0]}, so that val_loss means another thing in each trial.",
            "Add --metric val_auc.",
        )
