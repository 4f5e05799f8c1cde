"""The metrics that choose the epoch, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from torch import nn

from scanlens.models.classifier import Classifier
from scanlens.training.module import ScanClassifier


@pytest.mark.parametrize("classes", [2, 4])
def test_validation_metrics_are_those_of_the_whole_split(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Classifier(nn.Identity(), 3, classes, 0.5).eval()
    module = ScanClassifier(network, nn.CrossEntropyLoss(), 0.1, 1.0, 0.0)
    logged: dict[str, Any] = {}
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    scans, targets = torch.randn(41, 3, 2, 2), torch.arange(41) % classes
    with torch.inference_mode():
        # Unequal batches: a mean over batches would be another number.
        for part in (slice(0, 30), slice(30, 40), slice(40, 41)):
            module.validation_step((scans[part], targets[part]), 0)
        module.on_validation_epoch_end()
        probabilities = network(scans).double().softmax(1).numpy()
    assert float(logged["val_loss"]) == pytest.approx(log_loss(targets, probabilities), abs=1e-5)
    assert float(logged["val_accuracy"]) == pytest.approx(accuracy_score(targets, probabilities.argmax(1)))
    scores = probabilities[:, 1] if classes == 2 else probabilities
    expected = roc_auc_score(targets, scores, multi_class="ovr", average="macro")
    assert float(logged["val_auc"]) == pytest.approx(expected, abs=1e-5)
    assert module._logits == module._targets == []


def test_the_training_loss_is_the_batchs(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Classifier(nn.Identity(), 3, 2, 0.0)
    module = ScanClassifier(network, nn.CrossEntropyLoss(), 0.1, 1.0, 0.0)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    scans, targets = torch.randn(6, 3, 2, 2), torch.arange(6) % 2
    loss = module.training_step((scans, targets), 0)
    expected = log_loss(targets, network(scans).detach().double().softmax(1).numpy())
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-5)
    loss.backward()
    assert np.isfinite(network.head.weight.grad.numpy()).all()
