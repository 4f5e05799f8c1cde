"""``model.args`` of ``model.name=pattern``: a network written out layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from scanlens.config.kinds import SECTION, Positive, ProperShare
from scanlens.config.parse import parse
from scanlens.errors import SettingsError

Initial = Literal["default", "he", "xavier"]


@dataclass(frozen=True, config=SECTION)
class Block:
    """``[CONV → ACT]*N → POOL?``.

    Attributes:
        filters: Features of every convolution.
        convolutions: Number of convolutions, N.
        kernel: Side of each.
        next_kernel: Side of those after the first; null is ``kernel``. 1 only mixes features (Lin et
            al. 2014, "Network in network").
        stride: Of the first of them.
        padding: ``same`` (zeros all around, so that stride 1 keeps the size; odd kernels) or ``valid``.
        pool: What ends the block.
        pool_size: Side of the pooling window.
        pool_stride: Its stride; null is its size.
    """

    filters: Positive
    convolutions: Positive
    kernel: Positive
    next_kernel: Positive | None
    stride: Positive
    padding: Literal["same", "valid"]
    pool: Literal["max", "average", "none"]
    pool_size: Positive
    pool_stride: Positive | None

    @model_validator(mode="after")
    def _kernels_have_a_middle(self) -> Block:
        for name in ("kernel", "next_kernel"):
            side = getattr(self, name)
            if self.padding == "same" and side is not None and side % 2 == 0:
                raise ValueError(
                    f"{name} is {side}, which has no middle. Use an odd kernel, or padding: valid."
                )
        return self

    def kernels(self) -> list[int]:
        """Side of each convolution's kernel, first to last."""
        return [self.kernel] + [self.next_kernel or self.kernel] * (self.convolutions - 1)


@dataclass(frozen=True, config=SECTION)
class Pattern:
    """All blocks, and what goes between them.

    Attributes:
        blocks: First to last.
        norm: ``batch`` puts batch norm between each convolution and its activation.
        dropout: Probability of dropping a whole feature map before each block but the first (Tompson et al.
            2015, "Efficient object localization using convolutional networks").
        initial: First weights of convolutions and hidden layers: ``he`` (He et al. 2015), ``xavier`` (Glorot
            and Bengio 2010) or ``default`` (torch's).
    """

    blocks: Annotated[list[Block], Field(min_length=1)]
    norm: Literal["batch", "none"]
    dropout: ProperShare
    initial: Initial


_BLOCK = {
    "convolutions": 1, "kernel": 3, "next_kernel": None, "stride": 1, "padding": "same", "pool": "max",
    "pool_size": 2, "pool_stride": None,
}  # fmt: skip
"""What a block in the settings need not say."""
PATTERN = {"norm": "batch", "dropout": 0.0, "initial": "he"}
"""What ``model.args`` need not say."""


def read_pattern(args: Mapping[str, Any]) -> Pattern:
    """``model.args`` checked, with what they leave out.

    Raises:
        SettingsError: Naming the key, what came and what may come.
    """
    if not args.get("blocks"):
        raise SettingsError(
            "model.args.blocks must be given for model.name=pattern.", "See conf/model/pattern.yaml."
        )
    blocks = args["blocks"]
    if isinstance(blocks, list):
        for number, block in enumerate(blocks):
            if isinstance(block, Mapping) and "filters" not in block:
                raise SettingsError(f"model.args.blocks[{number}] has no filters.", "Say filters: 16.")
        blocks = [{**_BLOCK, **block} if isinstance(block, Mapping) else block for block in blocks]
    return parse(Pattern, {**PATTERN, **args, "blocks": blocks}, "model.args")
