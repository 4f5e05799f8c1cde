"""What a sweep is asked to do, from ``conf/sweep/<name>.yaml`` and the command line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, InstanceOf, PositiveInt, StringConstraints, ValidationError
from pydantic.dataclasses import dataclass

from scanlens.config.kept import kept_choice
from scanlens.config.overrides import override_value
from scanlens.errors import SettingsError
from scanlens.search.space import Dimension, as_override, grid, read_dimension
from scanlens.tracking.compare import lower_is_better
from scanlens.tracking.lineage import NOT_IDENTITY

SWEEPS = Path("conf/sweep")
TRIALS = 20
"""Of tpe and random, where no number is given; a grid has as many as it has combinations."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SweepPlan:
    """A sweep.

    Attributes:
        name: Of the study, its file and the experiment it ends with; a word in a query to MLflow too.
        space: What is chosen.
        fixed: ``{key: value}`` overrides of every trial.
        exclude: Combinations that a grid leaves out: ``({key: values}, ...)``.
        sampler: Optuna's, or every combination.
        trials: How many are wanted in all; None: :data:`TRIALS`, or the whole grid.
        metric: What is optimised, of the validation split.
        pruner: Optuna's, which stops poor trials early.
        until: Last stage a trial runs.
        jobs: Trials at a time.
        seed: Of the sampler; the seed of the runs is the conf key ``seed``.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    space: tuple[InstanceOf[Dimension], ...]
    fixed: dict[str, str]
    exclude: tuple[dict[str, tuple[str, ...]], ...] = ()
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    trials: PositiveInt | None = None
    metric: str = "val_loss"
    pruner: Literal["median", "hyperband", "none"] = "median"
    until: Literal["ensemble", "evaluation", "explanation", "packaging"] = "ensemble"
    jobs: PositiveInt = 1
    seed: int = 0

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Follows from the metric."""
        return "minimize" if lower_is_better(self.metric) else "maximize"

    def overrides(self, choices: Mapping[str, str]) -> list[str]:
        """Hydra overrides of one trial."""
        return [f"{key}={value}" for key, value in {**self.fixed, **choices}.items()]

    def identity(self) -> dict[str, Any]:
        """What must not change while a study is continued: its values would not compare."""
        return {
            "space": {dimension.key: dimension.text for dimension in self.space},
            # Where it runs and is tracked is no part of the question, and an address may hold a password.
            "fixed": {k: v for k, v in self.fixed.items() if k.split(".")[0] not in NOT_IDENTITY},
            "exclude": [{key: list(values) for key, values in rule.items()} for rule in self.exclude],
            "metric": self.metric,
            "until": self.until,
        }

    def wanted(self) -> int:
        """How many trials the study is to have in all.

        Raises:
            SettingsError: A grid without an end, or with nothing in it.
        """
        if self.sampler != "grid":
            return self.trials or TRIALS
        size = len(grid(self.space, self.exclude, self.fixed))
        if not size:
            raise SettingsError("The grid is empty: exclude leaves nothing.")
        return min(self.trials or size, size)


def read_plan(project: Path, words: Sequence[str], options: Mapping[str, Any]) -> SweepPlan:
    """The sweep that the command line asks for.

    Args:
        project: Folder that holds ``conf/``.
        words: At most one name of a file in ``conf/sweep/``, and ``key=values`` that add to its space or
            replace parts of it. A key with a single value is fixed.
        options: Fields of :class:`SweepPlan` given as options; None where not given.

    Raises:
        SettingsError: Naming what is wrong.
    """
    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise SettingsError(f"Two sweeps are named: {', '.join(names)}.", "Name one, then key=values.")
    content: dict[str, Any] = _read(project, names[0]) if names else {}
    choices: dict[str, Any] = {**content.pop("fixed", {}), **content.pop("space", {})}
    choices |= dict(word.split("=", 1) for word in words if "=" in word)
    if "data" not in choices:
        choices = {**{key: override_value(value) for key, value in kept_choice(project)}, **choices}
    dimensions = [read_dimension(key, value) for key, value in choices.items()]
    rules = [
        {k: read_dimension(k, v).options for k, v in rule.items()} for rule in content.pop("exclude", [])
    ]
    given = {**content, **{key: value for key, value in options.items() if value is not None}}
    given.setdefault("name", names[0] if names else "sweep")
    fixed = {d.key: as_override(choices[d.key]) for d in dimensions if len(d.options) == 1}
    try:
        plan = SweepPlan(
            space=tuple(d for d in dimensions if d.key not in fixed),
            fixed=fixed,
            exclude=tuple(rules),
            **given,
        )
    except ValidationError as error:
        first = error.errors()[0]
        what = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{what} is {first['input']!r}: {first['msg']}.") from error
    _check(plan)
    return plan


def _read(project: Path, name: str) -> dict[str, Any]:
    path = project / SWEEPS / f"{name}.yaml"
    if not path.is_file():
        known = sorted(found.stem for found in (project / SWEEPS).glob("*.yaml"))
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
        raise SettingsError(
            f"{path} holds no settings.", f"Keys: {', '.join(SweepPlan.__dataclass_fields__)}."
        )
    for key, kind in (("space", dict), ("fixed", dict), ("exclude", list)):
        if not isinstance(content.get(key, kind()), kind):
            raise SettingsError(f"{path}: {key} must be a {'mapping' if kind is dict else 'list'}.")
    return content


def _check(plan: SweepPlan) -> None:
    """Refuse what cannot be answered, or not honestly."""
    keys = [dimension.key for dimension in plan.space]
    foreign = next((key for rule in plan.exclude for key in rule if key not in (*keys, *plan.fixed)), "")
    reserved = next((key for key in keys if key.split(".")[0] in ("tracking", "experiment")), "")
    another_loss = next((key for key in keys if key.startswith(("training.loss", "model.head"))), "")
    metric, late = plan.metric, plan.metric.startswith("val.")
    for wrong, what, remedy in (
        (not keys, "The sweep has nothing to choose.", "Give e.g. training.lr=log(1e-4,1e-2)"),
        (reserved, f"A sweep can't choose {reserved}.", ""),
        (foreign, f"exclude names {foreign}, which the space does not.", ""),
        (plan.exclude and plan.sampler != "grid", "exclude needs sampler: grid; others choose freely.", ""),
        (
            metric.startswith("test"),
            f"metric is {metric}: the test split must choose nothing, or its numbers flatter.",
            "Take a validation metric: val_loss, val_auc, or with --until evaluation val.auc_macro.",
        ),
        (
            not metric.startswith(("val_", "val.")),
            f"metric is {metric}; expected one of the validation split: val_loss, val_auc, val_accuracy, or "
            "with --until evaluation val.auc_macro and the like.",
            "",
        ),
        (late and plan.until == "ensemble", f"{metric} is measured later.", "Add --until evaluation."),
        (late and plan.pruner != "none", f"{metric} has no value an epoch.", "Add --pruner none."),
        (
            metric == "val_loss" and another_loss,
            f"The space changes {another_loss}, so that val_loss means another thing in each trial.",
            "Add --metric val_auc.",
        ),
    ):
        if wrong:
            raise SettingsError(what, remedy)
