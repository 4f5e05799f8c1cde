"""What a network is: layers, sizes, parameters, arithmetic, receptive fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchinfo import ModelStatistics
from torchinfo import summary as inspect

from scanlens.models import receptive_field
from scanlens.models.architecture import Architecture
from scanlens.models.registry import build


@dataclass(frozen=True)
class Layer:
    """One module of a network.

    Attributes:
        name: Of the module within its parent.
        kind: Its class.
        depth: Below the network.
        output: Size of what it gives for one scan, batch first; empty where it gives no tensor.
        parameters: Of the module and those below it.
    """

    name: str
    kind: str
    depth: int
    output: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Summary:
    """All that ``scanlens model`` prints.

    Attributes:
        architecture: Every ``auto`` decided.
        layers: In the order they run.
        grid: Places of the last feature map.
        features: Features of a cell.
        parameters: Weights and biases that learn, of backbone and head.
        flops: Floating point operations of one scan's forward pass; a multiplication with its addition is 2.
        receptive_field: Theoretical, pixels a side; None where no end was found.
        effective_receptive_field: Side in pixels, by Luo et al. 2016, with fresh weights and every branch
            at work.
    """

    architecture: Architecture
    layers: tuple[Layer, ...]
    grid: tuple[int, ...]
    features: int
    parameters: int
    flops: int
    receptive_field: int | None
    effective_receptive_field: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "architecture": self.architecture.to_json(),
            "layers": [asdict(layer) for layer in self.layers],
        }


def flops(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Floating point operations of a forward pass.

    Args:
        network: In evaluation mode.
        shape: Of its scans, ``(batch, channel, *spatial)``.

    Returns:
        Of convolutions, matrix products and attention, as ``torch.utils.flop_counter`` counts them;
        element-wise operations are left out.
    """
    # With gradients, unlike elsewhere: the counter follows them where a layer is handed weights (CaiT).
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        network(torch.zeros(shape))
    return int(counter.get_total_flops())


SMALL = 60
"""Modules up to which a network is shown whole."""
BLOCKS_DEEP = 3
WHOLE = 99


def _statistics(network: nn.Module, architecture: Architecture, depth: int) -> ModelStatistics:
    scans = torch.zeros(1, architecture.channels, *architecture.size)
    columns = ("output_size", "num_params")
    return inspect(
        network, input_data=scans, depth=depth, col_names=columns, row_settings=("var_names",), verbose=0
    )


def _wake(backbone: nn.Module) -> None:
    """Give branches that start at zero or next to it (gains of norms, layer scale) a gain of 1, in place.

    Fresh ResNets would be their shortcuts alone otherwise, with a field to match.
    """
    with torch.no_grad():
        for name, gain in backbone.named_parameters():
            if gain.ndim == 1 and not name.endswith("bias") and float(gain.abs().max()) < 1e-3:
                gain.fill_(1)


def summarise_network(architecture: Architecture, depth: int | None = None) -> Summary:
    """Look at a network with fresh weights.

    Args:
        architecture: Of the network.
        depth: Of nested modules shown; None shows small networks whole and large ones by ``BLOCKS_DEEP``.
    """
    network = build(architecture).eval()
    shape = (1, architecture.channels, *architecture.size)
    with torch.inference_mode():
        maps = network.features(torch.zeros(shape))
    if depth is None:
        depth = BLOCKS_DEEP if len(list(network.modules())) > SMALL else WHOLE
    layers = tuple(
        Layer(
            name=row.var_name,
            kind=row.class_name,
            depth=row.depth,
            output=tuple(row.output_size),
            parameters=sum(weights.numel() for weights in row.module.parameters()),
        )
        for row in _statistics(network, architecture, depth).summary_list
        if row.depth <= depth
    )
    _wake(network.backbone)
    _, side = receptive_field.effective(network.backbone, architecture.channels, architecture.size)
    return Summary(
        architecture=architecture,
        layers=layers,
        grid=tuple(maps.shape[2:]),
        features=maps.shape[1],
        parameters=sum(weights.numel() for weights in network.parameters() if weights.requires_grad),
        flops=flops(network, shape),
        receptive_field=receptive_field.theoretical(
            network.backbone, architecture.channels, len(architecture.size)
        ),
        effective_receptive_field=side,
    )


def summary_text(summary: Summary) -> str:
    """The summary for people."""
    made = summary.architecture

    def sizes(values: tuple[int, ...]) -> str:
        return " x ".join(map(str, values))

    rows = [
        (
            f"{'  ' * layer.depth}{layer.name}",
            layer.kind,
            sizes(layer.output[1:]),
            f"{layer.parameters:,}" if layer.parameters else "",
        )
        for layer in summary.layers
    ]
    rows.insert(0, ("layer", "kind", "output", "parameters"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip()
        for a, b, c, d in rows
    ]
    field = summary.receptive_field
    theory = (
        "no end found (attention and gates see the whole scan)" if field is None else f"{field} px a side"
    )
    side = f"{summary.effective_receptive_field:.0f} px a side"
    lines += [
        "",
        f"network          {made.name} ({made.library}), stem {made.stem}",
        f"scan             {made.channels} x {sizes(made.size)}",
        f"last feature map {summary.features} x {sizes(summary.grid)}",
        f"parameters       {summary.parameters:,}",
        f"FLOPs            {summary.flops:,} a scan (multiplication and addition: 2)",
        f"receptive field  {theory}",
        f"  in effect      {side} (fresh weights; Luo et al. 2016)",
    ]
    return "\n".join(lines)
