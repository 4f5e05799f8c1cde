"""The report of a number: its name stays text, and what is undefined is a dash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Evaluation
from scanlens.evaluation.run import evaluate
from scanlens.tasks import Number, task_of

NAME = "<script>age</script>"


def page(tmp_path: Path, splits: list[str], calibration: str = "temperature") -> str:
    generator = np.random.default_rng(0)
    targets = generator.normal(100, 20, len(splits))
    index = pd.DataFrame(
        {
            "scan_id": [f"s{row}" for row in range(len(splits))],
            "patient": [f"p{row // 2}" for row in range(len(splits))],
            "split": splits, "site": "", "label": [repr(float(value)) for value in targets],
        }
    )  # fmt: skip
    config = Evaluation(bootstrap=20, confidence=0.9, calibration=calibration, seed=0)  # type: ignore[arg-type]
    predicted = targets + generator.normal(0, 5, len(splits))
    task = task_of("regression")
    evaluate(predicted[:, None], index, [NAME], config, tmp_path, task=task, training_mean=100.0)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_metric_and_picture_is_there_and_the_name_is_escaped(tmp_path: Path) -> None:
    text = page(tmp_path, ["val", "test"] * 30)
    assert "<script" not in text
    assert "Evaluation of &lt;script&gt;age" in text
    for metric in Number.metrics.values():
        assert f"<td>{metric.title}<" in text
    assert text.count("data:image/png;base64,") == 2
    assert "Every prediction comes with an interval of &plusmn;" in text


@pytest.mark.parametrize(
    ("splits", "calibration"), [(["val", "test"] * 30, "none"), (["test"] * 40, "temperature")]
)
def test_without_an_interval_the_page_says_why(tmp_path: Path, splits: list[str], calibration: str) -> None:
    text = page(tmp_path, splits, calibration)
    assert "There is none:" in text
    assert "&plusmn;" not in text


def test_without_test_scans_nothing_is_drawn(tmp_path: Path) -> None:
    text = page(tmp_path, ["val"] * 40)
    assert "&ndash;" in text
    assert text.count("data:image/png;base64,") == 0
