"""Features from scans without their labels: two changed views of a scan should be told to belong together.

VICReg (Bardes, Ponce and LeCun 2022, "Variance-invariance-covariance regularization", ICLR), loss and
projector by lightly. It needs no scans that count as different from each other, which patients' chests
hardly are, and works with batches of 32. Here is only how it meets this project's data and training loop.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.models.classifier import Classifier
from scanlens.training.datamodule import Batch, ScanBatches
from scanlens.training.distributed import gather_rows
from scanlens.training.losses import ScanLoss
from scanlens.training.module import ScanClassifier
from scanlens.training.recipe import Recipe


class ViewPairs(ScanBatches):
    """Two changed views of every scan of a batch, the first views before the second ones.

    Args:
        scans: What is drawn from; it has a policy.
        fixed: The same two views of a scan in every epoch, for validation.

    Raises:
        SettingsError: A single scan has none that it could differ from.
    """

    def __init__(self, scans: ScanBatches, fixed: bool = False) -> None:
        if len(scans) < 2:
            raise SettingsError(
                f"Self-supervised pretraining needs two scans a split to tell apart, got {len(scans)}.",
                "Check manifest.split.",
            )
        self.__dict__.update(scans.__dict__)
        self.fixed = fixed

    def __getitems__(self, drawn: Sequence[tuple[int, int]]) -> Batch:
        """Scans ``(2 * batch, ...)`` and targets ``(2 * batch,)``, which nobody looks at."""
        seeded = [(position, position if self.fixed else seed) for position, seed in drawn]
        return super().__getitems__(
            [(position, 2 * seed + view) for view in (0, 1) for position, seed in seeded]
        )


def mean_features(maps: Tensor) -> Tensor:
    """``(batch, feature)`` of feature maps, whatever the pooling: cells are no property of a scan here."""
    return maps.float().flatten(2).mean(2)


def build_projector(network: Classifier, shape: tuple[int, ...], width: int, seed: int) -> nn.Module:
    """The layers between features and loss, which are dropped afterwards.

    Args:
        network: Its features go in.
        shape: ``(channel, *spatial)`` of a scan.
        width: Of the three layers.
        seed: Of their first weights.
    """
    was = network.training
    with torch.inference_mode():
        features = mean_features(network.eval().features(torch.zeros(1, *shape))).shape[1]
    network.train(was)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projector: nn.Module = VICRegProjectionHead(features, width, width)
    return projector


class ViewLearner(ScanClassifier):
    """The training step without labels: the loss is of pairs of views.

    Batches are those of :class:`ViewPairs`.

    Args:
        network: What learns.
        recipe: The settings of the fit.
        loss: Not looked at.
        projector: Learns with the network, and is dropped.
    """

    def __init__(self, network: Classifier, recipe: Recipe, loss: ScanLoss, *, projector: nn.Module) -> None:
        super().__init__(network, recipe, loss)
        self.projector = projector

    def learner(self) -> nn.Module:
        """The backbone, with the projector for a head."""
        return nn.ModuleDict({"backbone": self.network.backbone, "projector": self.projector})

    def _project(self, scans: Tensor) -> Tensor:
        maps = self.network.features(scans)
        with torch.autocast(maps.device.type, enabled=False):
            projected: Tensor = self.projector(mean_features(maps))
        return projected

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch of pairs."""
        first, second = self._project(batch.scans).chunk(2)
        loss: Tensor = VICRegLoss(gather_distributed=True)(first, second)
        if self.trainer.progress_bar_callback is not None:
            self.log("train_loss", loss, prog_bar=True, on_epoch=False, on_step=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect projections: the loss is a matter of the whole split."""
        first, second = self._project(batch.scans).chunk(2)
        self._outputs.append(torch.stack([first, second], 1))

    def on_validation_epoch_end(self) -> None:
        """The method's own loss of the validation split; no label is looked at."""
        pairs = gather_rows(torch.cat(self._outputs))
        self._outputs.clear()
        self.log_dict({"val_loss": VICRegLoss()(pairs[:, 0], pairs[:, 1])}, prog_bar=True)
