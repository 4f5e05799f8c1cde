"""All it takes to build a network again, as plain JSON values: ``model.json`` and ``bundle.json`` hold it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """All it takes to build a network again, as plain JSON values.

    Attributes:
        name: Registry name.
        library: ``timm``, ``monai`` or ``scanlens`` (its own networks).
        stem: ``standard`` (the network's own), ``medium`` (stride 2, no pooling) or ``small`` (stride 1, no
            pooling).
        width: Multiplies the number of features; 1 is the network's own.
        channels: Input channels.
        size: Spatial size of the input, pixels or voxels.
        classes: Number of labels; 1 where a number is predicted.
        dropout: Probability.
        head: Kind of head, a key of :data:`scanlens.models.heads.HEADS`.
        pooling: ``average`` over cells, ``gem`` (their generalised mean), or ``flatten``: every cell has
            weights of its own.
        hidden: Widths of the fully connected layers between pooling and head.
        activation: Of the hidden layers and of scanlens' own networks.
        args: Constructor arguments beyond these.
        centre: Of the numbers that are predicted (task ``regression``): their mean in the training split.
        spread: Their standard deviation there, > 0.
    """

    name: str
    library: str
    stem: str
    width: float
    channels: int
    size: tuple[int, ...]
    classes: int
    dropout: float
    head: str
    pooling: str
    hidden: tuple[int, ...]
    activation: str
    args: dict[str, Any]
    centre: float = 0.0
    spread: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``model.json`` and ``bundle.json``."""
        return {**asdict(self), "size": list(self.size), "hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Architecture:
        """The inverse of :meth:`to_json`."""
        return cls(**{**values, "size": tuple(values["size"]), "hidden": tuple(values["hidden"])})
