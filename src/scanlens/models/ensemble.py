"""Several networks that judge together: the mean of their logits, and of their local logits."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from scanlens.models.classifier import Classifier, Evidence


class Ensemble(nn.Module):
    """Members of one architecture; usable wherever one trained :class:`Classifier` is.

    Args:
        members: Networks with the same outputs and grid.
    """

    def __init__(self, members: list[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def _members(self) -> list[Classifier]:
        return cast("list[Classifier]", list(self.members))

    def logits(self, scans: Tensor) -> Tensor:
        """Mean logits ``(batch, class)``."""
        return torch.stack([member.logits(scans) for member in self._members()]).mean(0)

    def forward(self, scans: Tensor) -> Tensor:
        """The same as :meth:`logits`."""
        return self.logits(scans)

    def explain(self, scans: Tensor) -> Evidence:
        """Mean logits, local logits and contributions."""
        parts = [member.explain(scans) for member in self._members()]
        return Evidence(*(torch.stack(same).mean(0) for same in zip(*parts, strict=True)))


Network = Classifier | Ensemble
"""What evaluation, explanation and inference take."""
