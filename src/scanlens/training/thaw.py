"""Which parts of the backbone learn in which epoch.

A fresh head's gradients are noise that would wash transferred features out. So the head learns first, and the
backbone follows: at once (``full``), block by block from the last to the first (``gradual``: Howard and
Ruder 2018, "Universal language model fine-tuning", section 3.3) or never (``head``).

What is frozen keeps its parameters and its batch norms' running statistics bit for bit, and drops nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from scanlens.models.depth import blocks
from scanlens.training.recipe import Thaw

__all__ = ["AT_THE_END", "ThawCallback", "apply", "blocks", "changes", "thawed"]

AT_THE_END = 1 << 30
"""An epoch by which everything has thawed that ever does."""


def thawed(thaw: Thaw, count: int, epoch: int) -> int:
    """How many of ``count`` blocks, from the last, learn in an epoch (from 0).

    A backbone whose rate is zero never learns, whatever the mode.
    """
    if thaw.mode == "head" or thaw.backbone_lr_scale == 0 or epoch < thaw.head_epochs:
        return 0
    if thaw.mode == "gradual":
        return min(count, 1 + (epoch - thaw.head_epochs) // thaw.block_epochs)
    return count


def changes(thaw: Thaw) -> bool:
    """Whether parameters that do not learn at first do so later (distributed training must know)."""
    return thawed(thaw, 2, 0) != thawed(thaw, 2, AT_THE_END)


def apply(backbone: nn.Module, thaw: Thaw, epoch: int) -> None:
    """Freeze and thaw a backbone as an epoch wants it, by the epoch alone.

    Args:
        backbone: Changed in place: ``requires_grad`` of parameters and ``training`` of modules.
        thaw: The settings.
        epoch: From 0.
    """
    by_depth = blocks(backbone)
    learning = thawed(thaw, len(by_depth), epoch)
    backbone.training = learning > 0
    for number, block in enumerate(by_depth):
        _set(block, number >= len(by_depth) - learning, thaw.freeze_norm)


def _set(block: Sequence[nn.Module], learns: bool, freeze_norm: bool) -> None:
    for module in block:
        awake = learns and not (freeze_norm and isinstance(module, _BatchNorm))
        # Not train(awake): children may belong to another block.
        module.training = awake
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad = awake


class ThawCallback(Callback):
    """Freeze and thaw the backbone before each epoch.

    Args:
        thaw: The settings.
    """

    def __init__(self, thaw: Thaw) -> None:
        self.thaw = thaw

    def _apply(self, pl_module: pl.LightningModule, epoch: int) -> None:
        network = cast(nn.Module, pl_module.network)
        # A head that learns from kept features comes without a backbone.
        backbone = getattr(network, "backbone", None)
        if isinstance(backbone, nn.Module):
            apply(backbone, self.thaw, epoch)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze what never learns.

        Distributed training looks at the parameters once, after this: those that thaw later must learn then,
        or their gradients would never be averaged; those that never learn must not.
        """
        self._apply(pl_module, AT_THE_END)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freeze or thaw by the epoch alone, so that a resumed run does the same."""
        self._apply(pl_module, trainer.current_epoch)
