"""The training step and the metrics that choose the epoch, against scikit-learn and by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score
from torch import nn

from scanlens.config.schema import Loss, Mixing, Penalties, Penalty
from scanlens.models.classifier import Classifier
from scanlens.training.datamodule import Batch
from scanlens.training.losses import build_loss
from scanlens.training.mixing import draw_mix
from scanlens.training.module import ScanClassifier
from scanlens.training.recipe import NO_PENALTY, Recipe

RECIPE = Recipe(epochs=1, batch_size=6, lr=0.1, weight_decay=0.0, epoch_scans=0, seed=2)
SMOOTHED = Loss("auto", 0.2, 2.0, "none")


def make(head: str = "softmax", classes: int = 3, recipe: Recipe = RECIPE) -> ScanClassifier:
    """Around a network whose features are the scans themselves."""
    network = Classifier(nn.Identity(), 3, classes, 0.0, head)
    module = ScanClassifier(network, recipe, build_loss(SMOOTHED, head, classes, np.arange(classes)))
    module.trainer = pl.Trainer(logger=False, enable_progress_bar=False, enable_checkpointing=False)
    return module


def batch(classes: int = 3) -> Batch:
    return Batch(torch.randn(6, 3, 4, 4), torch.arange(6) % classes)


def validated(module: ScanClassifier, scans: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    """Metrics of unequal batches: a mean over batches would be another number."""
    logged: dict[str, Any] = {}
    module.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]
    module.eval()
    with torch.inference_mode():
        for part in (slice(0, 30), slice(30, 40), slice(40, 41)):
            module.validation_step(Batch(scans[part], targets[part]), 0)
        module.on_validation_epoch_end()
    assert module._outputs == module._targets == []
    return {name: float(value) for name, value in logged.items()}


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "linear", "ordinal", "regression"])
@pytest.mark.parametrize("classes", [2, 4])
def test_validation_metrics_are_those_of_the_whole_split(classes: int, head: str) -> None:
    module = make(head, classes)
    scans, targets = torch.randn(41, 3, 2, 2), torch.arange(41) % classes
    found = validated(module, scans, targets)
    with torch.no_grad():
        outputs = module.network(scans)
        probabilities = module.network.logits(scans).double().softmax(1).numpy()
    if head == "softmax":
        # Without the smoothing that training has.
        assert found["val_loss"] == pytest.approx(log_loss(targets, probabilities), abs=1e-5)
    assert found["val_accuracy"] == pytest.approx(accuracy_score(targets, probabilities.argmax(1)))
    scores = probabilities[:, 1] if classes == 2 else probabilities
    expected = roc_auc_score(targets, scores, multi_class="ovr", average="macro")
    assert found["val_auc"] == pytest.approx(expected, abs=1e-5)
    assert ("val_mae" in found) == (head == "regression")
    if head == "regression":
        assert found["val_mae"] == pytest.approx(mean_absolute_error(targets, outputs[:, 0]), abs=1e-5)


def test_numbers_have_an_error_and_no_auc() -> None:
    module = make("regression", 1)
    scans, targets = torch.randn(41, 3, 2, 2), torch.randn(41)
    found = validated(module, scans, targets)
    outputs = module.network(scans)[:, 0].detach()
    assert set(found) == {"val_loss", "val_mae"}
    assert found["val_mae"] == pytest.approx(mean_absolute_error(targets, outputs), abs=1e-5)
    assert found["val_loss"] == pytest.approx(float(F.mse_loss(outputs, targets)), abs=1e-5)


def test_the_training_loss_is_the_batchs() -> None:
    module, one = make(), batch()
    loss = module.training_step(one, 0)
    expected = F.cross_entropy(module.network(one.scans), one.targets, label_smoothing=0.2)
    assert torch.allclose(loss, expected)
    loss.backward()
    assert torch.isfinite(module.network.head.weight.grad).all()


def test_penalties_are_added() -> None:
    penalties = Penalties(NO_PENALTY.backbone, Penalty(0.1, 0.01))
    module, one = make(recipe=replace(RECIPE, penalties=penalties)), batch()
    weight = module.network.head.weight
    plain = module.loss(module.network(one.scans), one.targets)
    expected = plain + 0.1 * weight.abs().sum() + 0.01 * weight.square().sum()
    assert torch.allclose(module.training_step(one, 0), expected)


@pytest.mark.parametrize("mixing", [Mixing(0.4, 0.0, 1.0), Mixing(0.0, 1.0, 1.0)])
def test_mixing_changes_scans_and_targets_by_the_step(mixing: Mixing) -> None:
    module, one = make(recipe=replace(RECIPE, mixing=mixing)), batch()
    losses = [module.training_step(one, step).item() for step in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    mix = draw_mix(mixing, (4, 4), (2, 0, 0, 0))
    outputs = module.network(_by_hand(one.scans, mix.share, mix.box))
    loss = module.loss
    expected = mix.share * loss(outputs, one.targets) + (1 - mix.share) * loss(outputs, one.targets.roll(1))
    assert losses[0] == pytest.approx(float(expected), rel=1e-5)


def _by_hand(scans: torch.Tensor, share: float, box: Any) -> torch.Tensor:
    partners = torch.stack([scans[number - 1] for number in range(len(scans))])
    if box is None:
        return share * scans + (1 - share) * partners
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[box] = True
    return torch.where(inside, partners, scans)


def test_the_optimiser_holds_the_network() -> None:
    module = make()

    class Trainer:
        estimated_stepping_batches = 10

    module._trainer = Trainer()
    made = module.configure_optimizers()
    held = {id(p) for group in made["optimizer"].param_groups for p in group["params"]}
    assert held == {id(p) for p in module.network.parameters()}
    assert made["lr_scheduler"]["interval"] == "step"


@pytest.mark.parametrize("length", [0.4, 0.999999, 1.0, 1.000001, 3.0, float("nan"), float("inf")], ids=str)
def test_gradients_are_clipped_as_torch_does_it(length: float) -> None:
    module = make()
    parameters = list(module.network.parameters())
    gradients = [torch.randn_like(parameter) for parameter in parameters]
    norm = torch.nn.utils.get_total_norm(gradients)
    gradients = [gradient * (length / norm) for gradient in gradients]
    expected = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for ours, theirs, gradient in zip(parameters, expected, gradients, strict=True):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
    torch.nn.utils.clip_grad_norm_(expected, 1.0)
    module.configure_gradient_clipping(torch.optim.SGD(parameters, 0.1), 1.0, "norm")
    for ours, theirs in zip(parameters, expected, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad.view(torch.int32), theirs.grad.view(torch.int32))
