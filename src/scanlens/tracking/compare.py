"""Runs side by side: their metrics, and only the settings in which they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.tracking.lineage import NOT_IDENTITY
from scanlens.tracking.runs import short_reason, unreachable


def compare_runs(tracking: Tracking, limit: int) -> list[dict[str, Any]]:
    """The newest runs, newest first.

    Args:
        tracking: Section ``tracking``.
        limit: How many at most.

    Returns:
        One mapping a run: ``run``, ``started`` (ISO time), ``status``, ``metrics``, and ``changed``, the
        settings that are not the same in all of them.

    Raises:
        ScanlensError: Where nothing has been tracked yet.
    """
    if tracking.uri.startswith("sqlite:///") and not Path(tracking.uri.removeprefix("sqlite:///")).is_file():
        raise ScanlensError(f"{tracking.uri} does not exist yet: no run was tracked.", "Run: dvc repro")
    if reason := unreachable(tracking):
        raise ScanlensError(f"{reason}.", "Check tracking.uri.")
    client = MlflowClient(tracking.uri)
    try:
        experiment = client.get_experiment_by_name(tracking.experiment)
    except Exception as error:  # whatever store and client libraries raise
        raise ScanlensError(
            f"The runs can't be read: {short_reason(error)}.", "Check tracking.uri."
        ) from error
    if experiment is None:
        raise ScanlensError(f"{tracking.uri} holds no experiment {tracking.experiment}.", "Run: dvc repro")
    runs = client.search_runs(
        [experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=limit
    )
    settings = [
        {k: v for k, v in run.data.params.items() if k.split(".")[0] not in NOT_IDENTITY} for run in runs
    ]
    keys = sorted({key for mapping in settings for key in mapping})
    differing = [key for key in keys if len({mapping.get(key) for mapping in settings}) > 1]
    import pandas as pd

    return [
        {
            "run": run.info.run_name,
            "id": run.info.run_id,
            "started": pd.Timestamp(run.info.start_time, unit="ms").isoformat(timespec="seconds"),
            "status": run.info.status,
            "metrics": dict(sorted(run.data.metrics.items())),
            "changed": {key: mapping.get(key, "") for key in differing},
        }
        for run, mapping in zip(runs, settings, strict=True)
    ]


def as_table(rows: list[dict[str, Any]], metrics: list[str]) -> str:
    """Runs as columns of text: a line a changed setting, then a line a metric."""
    names = [row["run"] for row in rows]
    lines = [["", *names], ["started", *(row["started"] for row in rows)]]
    for key in rows[0]["changed"] if rows else []:
        lines.append([key, *(row["changed"][key] for row in rows)])
    for name in metrics:
        lines.append(
            [name, *(f"{row['metrics'][name]:.4f}" if name in row["metrics"] else "-" for row in rows)]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
