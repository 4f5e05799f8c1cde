"""``scanlens sweep``: a study of the real pipeline, its parent run, and the best as an experiment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from scanlens.config.compose import compose_text
from scanlens.config.overrides import override_value
from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.search.experiment import experiment_path, write_experiment
from scanlens.search.plan import SweepPlan
from scanlens.search.space import grid, spelled
from scanlens.search.study import (
    FOLDER,
    PARENT,
    REASON,
    best_trial,
    counts,
    exclusive,
    finished,
    importances,
    open_study,
    outcome_text,
    take_up,
)
from scanlens.search.trials import TrialRunner
from scanlens.search.workspace import end_processes, remove_workspaces
from scanlens.tracking.lineage import settings_hash
from scanlens.tracking.place import settle_store
from scanlens.tracking.sweeps import SweepRun

CHANGES_VALIDATION = ("data", "acquire", "manifest", "preprocess", "seed")
"""Keys whose change may change which scans are validated, or how they look."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to: of the best trial its number, value and choices, of all how many ended how.

    ``importance`` is each key's share of the variation, empty where too few trials tell; ``experiment`` the
    file with the best settings; ``run`` MLflow's id of the parent run, or "".
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


def check_space(project: Path, plan: SweepPlan) -> str:
    """Compose what the space may choose before anything runs, and hash the settings under it.

    Raises:
        SettingsError: A key, value or combination that ``conf/`` does not take.
    """
    plan.wanted()
    if plan.sampler == "grid":
        combinations = [outcome_text(c) for c in grid(plan.space, plan.exclude, plan.fixed)]
    else:
        first = {dimension.key: dimension.samples()[0] for dimension in plan.space}
        combinations = [{**first, d.key: value} for d in plan.space for value in d.samples()]
    for choices in combinations:
        compose_text(project, plan.overrides(choices))
    return settings_hash(yaml.safe_load(compose_text(project, plan.overrides(combinations[0]))))


def sweep(project: Path, plan: SweepPlan, say: bool = True) -> Outcome:
    """Run the sweep, or go on with it, until it has the wanted number of trials.

    Args:
        project: The project's root.
        plan: What is wanted.
        say: Print a line a trial on stderr.

    Raises:
        ScanlensError: Wrong settings, a sweep of this name that runs already, or no trial that succeeded.
        KeyboardInterrupt: On Ctrl-C, with everything left so that the next start goes on.
    """
    project = project.resolve()
    if not (project / "dvc.yaml").is_file() or not (project / ".dvc").is_dir():
        raise ScanlensError("There is no dvc.yaml or no .dvc here.", "Run this in the project's root.")
    experiment_path(project, plan.name)
    base = check_space(project, plan)
    speak: Callable[[str], None] = _speak if say else lambda text: None
    for key in sorted({d.key for d in plan.space if d.key.split(".")[0] in CHANGES_VALIDATION}):
        speak(f"warning: {key} may change the validation scans; values of trials may not compare")
    with exclusive(project, plan.name):
        return _run(project, plan, open_study(project, plan, base), speak)


def _run(project: Path, plan: SweepPlan, study: optuna.Study, speak: Callable[[str], None]) -> Outcome:
    tracking = settle_store(_tracking_of(project, plan), project)
    override = [f"tracking.uri={override_value(tracking.uri)}"] if tracking.enabled else []
    with SweepRun(tracking, plan.name, study.user_attrs.get(PARENT, ""), plan.identity()) as parent:
        study.set_user_attr(PARENT, parent.run_id)
        end_processes(project / FOLDER / plan.name)
        for trial in take_up(study, plan):
            parent.close_trial(trial.number, "interrupted", outcome_text(trial.params), None)
            speak(f"trial {trial.number} was interrupted; it is run again")
        done, wanted = len(finished(study)), plan.wanted()
        if done:
            speak(f"{plan.name}: {done} of {wanted} trials are there")

        def observe(trial: FrozenTrial) -> None:
            speak(f"[{len(finished(study))}/{wanted}] {trial_line(study, plan.metric, trial)}")

        run = TrialRunner(project, plan, parent, override, observe)
        tickets, asking = iter(range(wanted - done)), threading.Lock()

        def work() -> None:
            while True:
                # One at a time: SQLite would give two threads that ask at once the same queued trial.
                with asking:
                    if run.stopping.is_set() or next(tickets, None) is None:
                        return
                    trial = study.ask()
                run(trial)

        # Signals go to this thread: in another one a stop meets no transaction of the study.
        with ThreadPoolExecutor(plan.jobs) as pool:
            try:
                for future in as_completed([pool.submit(work) for _ in range(plan.jobs)]):
                    future.result()
            finally:
                run.stopping.set()
        outcome = _conclude(project, plan, study, parent)
    remove_workspaces(project / FOLDER / plan.name)
    return outcome


def _tracking_of(project: Path, plan: SweepPlan) -> Tracking:
    fixed = [f"{k}={v}" for k, v in plan.fixed.items() if k.split(".")[0] == "tracking"]
    # compose_text has checked names and types.
    return Tracking(**yaml.safe_load(compose_text(project, fixed))["tracking"])


def _conclude(project: Path, plan: SweepPlan, study: optuna.Study, parent: SweepRun) -> Outcome:
    best = best_trial(study)
    assert best.value is not None
    choices = outcome_text(best.params)
    path = write_experiment(
        project,
        plan.name,
        plan.overrides(choices),
        [
            f"{plan.metric} {best.value:.6g} ({plan.direction}), trial {best.number} of "
            f"{len(finished(study))}.",
            f"Chosen: {' '.join(f'{k}={v}' for k, v in choices.items())}",
            f"From: {' '.join(f'{d.key}={d.text}' for d in plan.space)}",
            "The value chose the settings, so it flatters them; the test split has the honest one.",
        ],
    )
    outcome = Outcome(
        name=plan.name,
        metric=plan.metric,
        direction=plan.direction,
        value=best.value,
        trial=best.number,
        best=choices,
        counts=counts(study),
        importance=importances(study),
        experiment=path.relative_to(project).as_posix(),
        run=parent.run_id,
    )
    parent.run.log_metrics(
        {
            f"best.{plan.metric}": best.value,
            **{f"trials.{state}": float(count) for state, count in outcome.counts.items()},
            **{f"importance.{key}": share for key, share in outcome.importance.items()},
        }
    )
    parent.run.set_tags({f"best.{key}": value for key, value in choices.items()})
    parent.run.log_files(path, "sweep")
    return outcome


def _speak(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def trial_line(study: optuna.Study, metric: str, trial: FrozenTrial) -> str:
    """What a person is told when a trial has ended."""
    result = f"failed: {trial.user_attrs.get(REASON, '')}"
    if trial.state is TrialState.PRUNED:
        result = f"pruned after {len(trial.intermediate_values)} epochs"
    elif trial.value is not None:
        result = f"{metric} {trial.value:.4f}"
        if study.best_trial.number == trial.number:
            result += "  best so far"
    choices = "  ".join(f"{key}={spelled(value)}" for key, value in trial.params.items())
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    return f"trial {trial.number}  {choices}  {result}  ({seconds:.0f} s)"


def as_lines(outcome: Outcome) -> str:
    """An outcome for a person."""
    states = ", ".join(f"{count} {state}" for state, count in outcome.counts.items())
    lines = [
        f"{outcome.name}: {states}",
        f"best {outcome.metric} {outcome.value:.4f} (trial {outcome.trial}): "
        + " ".join(f"{key}={value}" for key, value in outcome.best.items()),
    ]
    if outcome.importance:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in outcome.importance.items())
        lines.append(f"share of the variation explained: {shares}")
    lines.append(f"written to {outcome.experiment}; use it: dvc exp run -S experiment={outcome.name}")
    return "\n".join(lines)
