"""From what networks say to everything a person or DVC reads about it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scanlens.atomic import replacing, write_json, write_text
from scanlens.config.schema import Evaluation

# class_run and regression_run register their tasks.
from scanlens.evaluation import class_run, regression_run  # noqa: F401
from scanlens.evaluation.assessment import Assessment, Predicted, assess
from scanlens.evaluation.page_parts import render_report
from scanlens.evaluation.report import dvc_metrics
from scanlens.tasks import Task, task_of
from scanlens.types import Facts, FloatArray, IntArray


def evaluate(
    outputs: FloatArray,
    index: pd.DataFrame,
    labels: list[str],
    config: Evaluation,
    output: Path,
    members: IntArray | None = None,
    task: Task | None = None,
    further: Sequence[str] = (),
    training_mean: float = 0.0,
    positive: str | None = None,
) -> Facts:
    """Calibrate on the validation split, score every split, write the report.

    Writes predictions.parquet, calibration.json, metrics.json, evaluation.json, report.html, and tables and
    pictures of the test split in plots/ and figures/; each file appears whole.

    Args:
        outputs: As :class:`~scanlens.evaluation.assessment.Predicted` has them, finite.
        index: Likewise.
        labels: Likewise.
        config: Bootstrap, confidence, calibration and seed.
        output: Folder to write to; made if missing.
        members: As ``Predicted`` has them.
        task: What the labels are; None: classes.
        further: Cautions that come first in the report.
        training_mean: As ``Predicted`` has it.
        positive: As ``Predicted`` has it.

    Returns:
        The facts, as in evaluation.json.

    Raises:
        ScanlensError: Outputs, index and labels do not fit together, or an output is not finite.
        SettingsError: ``positive`` is none of two classes.
    """
    task = task or task_of("multiclass")
    found = assess(task, Predicted(outputs, index, labels, members, training_mean, positive), config)
    found.facts["warnings"] = [*further, *found.facts["warnings"]]
    _write(found, task, output)
    return found.facts


def _write(found: Assessment, task: Task, output: Path) -> None:
    with replacing(output / "predictions.parquet") as temporary:
        found.table.to_parquet(temporary, index=False)
    write_json(output / "calibration.json", found.calibration)
    for name, content in found.plots.items():
        with replacing(output / "plots" / f"{name}.csv") as temporary:
            content.to_csv(temporary, index=False, lineterminator="\n")
    figures = output / "figures"
    # A report shows what lies here: nothing of an earlier run.
    if figures.is_dir():
        shutil.rmtree(figures)
    figures.mkdir(parents=True)
    found.draw(figures)
    write_text(output / "report.html", render_report(found.page, task, found.facts, figures))
    write_json(output / "metrics.json", dvc_metrics(found.facts))
    # Last: it tells that a report is whole.
    write_json(output / "evaluation.json", found.facts)
