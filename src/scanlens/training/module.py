"""The training step. It knows nothing of files; the network knows nothing of it."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_auroc

from scanlens.models.classifier import Classifier
from scanlens.training.datamodule import Batch
from scanlens.training.distributed import gather_rows, group
from scanlens.training.losses import NumberLoss, ScanLoss, label_values
from scanlens.training.mixing import draw_mix, mix_scans, mix_targets
from scanlens.training.optimisers import configure
from scanlens.training.penalties import penalty
from scanlens.training.recipe import Recipe


class ScanClassifier(pl.LightningModule):
    """Lightning around a :class:`Classifier`, or around what stands in for it on cached features.

    Args:
        network: What learns.
        recipe: The settings of the fit.
        loss: Of outputs ``(batch, output)`` and targets, see :func:`scanlens.training.losses.build_loss`.
    """

    def __init__(self, network: Classifier, recipe: Recipe, loss: ScanLoss) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.loss = loss
        self.plain_loss = loss.plain()
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch, with the penalties."""
        scans, targets = batch
        rank, _ = group()
        key = (self.recipe.seed, self.current_epoch, batch_idx, rank)
        mix = draw_mix(self.recipe.mixing, scans.shape[2:], key)
        if mix is not None:
            scans, targets = mix_scans(scans, mix), mix_targets(targets, mix, self.network.classes)
        maps = self.network.features(scans)
        # A small lesion moves the mean by less than bfloat16 can tell apart: pool and judge in float32.
        with torch.autocast(maps.device.type, enabled=False):
            loss: Tensor = self.loss(self.network.classify(self.network.pool(maps)), targets)
            loss = loss + penalty(self.network, self.recipe.penalties)
        # Logging costs a share of a small network's step, so only a bar that is watched gets the loss.
        if self.trainer.progress_bar_callback is not None:
            self.log("train_loss", loss, prog_bar=True, on_epoch=False, on_step=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect outputs; the metrics need the whole split at once."""
        self._outputs.append(self.network(batch.scans).float())
        self._targets.append(batch.targets)

    def on_validation_epoch_end(self) -> None:
        """Plain loss of the validation split; accuracy and AUC of classes, absolute error of numbers."""
        outputs = gather_rows(torch.cat(self._outputs))
        targets = gather_rows(torch.cat(self._targets))
        self._outputs.clear()
        self._targets.clear()
        metrics = {"val_loss": self.plain_loss(outputs, targets)}
        if isinstance(self.plain_loss, NumberLoss):
            metrics["val_mae"] = (outputs[:, 0] - label_values(targets)).abs().mean()
        if not targets.is_floating_point():
            metrics |= class_metrics(self.network.to_logits(outputs), targets)
        self.log_dict(metrics, prog_bar=True)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm over all gradients, and leave them alone where it is small enough.

        torch multiplies them by one then, so as not to wait for a GPU. A processor knows the norm at once and
        can spare itself a pass over memory.
        """
        if self.device.type != "cpu" or not gradient_clip_val:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        # Not "less than one": a norm that is not a number must reach the gradients.
        if not gradient_clip_val / (norm + 1e-6) >= 1:
            clip_grads_with_norm_(parameters, gradient_clip_val, norm)

    def learner(self) -> nn.Module:
        """What learns, for :func:`scanlens.training.optimisers.parameter_groups`."""
        return self.network

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser and schedule, a step at a time."""
        steps = int(self.trainer.estimated_stepping_batches)
        optimiser, schedule = configure(self.learner(), self.recipe, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def class_metrics(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """``val_accuracy`` and one-vs-rest ``val_auc``.

    Args:
        logits: ``(scan, class)``.
        targets: Class indices ``(scan,)``.
    """
    classes = logits.shape[1]
    present = targets.unique()
    scores = multiclass_auroc(logits.softmax(1), targets, classes, average=None)
    return {
        "val_accuracy": multiclass_accuracy(logits, targets, classes, average="micro"),
        # Over the classes that are there: one that is absent has no AUC, nor has one that stands alone.
        "val_auc": scores[present if len(present) > 1 else []].mean(),
    }
