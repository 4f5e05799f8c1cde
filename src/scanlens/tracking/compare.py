"""Tracked runs read back: metrics, settings in which they differ, curves and predictions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from mlflow.entities import Run as MlflowRun
from mlflow.tracking import MlflowClient

from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.tracking.lineage import NOT_IDENTITY
from scanlens.tracking.place import settle_store
from scanlens.tracking.runs import (
    PREDICTIONS,
    active_experiment,
    short_reason,
    unreachable,
    without_password,
)
from scanlens.tracking.sweeps import SWEEP
from scanlens.tracking.trial import CHOICES, PARENT, STATE

LOWER_IS_BETTER = ("loss", "mae", "rmse", "nll", "brier", "ece")
"""Last words of the metrics of which the smallest is best."""
NEWEST = 8
"""Runs shown where none is named."""
_PAGE = 1000
"""Runs asked for at a time."""


def lower_is_better(metric: str) -> bool:
    """Whether the best run has the smallest value."""
    return metric.replace(".", "_").rsplit("_", 1)[-1] in LOWER_IS_BETTER


@dataclass(frozen=True)
class TrackedRun:
    """One run as its store knows it.

    Attributes:
        name: Shown to people; not always distinct.
        id: Distinct.
        started: ISO time, UTC.
        status: MLflow's; of a trial the sweep's word (complete, pruned, failed, interrupted).
        metrics: Last values; of training's ``val_*`` see :meth:`RunStore.at_chosen_epoch`.
        settings: ``{section.key: text}``, without the machine's.
        choices: What a sweep chose for it, or empty.
        data: Hash of the data, or "".
    """

    name: str
    id: str
    started: str
    status: str
    metrics: dict[str, float]
    settings: dict[str, str] = field(repr=False)
    choices: dict[str, str]
    data: str


class RunStore:
    """The store of section ``tracking``, open for reading.

    Args:
        tracking: Section ``tracking``.

    Raises:
        ScanlensError: Where nothing has been tracked yet, or the store can't be read.
    """

    def __init__(self, tracking: Tracking) -> None:
        tracking = settle_store(tracking, Path())
        sqlite = tracking.uri.removeprefix("sqlite:///")
        if sqlite != tracking.uri and not Path(sqlite).is_file():
            raise ScanlensError(f"{tracking.uri} does not exist yet: no run was tracked.", "Run: dvc repro")
        if reason := unreachable(tracking):
            raise ScanlensError(f"{reason}.", "Check tracking.uri.")
        with _asking():
            self._client = MlflowClient(tracking.uri)
            experiment = active_experiment(self._client, tracking.experiment, tracking.uri)
        if experiment is None:
            raise ScanlensError(
                f"{without_password(tracking.uri)} holds no experiment {tracking.experiment}.",
                "Run: dvc repro, or check tracking.experiment.",
            )
        self._experiment = experiment
        self._where = f"The experiment {tracking.experiment} of {without_password(tracking.uri)}"

    def newest(self, limit: int) -> list[TrackedRun]:
        """The newest runs, newest first; sweeps themselves have no metrics and are left out.

        Raises:
            ScanlensError: There is none.
        """
        found = self._search("", limit + _PAGE)
        if all(SWEEP in run.data.tags for run in found):
            raise ScanlensError(
                f"{self._where} has no run yet, or they were deleted.",
                "Run: dvc repro, or restore one: mlflow runs restore --run-id ID",
            )
        return [_tracked(run) for run in found if SWEEP not in run.data.tags][:limit]

    def named(self, words: Sequence[str]) -> list[TrackedRun]:
        """The runs of these ids, beginnings of ids, or names (the newest of a name), in this order.

        Raises:
            ScanlensError: None or several fit.
        """
        everything = self._search("", 10 * _PAGE)
        runs = [_one(word, everything) for word in dict.fromkeys(words)]
        return [_tracked(run) for run in {run.info.run_id: run for run in runs}.values()]

    def trials(self, study: str, limit: int | None) -> tuple[str, list[TrackedRun]]:
        """The metric that the newest sweep of this name optimised, and its child runs, first trial first.

        Raises:
            ScanlensError: There is no such sweep, or it has no run yet.
        """
        # No sweep has a quote in its name, and a query with one would be none.
        parents = [] if "'" in study else self._search(f"tags.`{SWEEP}` = '{study}'", 1)
        if not parents:
            known = sorted(
                {run.data.tags[SWEEP] for run in self._search("", _PAGE) if SWEEP in run.data.tags}
            )
            raise ScanlensError(f"No sweep {study} is tracked.", f"Sweeps: {', '.join(known) or 'none'}.")
        parent = parents[0]
        children = self._search(f"tags.`{PARENT}` = '{parent.info.run_id}'", limit or 10 * _PAGE)
        if not children:
            raise ScanlensError(f"The sweep {study} has no trial yet.")
        return parent.data.params.get("metric", ""), [_tracked(run) for run in children[::-1]]

    def at_chosen_epoch(self, run: TrackedRun) -> TrackedRun:
        """The run with training's ``val_*`` of the epoch whose weights were kept, not of the last one."""
        losses = self.curve(run, "val_loss") if "val_loss" in run.metrics else []
        if not losses:
            return run
        chosen = min(losses, key=lambda point: point[1])[0]
        metrics = dict(run.metrics)
        for name in [name for name in metrics if name.startswith("val_")]:
            metrics[name] = dict(self.curve(run, name)).get(chosen, metrics[name])
        return replace(run, metrics=metrics)

    def curve(self, run: TrackedRun, metric: str) -> list[tuple[int, float]]:
        """``[(epoch, value), ...]`` of a metric; empty where it has none."""
        with _asking():
            history = {m.step: m.value for m in self._client.get_metric_history(run.id, metric)}
        return sorted(history.items())

    def predictions(self, run: TrackedRun) -> pd.DataFrame | None:
        """The predictions table that stage evaluation logged, or None."""
        with _asking(), tempfile.TemporaryDirectory() as folder:
            if not any(file.path == PREDICTIONS for file in self._client.list_artifacts(run.id)):
                return None
            return pd.read_parquet(self._client.download_artifacts(run.id, PREDICTIONS, folder))

    def _search(self, wanted: str, limit: int) -> list[MlflowRun]:
        found: list[MlflowRun] = []
        token = None
        while len(found) < limit:
            with _asking():
                page = self._client.search_runs(
                    [self._experiment],
                    wanted,
                    order_by=["attributes.start_time DESC"],
                    max_results=min(_PAGE, limit - len(found)),
                    page_token=token,
                )
            found += list(page)
            token = page.token
            if not token:
                break
        return found


@contextmanager
def _asking() -> Iterator[None]:
    """Whatever store and client libraries raise, as one line."""
    try:
        yield
    except ScanlensError:
        raise
    except Exception as error:
        raise ScanlensError(
            f"The store of runs does not answer: {short_reason(error)}.", "Check tracking.uri."
        ) from error


def _one(word: str, runs: Sequence[MlflowRun]) -> MlflowRun:
    same_name = [run for run in runs if run.info.run_name == word]
    if same_name:
        return same_name[0]
    starting = [run for run in runs if run.info.run_id.startswith(word)]
    if len(starting) == 1:
        return starting[0]
    if starting:
        raise ScanlensError(f"{len(starting)} runs' ids begin with {word}.", "Give more of the id.")
    raise ScanlensError(f"No run is named {word} or has such an id.", "scanlens compare --json lists them.")


def _tracked(run: MlflowRun) -> TrackedRun:
    return TrackedRun(
        name=run.info.run_name,
        id=run.info.run_id,
        started=pd.Timestamp(run.info.start_time, unit="ms").isoformat(timespec="seconds"),
        status=run.data.tags.get(STATE, run.info.status),
        metrics=dict(sorted(run.data.metrics.items())),
        settings={k: v for k, v in run.data.params.items() if k.split(".")[0] not in NOT_IDENTITY},
        choices=json.loads(run.data.tags.get(CHOICES, "{}")),
        data=run.data.tags.get("scanlens.data_hash", ""),
    )


def differing(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Keys whose value is not the same in all; a key that only some have differs."""
    # A run that failed before its settings were logged says nothing about them.
    known = [mapping for mapping in settings if mapping]
    keys = sorted({key for mapping in known for key in mapping})
    return [key for key in keys if len({mapping.get(key) for mapping in known}) > 1]
