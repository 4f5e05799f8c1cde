"""What a fit does where memory does not suffice."""

from __future__ import annotations

import torch

from scanlens.errors import ScanlensError
from scanlens.errors import shortage as shortage_of


def is_shortage(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on a GPU or a processor."""
    return isinstance(error, torch.OutOfMemoryError) or shortage_of(error) == "memory"


def shortage(batch_size: int, parts: int) -> ScanlensError:
    """The end of a fit for want of memory, with the way out.

    Args:
        batch_size: Scans a step.
        parts: Parts they were already worked on in.
    """
    tried = f" in {parts} parts" if parts > 1 else ""
    return ScanlensError(
        f"Out of memory at training.batch_size={batch_size}{tried}.",
        "Lower training.batch_size (and raise training.accumulate by as much), or choose a smaller network; "
        "the same command goes on from the last checkpoint where settings are unchanged.",
    )


def release() -> None:
    """Give the memory back that a failed step held."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
