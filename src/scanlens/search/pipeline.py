"""A trial as the real pipeline: settings composed, stages run by DVC in a copy of the project."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import yaml

from scanlens.atomic import write_text
from scanlens.config.compose import PARAMS, compose_text
from scanlens.errors import ScanlensError
from scanlens.scaling.cores import available_cores
from scanlens.search.epochs import EpochLine
from scanlens.search.loop import Attempt, Interrupted
from scanlens.search.plan import STAGES, Plan
from scanlens.search.study import FOLDER
from scanlens.search.workspace import (
    GRACE_S,
    PID,
    bring_paths,
    clean_checkpoints,
    end_group,
    prepare_workspace,
)
from scanlens.tracking.trial import Trial

REPORTS = Path("data/07_reports")
_COMPOSING = threading.Lock()
"""Hydra has one global state."""


class Pipeline:
    """Runs the trials of one sweep.

    Args:
        project: The project.
        plan: The sweep.
        parent: MLflow run of the sweep, or "".
        tracking: Overrides of section tracking with absolute places.
    """

    def __init__(self, project: Path, plan: Plan, parent: str, tracking: list[str]) -> None:
        self._project, self._plan, self._parent = project.resolve(), plan, parent
        self._tracking = tracking
        self._ready: dict[int, Path] = {}
        # The first trial fills DVC's cache with the stages that all share; the others wait for that.
        self._warm = threading.Event()

    def __call__(self, attempt: Attempt) -> float:
        """Run one trial and return its metric.

        Raises:
            optuna.TrialPruned: The pruner stopped it.
            Interrupted: The sweep is being stopped.
            ScanlensError: A stage failed; with its reason.
        """
        if attempt.worker and not self._warm.is_set():
            while not self._warm.wait(0.2):
                if attempt.stopping.is_set():
                    raise Interrupted
        try:
            return self._run(attempt)
        finally:
            self._warm.set()

    def workspace(self, worker: int) -> Path:
        """The worker's copy of the project."""
        if worker not in self._ready:
            self._ready[worker] = prepare_workspace(self._project, self._plan.name, worker)
        return self._ready[worker]

    def _run(self, attempt: Attempt) -> float:
        workspace = self.workspace(attempt.worker)
        self._write_params(workspace, attempt)
        pruned = threading.Event()

        def judge(metrics: dict[str, float], epoch: int) -> bool:
            self._warm.set()
            if self._plan.metric not in metrics or attempt.report(metrics[self._plan.metric], epoch):
                return not attempt.stopping.is_set()
            pruned.set()
            return False

        log = self._project / FOLDER / self._plan.name / f"trial-{attempt.number:04d}.log"
        with EpochLine(judge) as line:
            trial = Trial(
                self._plan.name, attempt.number, attempt.choices, self._parent, line.address, line.key
            )
            code = self._dvc(workspace, trial, attempt, pruned, log)
        if attempt.stopping.is_set() and code:
            raise Interrupted
        clean_checkpoints(workspace)
        if pruned.is_set():
            raise optuna.TrialPruned
        if code:
            raise ScanlensError(
                failure(log.read_text(encoding="utf-8", errors="replace")), f"Log: {log.name}"
            )
        return read_metric(workspace, self._plan.metric)

    def _write_params(self, workspace: Path, attempt: Attempt) -> None:
        overrides = self._plan.overrides(attempt.choices)
        with _COMPOSING:
            settings = yaml.safe_load(compose_text(workspace, overrides))
            extra = [*self._tracking, *bring_paths(self._project, workspace, settings)]
            if self._plan.jobs > 1 and settings["runtime"]["threads"] == "auto":
                extra.append(f"runtime.threads={max(1, available_cores() // self._plan.jobs)}")
            write_text(workspace / PARAMS, compose_text(workspace, [*overrides, *extra]))

    def _dvc(
        self, workspace: Path, trial: Trial, attempt: Attempt, pruned: threading.Event, log: Path
    ) -> int:
        environment = {
            **os.environ,
            **trial.environment(),
            # The copy's code, which is what DVC's lock of the copy speaks of.
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(workspace / "src"), os.environ.get("PYTHONPATH", "")])
            ),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            **_one_gpu(attempt.worker, self._plan.jobs),
        }
        key = os.environ.get("SCANLENS_KEY_FILE")
        if key:
            environment["SCANLENS_KEY_FILE"] = str((self._project / key).resolve())
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                ["dvc", "repro", self._plan.until],
                cwd=workspace,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches the sweep alone, which then ends the whole group.
                start_new_session=True,
            )
            (workspace / PID).write_text(str(process.pid))
            try:
                return _wait(process, attempt.stopping, pruned)
            finally:
                (workspace / PID).unlink(missing_ok=True)


def _wait(process: subprocess.Popen[bytes], stopping: threading.Event, pruned: threading.Event) -> int:
    """The exit code; processes that should have ended by themselves are ended."""
    deadline = None
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            pass
        if stopping.is_set():
            # Beside the wait, for a leader that nobody waited for counts as alive. DVC may be gone before its
            # stage is, so the whole group is seen to its end.
            ending = threading.Thread(target=end_group, args=(process.pid,))
            ending.start()
            code = process.wait()
            ending.join()
            return code
        if pruned.is_set():
            deadline = deadline or time.monotonic() + GRACE_S
            if time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)


def _one_gpu(worker: int, jobs: int) -> dict[str, str]:
    """Parallel trials take one GPU each, in turn, where the environment names several."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": named[worker % len(named)]} if jobs > 1 and len(named) > 1 else {}


def failure(log: str) -> str:
    """Why a trial failed: the stage's own line, or the last one before DVC's."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    stages = "|".join(("acquire|manifest|preprocess|synthesis|augmentation|pretraining", *STAGES))
    own = [line for line in lines if re.match(rf"({stages}): (?!.*\(\d+\.\d s\)$)", line)]
    if own:
        return own[-1]
    errors = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    return (errors or lines or ["dvc gave no reason"])[-1]


def read_metric(workspace: Path, metric: str) -> float:
    """A metric from what the stages wrote: ``val_*`` of the chosen epoch, ``val.*`` of the evaluation.

    Raises:
        ScanlensError: It is not there.
    """
    name, content = ("metrics.json", metric) if metric.startswith("val.") else ("ensemble.json", metric)
    found: Any = json.loads((workspace / REPORTS / name).read_text(encoding="utf-8"))
    keys = content.split(".", 1)
    for position, key in enumerate(keys):
        if not isinstance(found, dict) or key not in found:
            known = sorted(k for k, v in found.items() if isinstance(v, int | float)) if position else []
            known = known or sorted(k for k in found if str(k).startswith("val"))
            raise ScanlensError(f"{name} holds no {metric}.", f"It holds: {', '.join(known)}.")
        found = found[key]
    if found is None:
        raise ScanlensError(f"{metric} is undefined for this trial.")
    return float(found)
