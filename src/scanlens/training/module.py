"""The training step. It knows nothing of files; the network knows nothing of it."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_auroc

from scanlens.models.classifier import Classifier
from scanlens.training.datamodule import Batch
from scanlens.training.optimisers import one_cycle


class ScanClassifier(pl.LightningModule):
    """Lightning around a :class:`Classifier`.

    Args:
        network: What learns.
        loss: Of logits ``(batch, class)`` and class indices ``(batch,)``.
        lr: Peak rate of the head.
        backbone_lr_scale: The backbone's rate as a share of it.
        weight_decay: AdamW's.
    """

    def __init__(
        self, network: Classifier, loss: nn.Module, lr: float, backbone_lr_scale: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.lr = lr
        self.backbone_lr_scale = backbone_lr_scale
        self.weight_decay = weight_decay
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        scans, targets = batch
        loss: Tensor = self.loss(self.network(scans).float(), targets)
        self.log("train_loss", loss, on_epoch=True, on_step=False, prog_bar=True, batch_size=len(targets))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect logits; the metrics need the whole split at once."""
        scans, targets = batch
        self._logits.append(self.network(scans).float())
        self._targets.append(targets)

    def on_validation_epoch_end(self) -> None:
        """Loss, accuracy and one-vs-rest AUC of the validation split."""
        logits, targets = torch.cat(self._logits), torch.cat(self._targets)
        self._logits.clear()
        self._targets.clear()
        classes = logits.shape[1]
        present = targets.unique() if len(targets.unique()) > 1 else []
        self.log_dict(
            {
                "val_loss": nn.functional.cross_entropy(logits, targets),
                "val_accuracy": multiclass_accuracy(logits, targets, classes, average="micro"),
                # Over the classes that are there: one that is absent has no AUC.
                "val_auc": multiclass_auroc(logits.softmax(1), targets, classes, average=None)[
                    present
                ].mean(),
            },
            prog_bar=True,
        )

    def configure_optimizers(self) -> Any:
        """AdamW and the one-cycle schedule, a step at a time."""
        steps = int(self.trainer.estimated_stepping_batches)
        optimiser, schedule = one_cycle(
            self.network, self.lr, self.backbone_lr_scale, self.weight_decay, steps
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
