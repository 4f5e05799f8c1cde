"""A sweep in MLflow: one parent run, and a child run for each trial."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Param, RunTag
from mlflow.tracking import MlflowClient

from scanlens.config.schema import Tracking
from scanlens.tracking.lineage import flatten, settings_hash
from scanlens.tracking.runs import SETTINGS, Run, _logged, experiment_id, short_reason, unreachable
from scanlens.tracking.trial import CHOICES, NUMBER, PARENT, STATE, STUDY

SWEEP = "scanlens.sweep"
"""Tag of the parent: the study's name."""
ENDED = {"complete": "FINISHED", "pruned": "KILLED", "interrupted": "KILLED", "failed": "FAILED"}
"""MLflow's status for each state of a trial."""


class SweepRun:
    """The parent run of a sweep; does nothing where tracking is off or failed.

    Args:
        tracking: Section ``tracking`` with absolute places.
        study: The study's name.
        run_id: Of an earlier start of the same sweep, or "".
        facts: What is logged as parameters of a new run.
    """

    def __init__(self, tracking: Tracking, study: str, run_id: str, facts: Mapping[str, Any]) -> None:
        self._study, self._experiment_id = study, ""
        self._client: MlflowClient | None = None
        self.run = Run(None)
        if not tracking.enabled:
            return
        if reason := unreachable(tracking):
            print(f"warning: not tracked: {reason}. The sweep goes on.", flush=True)
            return
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(max(1, int(tracking.timeout_s * 4)))
        try:
            mlflow.set_tracking_uri(tracking.uri)
            client = MlflowClient(tracking.uri)
            self._experiment_id = experiment_id(client, tracking.experiment, tracking.uri)
            if run_id:
                client.set_tag(run_id, SWEEP, study)
                client.update_run(run_id, status="RUNNING")
            else:
                created = client.create_run(
                    self._experiment_id, run_name=f"sweep {study}", tags={SWEEP: study}
                )
                run_id = created.info.run_id
                entries = [Param(k, v[:6000]) for k, v in flatten(facts).items()]
                client.log_batch(run_id, params=entries[:100])
        except Exception as error:  # whatever store and client libraries raise: tracking never stops the work
            print(f"warning: not tracked: {short_reason(error).rstrip('.')}. The sweep goes on.", flush=True)
            return
        self._client, self.run = client, Run(client, run_id)

    def __enter__(self) -> SweepRun:
        """The sweep's run; leaving the block closes it as finished, killed or failed."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
        self.run._try(lambda client: client.set_terminated(self.run_id, status))

    @property
    def run_id(self) -> str:
        """Of the parent run, or ""."""
        return self.run.run_id

    def close_trial(
        self, number: int, state: str, choices: Mapping[str, str], reports: Path | None, reason: str = ""
    ) -> None:
        """Mark a trial's child run as ended, or make one where its stages came from DVC's cache.

        Args:
            number: Of the trial.
            state: complete, pruned, failed or interrupted.
            choices: What the sweep chose.
            reports: The project copy in which it ran, for a run that is made now; None for no more than tags.
            reason: Why it failed.
        """
        if self._client is None:
            return
        client = self._client
        try:
            wanted = f"tags.`{PARENT}` = '{self.run_id}' and tags.`{NUMBER}` = '{number}'"
            found = client.search_runs([self._experiment_id], wanted)
            run_ids = [run.info.run_id for run in found]
            if not run_ids:
                run_ids = [self._child(client, number, choices, reports)]
            elif reports is not None and "val_loss" not in found[0].data.metrics:
                _log_reports(Run(client, run_ids[0]), reports)
            for run_id in run_ids:
                tags = {STATE: state, **({"scanlens.reason": reason[:4000]} if reason else {})}
                client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])
                client.set_terminated(run_id, ENDED[state])
        except Exception as error:  # as above
            print(f"warning: a trial is not tracked: {short_reason(error)}", flush=True)

    def _child(
        self, client: MlflowClient, number: int, choices: Mapping[str, str], project: Path | None
    ) -> str:
        tags = {
            STUDY: self._study,
            NUMBER: str(number),
            CHOICES: json.dumps(dict(choices)),
            PARENT: self.run_id,
        }
        run = client.create_run(self._experiment_id, run_name=f"{self._study}-{number}", tags=tags)
        child = Run(client, run.info.run_id)
        if project is not None:
            from scanlens.config.load import read_settings

            settings = read_settings(project)
            entries = [Param(k, v[:6000]) for k, v in flatten(_logged(settings)).items()]
            for start in range(0, len(entries), 100):
                client.log_batch(child.run_id, params=entries[start : start + 100])
            child.set_tags({SETTINGS: settings_hash(settings), "scanlens.from_cache": "true"})
            _log_reports(child, project)
        return child.run_id


def _log_reports(child: Run, project: Path) -> None:
    """Metrics, curves and predictions of stages that did not run because their outputs were known."""
    import pandas as pd

    history = project / "data/06_models/trained/history.csv"
    if history.is_file():
        table = pd.read_csv(history)
        if "member" in table:
            # Of several networks the first: a sweep hears its epochs too.
            table = table[table["member"] == 0].drop(columns="member")
        for row in table.to_dict("records"):
            epoch = int(row.pop("epoch", 0))
            child.log_metrics({str(k): float(v) for k, v in row.items() if isinstance(v, int | float)}, epoch)
    metrics = project / "data/07_reports/metrics.json"
    if metrics.is_file():
        flat: dict[str, float] = {}
        for split, entries in json.loads(metrics.read_text(encoding="utf-8")).items():
            for name, entry in entries.items():
                parts = entry if isinstance(entry, dict) else {"value": entry}
                for part, value in parts.items():
                    if value is not None:
                        flat[f"{split}.{name}" + ("" if part == "value" else f".{part}")] = float(value)
        child.log_metrics(flat)
    predictions = project / "data/07_reports/predictions.parquet"
    if predictions.is_file():
        child.log_predictions(predictions)
