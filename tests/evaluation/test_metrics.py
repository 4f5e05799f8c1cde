"""Every metric against scikit-learn called another way, or torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional import classification as torchmetrics

from scanlens.evaluation.metrics import (
    PER_CLASS,
    SCALARS,
    all_metrics,
    auc_macro,
    auc_per_class,
    confusion,
    reliability,
)


def case(classes: int, scans: int = 240, decimals: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and targets; few decimals make ties."""
    generator = np.random.default_rng(classes)
    targets = generator.integers(0, classes, scans)
    logits = generator.normal(size=(scans, classes))
    logits[np.arange(scans), targets] += 1.0
    probabilities = torch.softmax(torch.tensor(logits.round(decimals)), dim=1).numpy()
    return probabilities, targets


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("decimals", [12, 0])
def test_metrics_equal_torchmetrics(classes: int, decimals: int) -> None:
    probabilities, targets = case(classes, decimals=decimals)
    ours = all_metrics(probabilities, targets)
    p, y = torch.tensor(probabilities), torch.tensor(targets)
    answer = torch.tensor(probabilities.argmax(axis=1))

    def both(name: str, theirs: torch.Tensor) -> None:
        np.testing.assert_allclose(ours[name], theirs.numpy(), atol=1e-6, err_msg=name)

    both("auc", torchmetrics.multiclass_auroc(p, y, classes, average=None))
    both("auc_macro", torchmetrics.multiclass_auroc(p, y, classes, average="macro"))
    both("sensitivity", torchmetrics.multiclass_recall(answer, y, classes, average=None))
    both("specificity", torchmetrics.multiclass_specificity(answer, y, classes, average=None))
    both("f1", torchmetrics.multiclass_f1_score(answer, y, classes, average=None))
    both("sensitivity_macro", torchmetrics.multiclass_recall(answer, y, classes, average="macro"))
    both("specificity_macro", torchmetrics.multiclass_specificity(answer, y, classes, average="macro"))
    both("f1_macro", torchmetrics.multiclass_f1_score(answer, y, classes, average="macro"))
    both("accuracy", torchmetrics.multiclass_accuracy(answer, y, classes, average="micro"))
    both("ece", torchmetrics.multiclass_calibration_error(p, y, classes, n_bins=15, norm="l1"))


def test_metrics_equal_plain_arithmetic() -> None:
    probabilities, targets = case(4)
    ours = all_metrics(probabilities, targets)
    assert ours["balanced_accuracy"] == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(targets, probabilities.argmax(axis=1))
    )
    assert ours["nll"] == pytest.approx(-np.log(probabilities[np.arange(240), targets]).mean())
    assert ours["brier"] == pytest.approx(((probabilities - np.eye(4)[targets]) ** 2).sum(axis=1).mean())
    assert set(ours) == set(SCALARS) | set(PER_CLASS)


def test_two_classes_have_the_ordinary_auc_and_brier() -> None:
    probabilities, targets = case(2)
    ours = all_metrics(probabilities, targets)
    ordinary = sklearn_metrics.roc_auc_score(targets, probabilities[:, 1])
    assert ours["auc_macro"] == ordinary
    assert list(ours["auc"]) == [ordinary, ordinary]
    assert ours["brier"] == pytest.approx(((probabilities[:, 1] - targets) ** 2).mean())


def test_an_absent_class_is_nan_and_left_out_of_the_mean() -> None:
    probabilities, targets = case(4)
    kept = targets != 2
    ours = all_metrics(probabilities[kept], targets[kept])
    assert np.isnan(ours["auc"][2])
    assert np.isnan(ours["sensitivity"][2])
    others = [0, 1, 3]
    assert ours["auc_macro"] == pytest.approx(ours["auc"][others].mean())
    assert ours["auc_macro"] == auc_macro(probabilities[kept], targets[kept])
    for name in ("sensitivity", "specificity", "f1"):
        assert ours[f"{name}_macro"] == pytest.approx(ours[name][others].mean()), name
    assert ours["balanced_accuracy"] == pytest.approx(
        np.mean([(probabilities[targets == k].argmax(axis=1) == k).mean() for k in others])
    )


def test_a_single_class_has_no_auc() -> None:
    probabilities, _ = case(3)
    targets = np.ones(len(probabilities), dtype=np.int64)
    assert np.isnan(auc_per_class(probabilities, targets)).all()
    ours = all_metrics(probabilities, targets)
    assert np.isnan(ours["auc_macro"])
    assert np.isnan(ours["specificity_macro"])
    assert ours["sensitivity_macro"] == ours["accuracy"]


def test_nothing_gives_nan_everywhere() -> None:
    ours = all_metrics(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))
    assert all(np.isnan(value).all() for value in ours.values())
    assert confusion(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), 3).tolist() == [[0] * 3] * 3


def test_reliability_bins_hold_their_lower_edge() -> None:
    probabilities = np.array([[0.2, 0.8], [0.0, 1.0], [0.75, 0.25]])
    table = reliability(probabilities, np.array([1, 0, 0]), bins=5)
    assert table.scans.tolist() == [0, 0, 0, 1, 2]
    np.testing.assert_allclose(table.confidence[3:], [0.75, 0.9])
    np.testing.assert_allclose(table.accuracy[3:], [1.0, 0.5])
