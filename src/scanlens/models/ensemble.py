"""Several networks that judge together: the mean of their logits, and of their local logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from scanlens.errors import SettingsError
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
    """Whether the mean of its local logits is its logit, and logits are sums of what the cells add."""
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


# A bound on what a description that strangers wrote may make a network hold.
#
# ``bundle.json`` says how wide and deep a network is, and layers are allocated as they are made. What is
# honest holds about as many weights as the file beside it, so building stops as soon as there are far more.
FACTOR = 10
"""Times the file's numbers: transformers are made up to eight times until their size fits."""
SPARE = 1_000_000
"""Numbers beyond: heads that are cut again, tables of positions."""


@contextmanager
def allowance(numbers: int) -> Iterator[None]:
    """Within it modules may register so many parameters and buffers, ``FACTOR`` times, and ``SPARE`` more.

    A layer's tensor is counted before its first weights are drawn, and memory that was never written to costs
    none: so what is refused was not used.

    Args:
        numbers: That the weights file holds.

    Raises:
        SettingsError: On the tensor that exceeds it.
    """
    left = FACTOR * numbers + SPARE

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal left
        left -= tensor.numel() if tensor is not None else 0
        if left < 0:
            raise SettingsError(
                f"The network that is described is far larger than its weights, {numbers:,} numbers."
            )

    hooks = (register_module_parameter_registration_hook, register_module_buffer_registration_hook)
    handles = [register(count) for register in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
