"""What a sweep learns of a trial's stages: their metric, and why they failed, without naming patients."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanlens.errors import ScanlensError
from scanlens.search.trials import failure, read_metric, shared_reason


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "> python\ntraining: The loss is not finite. Lower it.\nERROR: failed to reproduce",
            "training: The",
        ),
        (
            "acquire: 12 scans in x (1.2 s)\nTraceback\nValueError: odd\nERROR: failed to reproduce",
            "ValueError",
        ),
        ("acquire: 12 scans in x (1.2 s)\nKilled\n", "Killed"),
        ("", "no reason"),
    ],
)
def test_the_reason_of_a_failure_is_the_stages_own(log: str, reason: str) -> None:
    assert reason in failure(log)


def test_metrics_are_read_from_the_stages_reports(tmp_path: Path) -> None:
    reports = tmp_path / "data/07_reports"
    reports.mkdir(parents=True)
    (reports / "ensemble.json").write_text('{"val_loss": 0.5, "val_auc": NaN, "epochs": 3}')
    (reports / "metrics.json").write_text('{"val": {"auc_macro": 0.75, "ece": null}}')
    assert read_metric(tmp_path, "val_loss") == 0.5
    assert read_metric(tmp_path, "val.auc_macro") == 0.75
    for metric, named in (
        ("val_aucc", "ensemble.json holds no val_aucc. It holds: val_auc, val_loss."),
        ("val.auc", "metrics.json holds no val.auc. It holds: auc_macro, ece."),
        ("val.ece", "undefined"),
        ("val_auc", "undefined"),
    ):
        with pytest.raises(ScanlensError) as caught:
            read_metric(tmp_path, metric)
        assert named in str(caught.value)


@pytest.mark.parametrize(
    ("reason", "shared"),
    [
        ("training: the loss is not finite. Lower it.", "training: the loss is not finite. Lower it."),
        ("manifest: SMITH_JOHN/1.dcm: no pixels", "see trial-0003.log in the project"),
        ("FileNotFoundError: /scans/SMITH_JOHN", "see trial-0003.log in the project"),
    ],
)
def test_messages_that_may_name_patients_stay_in_the_project(reason: str, shared: str) -> None:
    assert shared_reason(reason, 3) == shared
