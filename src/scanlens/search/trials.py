"""A trial as the real pipeline: settings composed, stages run by DVC in a copy of the project."""

from __future__ import annotations

import json
import math
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from scanlens.atomic import write_text
from scanlens.config.compose import PARAMS, compose_text
from scanlens.config.kept import keep_data
from scanlens.errors import ScanlensError
from scanlens.scaling.cores import available_cores
from scanlens.search.plan import SweepPlan
from scanlens.search.study import FOLDER, REASON, address, requeue
from scanlens.search.workspace import bring_paths, end_processes, prepare_workspace
from scanlens.tracking.sweeps import SweepRun
from scanlens.tracking.trial import PRUNED, Trial

REPORTS = Path("data/07_reports")
SHARED_REASONS = (
    "synthesis", "augmentation", "pretraining", "training", "ensemble", "evaluation", "explanation",
    "map_scores", "shortcuts", "packaging",
)  # fmt: skip
"""Stages whose messages leave the project: they know scans by hash alone."""
_COMPOSING = threading.Lock()
"""Hydra has one global state."""


class TrialRunner:
    """Runs the trials of one sweep, each in the thread that asked the study for it.

    Args:
        project: The project, an absolute path.
        plan: The sweep.
        parent: MLflow run of the sweep.
        tracking: Overrides of section tracking with absolute places.
        observe: Called with each trial that has ended.
    """

    def __init__(
        self,
        project: Path,
        plan: SweepPlan,
        parent: SweepRun,
        tracking: list[str],
        observe: Callable[[FrozenTrial], None],
    ) -> None:
        self._observe = observe
        self._project, self._plan, self._parent, self._tracking = project, plan, parent, tracking
        self.stopping = threading.Event()
        """Set to have the running trials stopped; they are queued again."""
        self._folder = project / FOLDER / plan.name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for worker in range(plan.jobs):
            self._free.put(worker)
        self._workspaces: dict[int, Path] = {}
        # The first trial fills DVC's cache with the stages that all share; the others wait for that.
        self._warm = threading.Event()

    def __call__(self, trial: optuna.Trial) -> None:
        """Run one trial and tell the study what came of it.

        Raises:
            KeyboardInterrupt: The sweep is being stopped; the trial is queued again.
        """
        choices = {dimension.key: dimension.suggest(trial) for dimension in self._plan.space}
        worker = self._free.get()
        workspace, value, reason = None, None, ""
        try:
            state, said = TrialState.COMPLETE, "complete"
            try:
                value = self._run(trial, choices, worker)
                workspace = self._workspaces[worker]
            except optuna.TrialPruned:
                state, said = TrialState.PRUNED, "pruned"
            except KeyboardInterrupt:
                # Queued before it is told: a kill between the two must not lose it.
                requeue(trial.study, trial.study.trials[trial.number])
                trial.study.tell(trial, state=TrialState.FAIL)
                self._parent.close_trial(trial.number, "interrupted", choices, None)
                raise
            except Exception as error:
                state, said = TrialState.FAIL, "failed"
                named = isinstance(error, ScanlensError)
                reason = str(error) if named else f"{type(error).__name__}: {error}"
                trial.set_user_attr(REASON, reason)
            self._parent.close_trial(
                trial.number, said, choices, workspace, reason and shared_reason(reason, trial.number)
            )
            self._observe(trial.study.tell(trial, value, state))
        finally:
            self._warm.set()
            self._free.put(worker)

    def _run(self, trial: optuna.Trial, choices: dict[str, str], worker: int) -> float:
        while worker and not self._warm.wait(0.2) and not self.stopping.is_set():
            pass
        if self.stopping.is_set():
            raise KeyboardInterrupt
        if worker not in self._workspaces:
            self._workspaces[worker] = prepare_workspace(self._project, self._folder / f"worker-{worker}")
        workspace = self._workspaces[worker]
        self._write_params(workspace, choices)
        log = self._folder / f"trial-{trial.number:04d}.log"
        code = self._dvc(workspace, worker, trial, choices, log)
        # What an ended trial would have gone on from.
        shutil.rmtree(workspace / ".scanlens/checkpoints", ignore_errors=True)
        if trial.study.trials[trial.number].user_attrs.get(PRUNED):
            raise optuna.TrialPruned
        if code:
            text = log.read_text(encoding="utf-8", errors="replace")
            raise ScanlensError(failure(text), f"Log: {log.name}")
        return read_metric(workspace, self._plan.metric)

    def _write_params(self, workspace: Path, choices: dict[str, str]) -> None:
        overrides = [*self._plan.overrides(choices), *self._tracking]
        with _COMPOSING:
            text = compose_text(workspace, overrides)
            settings = yaml.safe_load(text)
            # What the trial before ran on is nothing that was forgotten.
            keep_data(workspace, settings["data"])
            extra = bring_paths(self._project, workspace, settings)
            if self._plan.jobs > 1 and settings["runtime"]["threads"] == "auto":
                extra.append(f"runtime.threads={max(1, available_cores() // self._plan.jobs)}")
            write_text(workspace / PARAMS, compose_text(workspace, overrides + extra) if extra else text)

    def _dvc(
        self, workspace: Path, worker: int, trial: optuna.Trial, choices: dict[str, str], log: Path
    ) -> int:
        plan = self._plan
        known = Trial(
            plan.name,
            trial.number,
            choices,
            self._parent.run_id,
            address(self._project, plan.name),
            trial._trial_id,
            plan.metric,
            plan.pruner,
        )
        environment = {
            **os.environ,
            **known.environment(),
            # The copy's code, which is what DVC's lock of the copy speaks of.
            "PYTHONPATH": os.pathsep.join([str(workspace / "src"), os.environ.get("PYTHONPATH", "")]),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        if plan.jobs > 1 and len(gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]
        if key := os.environ.get("SCANLENS_KEY_FILE"):
            environment["SCANLENS_KEY_FILE"] = str((self._project / key).resolve())
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                ["dvc", "repro", plan.until],
                cwd=workspace,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C reaches the sweep alone, which then ends what it has started.
                start_new_session=True,
            )
            while True:
                try:
                    return process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    if self.stopping.is_set():
                        end_processes(workspace)
                        raise KeyboardInterrupt from None
                    if not self._warm.is_set() and trial.study.trials[trial.number].intermediate_values:
                        self._warm.set()


def shared_reason(reason: str, number: int) -> str:
    """Why a trial failed, as MLflow may know it: early stages name files, and so maybe patients."""
    return reason if reason.split(":")[0] in SHARED_REASONS else f"see trial-{number:04d}.log in the project"


def failure(log: str) -> str:
    """Why a trial failed: the stage's own line, or the last one before DVC's."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    stages = "|".join(("acquire", "manifest", "preprocess", *SHARED_REASONS))
    own = [line for line in lines if re.match(rf"({stages}): (?!.*\(\d+\.\d s\)$)", line)]
    errors = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    return (own or errors or lines or ["dvc gave no reason"])[-1]


def read_metric(workspace: Path, metric: str) -> float:
    """A metric from what the stages wrote: ``val_*`` of the chosen epoch, ``val.*`` of the evaluation.

    Raises:
        ScanlensError: It is not there, or no number.
    """
    name, content = ("metrics.json", "val") if metric.startswith("val.") else ("ensemble.json", "")
    found: dict[str, Any] = json.loads((workspace / REPORTS / name).read_text(encoding="utf-8"))
    found = found[content] if content else {key: v for key, v in found.items() if key.startswith("val")}
    value = found.get(metric.removeprefix("val."), "absent")
    if value == "absent":
        raise ScanlensError(f"{name} holds no {metric}.", f"It holds: {', '.join(sorted(found))}.")
    if value is None or not math.isfinite(value):
        raise ScanlensError(f"{metric} is undefined for this trial.")
    return float(value)
