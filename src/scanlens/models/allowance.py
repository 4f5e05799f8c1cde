"""A bound on what a description that strangers wrote may make a network hold.

``bundle.json`` says how wide and deep a network is, and layers are allocated as they are made. What is honest
holds about as many weights as the file beside it, so building stops as soon as there are far more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from scanlens.errors import SettingsError

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
