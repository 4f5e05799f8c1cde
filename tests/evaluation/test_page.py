"""The report of classes: what is on top, and that no label gets out of its place."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from scanlens.config.schema import Evaluation
from scanlens.evaluation.run import evaluate
from scanlens.tasks import OrderedClasses

HOSTILE = ["<script>1</script>", '" onload="x', "{{ 7 * 7 }}"]


@pytest.fixture
def page_of(make_case: Callable, config: Evaluation, tmp_path: Path) -> Callable[..., str]:
    """Evaluate made-up predictions of some labels and return the page."""

    def make(labels: list[str], folds: bool = False, positive: str | None = None, **changes: object) -> str:
        logits, index = make_case(120, labels)
        members = np.where(index["split"] == "val", np.arange(120) % 2, -1) if folds else None
        settings = dataclasses.replace(config, bootstrap=20, **changes)  # type: ignore[arg-type]
        evaluate(logits, index, labels, settings, tmp_path, members, positive=positive)
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return make


def test_of_two_classes_the_positive_ones_numbers_are_on_top(page_of: Callable[..., str]) -> None:
    assert re.findall(r'<div class="card">(.*)\n', page_of(["no", "yes"])) == [
        "AUC", "Accuracy", "Sensitivity for yes", "Specificity for yes",
    ]  # fmt: skip


def test_the_finding_is_not_the_class_called_well(page_of: Callable[..., str]) -> None:
    page = page_of(["ill", "well"])
    assert "Sensitivity for ill" in page
    assert "Sensitivity for well" not in page
    assert "That is a guess: the other class is called well. If it is well, set\ndata.positive=well." in page


def test_where_no_name_tells_the_report_asks(page_of: Callable[..., str]) -> None:
    page = page_of(["a", "b"])
    assert "Sensitivity for b" in page
    assert "Which class is the finding, b or a?" in page
    assert "Which class is the finding" not in page_of(["a", "b"], positive="a")


def test_the_settings_say_which_class_is_the_finding(page_of: Callable[..., str]) -> None:
    page = page_of(["ill", "well"], positive="well")
    assert "Sensitivity for well" in page
    assert "The finding is well." in page
    assert "guess" not in page


def test_of_several_classes_the_means_are_on_top(page_of: Callable[..., str]) -> None:
    page = page_of(["a", "b", "c"])
    assert re.findall(r'<div class="card">(.*)\n', page) == ["AUC", "Accuracy", "Sensitivity", "Specificity"]
    assert OrderedClasses.metrics["auc_macro"].meaning in page
    assert OrderedClasses.metrics["mae_classes"].title not in page, "of ordered classes alone"


@pytest.mark.parametrize("labels", [HOSTILE, HOSTILE[:2]])
def test_labels_stay_text(page_of: Callable[..., str], labels: list[str]) -> None:
    page = page_of(labels)
    assert "<script" not in page
    assert 'onload="x' not in page
    for label in labels:
        assert f"<td>{label}</td>" in unescape(page)


def test_calibration_and_intervals_are_as_they_were_set(page_of: Callable[..., str]) -> None:
    page = page_of(["a", "b"], confidence=0.8)
    assert "80 % intervals" in page
    assert "too sure of itself" in page
    assert "no calibration was applied" in page_of(["a", "b"], calibration="none")


def test_validation_out_of_fold_is_explained(page_of: Callable[..., str]) -> None:
    assert "mean of 2 networks" in page_of(["a", "b"], folds=True)
    assert "networks. Validation is out of fold" not in page_of(["a", "b"])
