"""The one shape every network takes here: spatial features, their mean, a linear head.

With global average pooling and a linear head the head may be applied before or after the mean. So the
logit of a scan *is* the mean of its local logits, and probability maps need no gradient
(Zhou et al. 2016, "Learning deep features for discriminative localization").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """A backbone with spatial output under a linear head.

    Args:
        backbone: Maps ``(batch, channel, *spatial)`` to ``(batch, feature, *grid)``.
        features: Number of features the backbone gives.
        classes: Number of logits.
        dropout: Probability of dropping a pooled feature during training.
    """

    def __init__(self, backbone: nn.Module, features: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, classes)

    def features(self, scans: Tensor) -> Tensor:
        """Feature maps ``(batch, feature, *grid)`` of standardised scans."""
        maps: Tensor = self.backbone(scans)
        return maps

    def logits_at(self, features: Tensor) -> Tensor:
        """The head at every place of ``features``: ``(batch, class, *grid)``."""
        return torch.movedim(self.head(torch.movedim(features, 1, -1)), -1, 1)

    def local_logits(self, scans: Tensor) -> Tensor:
        """Logits each place argues for, ``(batch, class, *grid)``; their mean over places is the logit."""
        return self.logits_at(self.features(scans))

    def forward(self, scans: Tensor) -> Tensor:
        """Logits ``(batch, class)`` of standardised scans ``(batch, channel, *spatial)``."""
        maps = self.features(scans)
        # A small lesion moves the mean by less than bfloat16 can tell apart: pool and judge in float32.
        with torch.autocast(maps.device.type, enabled=False):
            pooled = maps.float().flatten(2).mean(2)
            logits: Tensor = self.head(self.dropout(pooled))
        return logits
