"""``scanlens sweep``: a study of the real pipeline, its parent run, and the best as an experiment."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import optuna
import yaml
from optuna.trial import FrozenTrial

from scanlens.atomic import write_json
from scanlens.config.compose import compose_text
from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.search.charts import study_pictures
from scanlens.search.experiment import experiment_path, write_experiment
from scanlens.search.loop import run_study
from scanlens.search.pipeline import Pipeline
from scanlens.search.plan import Plan
from scanlens.search.space import grid, quoted
from scanlens.search.study import (
    INTERRUPTED,
    PARENT,
    WORKER,
    as_text,
    best_trial,
    exclusive,
    finished,
    importances,
    open_study,
    take_up,
    wanted_trials,
)
from scanlens.search.trials import shared_reason, state_of, trial_line, trials_table
from scanlens.search.workspace import remove_workspaces
from scanlens.tracking.lineage import settings_hash
from scanlens.tracking.sweeps import SweepRun, absolute

CHANGES_VALIDATION = ("data", "acquire", "manifest", "preprocess", "seed")
"""Keys whose change may change which scans are validated, or how they look."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to.

    Attributes:
        name: Of the study.
        metric: What was optimised.
        direction: minimize or maximize.
        value: The best value.
        trial: Its number.
        best: ``{key: value}`` of the best trial.
        counts: Trials by state.
        importance: ``{key: share}``, empty where too few trials tell.
        experiment: The file with the best settings.
        run: MLflow's id of the parent run, or "".
    """

    name: str
    metric: str
    direction: str
    value: float
    trial: int
    best: dict[str, str]
    counts: dict[str, int]
    importance: dict[str, float]
    experiment: str
    run: str


def check_space(project: Path, plan: Plan) -> str:
    """Compose what the space may choose before anything runs, and hash the settings under it.

    Raises:
        SettingsError: A key, value or combination that ``conf/`` does not take.
    """
    wanted_trials(plan)
    if plan.sampler == "grid":
        combinations = grid(plan.space, plan.exclude, plan.fixed)
    else:
        first = {dimension.key: dimension.samples()[0] for dimension in plan.space}
        combinations = [{**first, d.key: value} for d in plan.space for value in d.samples()]
    for choices in combinations:
        compose_text(project, plan.overrides(choices))
    return settings_hash(yaml.safe_load(compose_text(project, plan.overrides(combinations[0]))))


def sweep(project: Path, plan: Plan, say: bool = True) -> Outcome:
    """Run the sweep, or go on with it, until it has the wanted number of trials.

    Args:
        project: The project's root.
        plan: What is wanted.
        say: Print a line a trial on stderr.

    Raises:
        ScanlensError: Wrong settings, a sweep of this name that runs already, or no trial that succeeded.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, with everything left so that the next start goes on.
    """
    if not (project / "dvc.yaml").is_file():
        raise ScanlensError("There is no dvc.yaml here.", "Run this in the project's root.")
    experiment_path(project, plan.name)
    base = check_space(project, plan)
    speak = _speaker(say)
    for key in sorted({d.key for d in plan.space if d.key.split(".")[0] in CHANGES_VALIDATION}):
        speak(f"warning: {key} may change the validation scans; values of trials may not compare")
    with exclusive(project, plan.name), _terminated_as_interrupted():
        study = open_study(project, plan, base)
        return _run(project, plan, study, speak)


def _run(project: Path, plan: Plan, study: optuna.Study, speak: Callable[[str], None]) -> Outcome:
    tracking = absolute(_tracking_of(project, plan), project)
    parent = SweepRun(tracking, plan.name, study.user_attrs.get(PARENT, ""), plan.identity())
    study.set_user_attr(PARENT, parent.run_id)
    for trial in take_up(study):
        parent.close_trial(trial.number, "interrupted", as_text(trial.params), None)
        speak(f"trial {trial.number} was interrupted; it is run again")
    done, wanted = len(finished(study)), wanted_trials(plan)
    if done:
        speak(f"{plan.name}: {done} of {wanted} trials are there")
    override = [f"tracking.uri={quoted(tracking.uri)}"] if tracking.enabled else []
    pipeline = Pipeline(project, plan, parent.run_id, override)

    def observe(trial: FrozenTrial) -> None:
        state = state_of(trial)
        reason = shared_reason(trial)
        workspace = pipeline.workspace(trial.user_attrs[WORKER]) if state == "complete" else None
        parent.close_trial(trial.number, state, as_text(trial.params), workspace, reason)
        speak(trial_line(study, plan, trial, wanted))

    try:
        run_study(study, plan, pipeline, observe)
    except BaseException:
        for trial in study.trials:
            if trial.user_attrs.get(INTERRUPTED):
                parent.close_trial(trial.number, "interrupted", as_text(trial.params), None)
        parent.run._try(lambda client: client.set_terminated(parent.run_id, "KILLED"))
        raise
    try:
        outcome = _conclude(project, plan, study, parent)
    except ScanlensError:
        parent.run._try(lambda client: client.set_terminated(parent.run_id, "FAILED"))
        raise
    parent.run._try(lambda client: client.set_terminated(parent.run_id, "FINISHED"))
    remove_workspaces(project, plan.name)
    return outcome


def _tracking_of(project: Path, plan: Plan) -> Tracking:
    fixed = [f"{k}={v}" for k, v in plan.fixed.items() if k.split(".")[0] == "tracking"]
    # compose_text has checked names and types.
    return Tracking(**yaml.safe_load(compose_text(project, fixed))["tracking"])


def _conclude(project: Path, plan: Plan, study: optuna.Study, parent: SweepRun) -> Outcome:
    best = best_trial(study)
    choices = as_text(best.params)
    counts: dict[str, int] = {}
    for trial in study.trials:
        counts[state_of(trial)] = counts.get(state_of(trial), 0) + 1
    importance = importances(study)
    assert best.value is not None
    path = write_experiment(
        project,
        plan.name,
        plan.overrides(choices),
        [
            f"{plan.metric} {best.value:.6g} ({plan.direction}), trial {best.number} of "
            f"{len(finished(study))}.",
            f"Chosen: {' '.join(f'{k}={v}' for k, v in choices.items())}",
            f"From: {' '.join(f'{d.key}={d}' for d in plan.space)}",
            "The value chose the settings, so it flatters them; the test split has the honest one.",
        ],
    )
    outcome = Outcome(
        plan.name,
        plan.metric,
        plan.direction,
        best.value,
        best.number,
        choices,
        counts,
        importance,
        path.relative_to(project).as_posix(),
        parent.run_id,
    )
    _log_outcome(parent, study, outcome, path)
    return outcome


def _log_outcome(parent: SweepRun, study: optuna.Study, outcome: Outcome, experiment: Path) -> None:
    parent.run.log_metrics(
        {
            f"best.{outcome.metric}": outcome.value,
            **{f"trials.{state}": float(count) for state, count in outcome.counts.items()},
            **{f"importance.{key}": share for key, share in outcome.importance.items()},
        }
    )
    parent.run.set_tags({f"best.{key}": value for key, value in outcome.best.items()})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for picture, content in study_pictures(study, outcome.importance).items():
            (folder / f"{picture}.png").write_bytes(content)
        trials_table(study).to_csv(folder / "trials.csv", index=False, lineterminator="\n")
        write_json(folder / "best.json", {"value": outcome.value, "choices": outcome.best})
        parent.run.log_files(folder, "sweep")
    parent.run.log_files(experiment, "sweep")


def _speaker(say: bool) -> Callable[[str], None]:
    return (lambda text: print(text, file=sys.stderr, flush=True)) if say else (lambda text: None)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the sweep as cleanly as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def as_lines(outcome: Outcome) -> str:
    """An outcome for a person."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(outcome.counts.items()))
    lines = [
        f"{outcome.name}: {counts}",
        f"best {outcome.metric} {outcome.value:.4f} (trial {outcome.trial}): "
        + " ".join(f"{key}={value}" for key, value in outcome.best.items()),
    ]
    if outcome.importance:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in outcome.importance.items())
        lines.append(f"share of the variation explained: {shares}")
    lines.append(f"written to {outcome.experiment}; use it: dvc exp run -S experiment={outcome.name}")
    return "\n".join(lines)
