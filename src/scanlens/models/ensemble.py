"""Several networks that judge together: the mean of their logits, and of their local logits."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.models.allowance import allowance
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier, Evidence
from scanlens.models.registry import build


class Ensemble(nn.Module):
    """Members of one architecture; usable wherever one trained :class:`Classifier` is.

    Args:
        members: Networks with the same outputs and grid.
    """

    def __init__(self, members: list[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def networks(self) -> list[Classifier]:
        """The members in order."""
        return cast("list[Classifier]", list(self.members))

    def logits(self, scans: Tensor) -> Tensor:
        """Mean logits ``(batch, class)``."""
        return torch.stack([member.logits(scans) for member in self.networks()]).mean(0)

    def forward(self, scans: Tensor) -> Tensor:
        """The same as :meth:`logits`."""
        return self.logits(scans)

    def explain(self, scans: Tensor) -> Evidence:
        """Means of what the members say."""
        parts = [member.explain(scans) for member in self.networks()]
        return Evidence(*(torch.stack(same).mean(0) for same in zip(*parts, strict=True)))


Network = Classifier | Ensemble
"""What evaluation, explanation and inference take."""


def is_linear(network: Network) -> bool:
    """Whether the mean of its local logits is its logit, and logits are sums of what the places add."""
    return (network.networks()[0] if isinstance(network, Ensemble) else network).kind.linear


def rebuild(architecture: Architecture, members: int, state: dict[str, Tensor]) -> Network:
    """The network that ``state`` was saved from, in evaluation mode.

    Args:
        architecture: Of each member.
        members: Their number; 1 is a network of its own.
        state: Its weights; those of an ensemble's member K start with ``members.K.``.

    Raises:
        SettingsError: Where the weights are of another number of members, or the network of another size.
        RuntimeError: Where the weights do not fit the architecture.
    """
    found = len({name.split(".")[1] for name in state if name.startswith("members.")}) or 1
    if found != members:
        raise SettingsError(f"The weights hold {found} networks, their description says {members}.")
    with allowance(sum(tensor.numel() for tensor in state.values()) // members):
        networks = [build(architecture)]
    own, theirs = len(networks[0].state_dict()) * members, len(state)
    if own != theirs:
        raise SettingsError(f"The weights hold {theirs} tensors, the network that is described {own}.")
    networks += [build(architecture) for _ in range(members - 1)]
    network: Network = Ensemble(networks) if members > 1 else networks[0]
    network.load_state_dict(state)
    return network.eval()
