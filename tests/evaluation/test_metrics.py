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
    weighted_auc,
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
    assert ours["auc_macro"] == pytest.approx(ordinary)
    assert list(ours["auc"]) == pytest.approx([ordinary, ordinary])
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


def scikit_learn(p: np.ndarray, y: np.ndarray, weights: np.ndarray) -> dict[str, object]:
    """The metrics of one row of weights, by scikit-learn; every class occurs."""
    classes = np.arange(p.shape[1])
    answer, kept = p.argmax(axis=1), {"sample_weight": weights}
    per_class = {"labels": classes, "average": None, "zero_division": np.nan, **kept}
    recall = sklearn_metrics.recall_score(y, answer, **per_class)
    f1 = sklearn_metrics.f1_score(y, answer, **per_class)
    specificity = [sklearn_metrics.recall_score(y != k, answer != k, **kept) for k in classes]
    auc = [
        sklearn_metrics.roc_auc_score(y == k, p[:, 1] if len(classes) == 2 and k == 1 else p[:, k], **kept)
        for k in classes
    ]
    two = len(classes) == 2
    return {
        "auc": auc, "auc_macro": np.mean(auc), "accuracy": sklearn_metrics.accuracy_score(y, answer, **kept),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(y, answer, **kept),
        "sensitivity": recall, "sensitivity_macro": recall.mean(), "f1": f1, "f1_macro": f1.mean(),
        "specificity": specificity, "specificity_macro": np.mean(specificity),
        "nll": sklearn_metrics.log_loss(y, p, labels=classes, **kept),
        "brier": sklearn_metrics.brier_score_loss(y, p[:, 1] if two else p, labels=classes, **kept),
    }  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("decimals", [12, 0])
def test_weighted_metrics_equal_scikit_learn(classes: int, decimals: int) -> None:
    probabilities, targets = case(classes, scans=90, decimals=decimals)
    weights = np.random.default_rng(1).integers(0, 4, (5, 90)).astype(float)
    weights[0] = 1.0
    ours = all_metrics(probabilities, targets, weights)
    for row, theirs in enumerate(scikit_learn(probabilities, targets, one) for one in weights):
        assert set(ours) == {*theirs, "ece"}
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name][row], value, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_weight_is_a_repetition(classes: int) -> None:
    probabilities, targets = case(classes, scans=90)
    probabilities, targets = probabilities[targets != 3], targets[targets != 3]
    weights = np.random.default_rng(1).integers(0, 4, (3, len(targets))).astype(float)
    together = all_metrics(probabilities, targets, weights)
    for row, repeats in enumerate(weights.astype(int)):
        alone = all_metrics(np.repeat(probabilities, repeats, axis=0), np.repeat(targets, repeats))
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][row], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_confusion_equals_scikit_learn() -> None:
    probabilities, targets = case(4)
    answer = probabilities.argmax(axis=1)
    assert (confusion(answer, targets, 4) == sklearn_metrics.confusion_matrix(targets, answer)).all()


def test_auc_without_a_negative_is_nan() -> None:
    assert np.isnan(weighted_auc(np.arange(3.0), np.ones(3, dtype=bool), np.ones((1, 3)))).all()
