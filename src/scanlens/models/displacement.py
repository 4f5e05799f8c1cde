"""How far beside a cell its evidence lies: learnt by accident, measured after training, undone in the maps.

A convolution may come to look a cell to the side, and pooling over all cells does not mind: a network
that finds every nodule from a point eight pixels below it classifies as well as any. Its maps would lie eight
pixels below every nodule. The displacement hardly differs from scan to scan, so it is measured once, on
training scans and without any mask: for the strongest cell of each output, the centre of what an earlier
layer with more cells gave to it (activity times gradient, positive part: LayerCAM, Jiang et al. 2021;
squared, so that the faint surroundings do not count). The centre of what is seen in effect need not be that
of the receptive field: Luo et al. 2016, "Understanding the effective receptive field". That it can be undone
is our own observation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from scanlens.models.classifier import Classifier

SCANS = 96
"""Scans that are looked at, where there are so many and few outputs."""
LEAST_SCANS = 24
"""With however many outputs."""
PASSES = 384
"""Gradients, one an output and scan, beyond which fewer scans do."""
AT_ONCE = {2: 32, 3: 4}
"""Scans a pass at most, by dimensions: what gradients need is kept in float32."""
STRONGEST = 0.25
"""Share of the scans, those with the strongest peak of an output, that speak for it."""


def scans_to_see(outputs: int) -> int:
    """How many scans are enough for a network of so many outputs."""
    return max(LEAST_SCANS, min(SCANS, PASSES // outputs))


def measure_displacement(network: Classifier, batches: Iterable[Tensor]) -> Tensor:
    """Displacement of each output's evidence.

    Args:
        network: In evaluation mode, with guides: the finest is where evidence is traced to.
        batches: Standardised scans ``(batch, channel, *spatial)``, at least one, on the network's device.

    Returns:
        ``(output, axis)``: from a cell to what it speaks of, as a share of the axis, on the processor.
    """
    found = [_traced(network, scans) for scans in batches]
    peaks, steps = (torch.cat(parts) for parts in zip(*found, strict=True))
    strongest = peaks.topk(math.ceil(len(peaks) * STRONGEST), dim=0).indices
    chosen = steps.gather(0, strongest[..., None].expand(-1, -1, steps.shape[2]))
    return chosen.quantile(0.5, dim=0)


def _traced(network: Classifier, scans: Tensor) -> tuple[Tensor, Tensor]:
    """Strongest contribution of each output ``(batch, output)``, and from its cell to its source."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        kept.append(output.clone())
        # Another copy: what follows may work in place.
        return kept[-1].clone()

    handle = network.backbone.get_submodule(network.guides[-1].name).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            contributions, _, _ = network.evidence(network.features(scans.requires_grad_(True)))
    finally:
        handle.remove()
    grid = contributions.shape[2:]
    strongest, cells = contributions.flatten(2).max(2)
    steps = []
    for output in range(contributions.shape[1]):
        (slope,) = torch.autograd.grad(strongest[:, output].sum(), kept[0], retain_graph=True)
        given = (slope * kept[0]).sum(1).clamp(min=0).square()
        at = torch.unravel_index(cells[:, output], grid)
        here = [(index + 0.5) / side for index, side in zip(at, grid, strict=True)]
        silent = given.flatten(1).sum(1) == 0
        steps.append((_centre(given) - torch.stack(here, 1)).masked_fill(silent[:, None], 0.0))
    return strongest.detach().cpu(), torch.stack(steps, 1).detach().cpu()


def _centre(maps: Tensor) -> Tensor:
    """Centres of gravity ``(batch, axis)`` of ``(batch, *grid)``, as shares of the axes."""
    maps = maps.double()
    total = maps.flatten(1).sum(1).clamp(min=torch.finfo(maps.dtype).tiny)
    centres = []
    for axis, side in enumerate(maps.shape[1:], start=1):
        along = maps.movedim(axis, 1).flatten(2).sum(2)
        middles = (torch.arange(side, device=maps.device) + 0.5) / side
        centres.append((along * middles).sum(1) / total)
    return torch.stack(centres, 1).float()
