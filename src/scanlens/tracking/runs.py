"""MLflow runs: the only module that talks to MLflow's tracking API.

Tracking never stops the work: where the server can't be reached, or fails on the way, a run says so once
and swallows what follows.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
import pandas as pd
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.ranks import is_first
from scanlens.tasks import task_of
from scanlens.tracking.lineage import flatten, revision_tags, settings_hash
from scanlens.tracking.place import artifacts_beside, settle_store
from scanlens.tracking.trial import NUMBER, STUDY, current_trial

WEIGHTS_TAG = "scanlens.weights_sha256"
SETTINGS = "scanlens.settings_sha256"
MEMBER = "scanlens.member"
"""Number of the network whose training this run is, where several make the classifier."""
PREDICTIONS = "predictions.parquet"
"""Artefact by which two runs can be compared scan by scan."""
NOT_SHARED = ("site",)
"""Columns of the predictions that stay here: a hospital's name is for the project, not for every server."""


def without_password(text: str) -> str:
    """Text without the user and password that an address in it may hold."""
    return re.sub(r"//[^/\s]*@", "//", text)


def short_reason(error: Exception) -> str:
    """Type and first line of an error, without passwords."""
    if isinstance(error, ScanlensError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {without_password(first)}"


def unreachable(tracking: Tracking) -> str:
    """Why the tracking server can't be used, or an empty string."""
    parts = urlsplit(tracking.uri)
    if parts.scheme not in ("http", "https"):
        return ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=tracking.timeout_s).close()
    except OSError as error:
        return f"{parts.hostname}:{port} does not answer ({error})"
    return ""


class Run:
    """One MLflow run, or nothing at all where tracking is off or failed.

    Args:
        client: MLflow's client; None switches every method off.
        run_id: The run.
    """

    def __init__(self, client: MlflowClient | None, run_id: str = "") -> None:
        self._client = client
        self.run_id = run_id

    def __enter__(self) -> Run:
        """The run; leaving the block closes it as finished or failed."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self._try(lambda client: client.set_terminated(self.run_id, "FINISHED" if kind is None else "FAILED"))

    def _try(self, action: Callable[[MlflowClient], Any]) -> None:
        if self._client is None:
            return
        try:
            action(self._client)
        except Exception as error:  # whatever store and client libraries raise: tracking never stops the work
            print(f"warning: tracking stopped, the work goes on: {short_reason(error)}", file=sys.stderr)
            self._client = None

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log finite numbers at one step (an epoch)."""
        now = int(pd.Timestamp.now().timestamp() * 1000)
        entries = [
            Metric(k, float(v), now, step) for k, v in metrics.items() if v is not None and math.isfinite(v)
        ]
        self._try(lambda client: client.log_batch(self.run_id, metrics=entries))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set text tags."""
        entries = [RunTag(k, str(v)) for k, v in tags.items()]
        self._try(lambda client: client.log_batch(self.run_id, tags=entries))

    def log_files(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or a folder with all in it, as artefacts."""
        if path.is_dir():
            self._try(lambda client: client.log_artifacts(self.run_id, str(path), folder))
        else:
            self._try(lambda client: client.log_artifact(self.run_id, str(path), folder))

    def log_predictions(self, path: Path) -> None:
        """Log a predictions table without :data:`NOT_SHARED`: scans by hash, patients by pseudonym."""

        def action(client: MlflowClient) -> None:
            with tempfile.TemporaryDirectory() as folder:
                table = pd.read_parquet(path)
                table.drop(columns=[name for name in NOT_SHARED if name in table]).to_parquet(
                    Path(folder) / PREDICTIONS, index=False
                )
                client.log_artifact(self.run_id, str(Path(folder) / PREDICTIONS))

        self._try(action)

    def register_bundle(
        self, bundle: Path, code: Path, name: str, labels: list[str], task: str = "multiclass"
    ) -> str:
        """Log the bundle as an MLflow model with a signature and register a version of it.

        Args:
            bundle: The bundle folder; it travels as the model's artefact, nothing is pickled.
            code: A "model from code" script that loads it.
            name: Registered name.
            labels: Classes, for the signature.
            task: Its name: which columns the signature has.

        Returns:
            The registered version, or an empty string.
        """
        from mlflow.models import ModelSignature
        from mlflow.types.schema import ColSpec, Schema, TensorSpec

        outputs: list[ColSpec | TensorSpec] = [
            ColSpec(kind, column) for column, kind in task_of(task).outputs(labels).items()
        ]
        signature = ModelSignature(Schema([ColSpec("string", "path")]), Schema(outputs))
        version = ""

        def action(client: MlflowClient) -> None:
            nonlocal version
            with mlflow.start_run(run_id=self.run_id), warnings.catch_warnings():
                # An example would have to be some patient's scan.
                warnings.filterwarnings("ignore", message=".*input example.*")
                info = mlflow.pyfunc.log_model(
                    name="bundle",
                    python_model=str(code),
                    artifacts={"bundle": str(bundle)},
                    signature=signature,
                    registered_model_name=name,
                    # Named, a package of the same name from elsewhere would be installed.
                    pip_requirements=[],
                )
            version = str(info.registered_model_version)
            client.set_registered_model_alias(name, "latest-run", version)

        self._try(action)
        return version


def data_tags(manifest: Path) -> dict[str, str]:
    """Hashes of the data and of the split, from the manifest stage's facts."""
    facts = json.loads((manifest / "manifest.json").read_text(encoding="utf-8"))
    return {"scanlens.data_hash": facts["data_hash"], "scanlens.split_hash": facts["split_hash"]}


def active_experiment(client: MlflowClient, name: str, uri: str) -> str | None:
    """Id of the experiment of this name; None where there is none.

    Raises:
        ScanlensError: It was deleted; the store would take no run and show none.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return None
    if found.lifecycle_stage == "deleted":
        raise ScanlensError(
            f"the experiment {name} was deleted.",
            f"Restore it: MLFLOW_TRACKING_URI={shlex.quote(without_password(uri))} mlflow experiments "
            f"restore --experiment-id {found.experiment_id}; or set another tracking.experiment.",
        )
    return str(found.experiment_id)


def experiment_id(client: MlflowClient, name: str, uri: str) -> str:
    """Id of the experiment of this name, which is made where there is none.

    Raises:
        ScanlensError: As :func:`active_experiment`.
    """
    known = active_experiment(client, name, uri)
    return known or str(client.create_experiment(name, artifacts_beside(uri)))


def _logged(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings but where they are logged to: a server's address may hold a password."""
    return {section: values for section, values in settings.items() if section != "tracking"}


def open_run(
    tracking: Tracking, settings: Mapping[str, Any], tags: Mapping[str, str], weights: str | None = None
) -> Run:
    """The MLflow run of these settings.

    Args:
        tracking: Section ``tracking``.
        settings: All of ``params.yaml``; logged as parameters.
        tags: Data and split hashes.
        weights: SHA-256 of trained weights. Given, the run that trained them under these settings is
            continued if it exists, so that later stages log where training did, also on another day.

    In a trial of a sweep the run is a child of the sweep's (:mod:`scanlens.tracking.trial`).

    Returns:
        A run; one that does nothing where tracking is off, the server can't be reached, or another of
        several training processes tracks.
    """
    if not tracking.enabled or not is_first():
        return Run(None)
    if reason := unreachable(tracking):
        print(f"warning: not tracked: {reason}. The work goes on.", file=sys.stderr)
        return Run(None)
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(max(1, int(tracking.timeout_s * 4)))
    identity = settings_hash(settings)
    trial = current_trial()
    tracking = settle_store(tracking, Path())
    try:
        mlflow.set_tracking_uri(tracking.uri)
        client = MlflowClient(tracking.uri)
        experiment = experiment_id(client, tracking.experiment, tracking.uri)
        if weights is not None:
            wanted = f"tags.`{WEIGHTS_TAG}` = '{weights}' and tags.`{SETTINGS}` = '{identity}'"
            if trial is not None:
                # Weights from DVC's cache may be another run's; a trial has a run of its own.
                wanted += f" and tags.`{STUDY}` = '{trial.study}' and tags.`{NUMBER}` = '{trial.number}'"
            found = client.search_runs(
                [experiment], wanted, order_by=["attributes.start_time DESC"], max_results=1
            )
            if found:
                return Run(client, found[0].info.run_id)
        revision = revision_tags(Path())
        name = revision.get("dvc.experiment") or f"{settings['model']['name']}-{settings['data']['kind']}"
        if trial is not None:
            name = f"{trial.study}-{trial.number}"
            tags = {**tags, **trial.tags()}
        created = client.create_run(experiment, run_name=name)
        run = Run(client, created.info.run_id)
        entries = [Param(k, v[:6000]) for k, v in flatten(_logged(settings)).items()]
        for start in range(0, len(entries), 100):
            client.log_batch(run.run_id, params=entries[start : start + 100])
        run.set_tags({**revision, **tags, SETTINGS: identity, **({WEIGHTS_TAG: weights} if weights else {})})
    except Exception as error:  # as above
        print(f"warning: not tracked: {short_reason(error).rstrip('.')}. The work goes on.", file=sys.stderr)
        return Run(None)
    return run
