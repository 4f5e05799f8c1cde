"""Maps of one scan for each class, by any of the methods that give one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scanlens.maps.probability import probability_maps
from scanlens.methods.occlusion import baseline_scan, occlusion, patch_size, stride_size
from scanlens.methods.views import CAMS, METHODS, Options
from scanlens.models.ensemble import Network

MISS = 0.05
"""Share of the logits' difference that integrated gradients may miss before a run says so."""


@dataclass(frozen=True)
class ClassView:
    """Maps of one scan.

    Attributes:
        values: float32 ``(class, *grid)``, raw: never rescaled.
        unit: Of the values.
        facts: What else ``explanation.json`` says.
        notes: Lines for people.
    """

    values: npt.NDArray[np.float32]
    unit: str
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def class_view(
    method: str,
    network: Network,
    scan: Tensor,
    classes: Sequence[int],
    options: Options,
    temperature: float,
    number: str | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> ClassView:
    """Look at one scan.

    Args:
        method: A key of :data:`scanlens.methods.views.METHODS` of kind ``class``.
        network: In evaluation mode, on the scan's device.
        scan: Standardised, ``(channel, *spatial)``.
        classes: Indices, in the order of the result.
        options: How.
        temperature: Of the calibration; only ``probability`` uses it.
        number: Name of the number that is predicted: ``probability`` maps then show the number that each
            cell argues for. None where there are classes.
        batch_size: Scans a pass, for methods of many passes.
        progress: Whether long methods show a bar.
    """
    # Where a number is predicted, logits are that number.
    unit = METHODS[method].unit if number is None else METHODS[method].unit.replace("logit", number)
    if method == "probability":
        with torch.inference_mode():
            local = network.explain(scan[None]).local.float().cpu().numpy()
        if number is not None:
            return ClassView(local[0][list(classes)].astype(np.float32), number)
        return ClassView(probability_maps(local, temperature)[0][list(classes)], unit)
    if method in CAMS:
        from scanlens.methods.gradcam import class_maps

        maps = class_maps(network, scan[None], method, options.layer, list(classes))
        return ClassView(_array(maps[0]), unit)
    if method == "occlusion":
        patch = patch_size(scan.shape[1:], options.patch)
        stride = stride_size(patch, options.stride)
        hidden = baseline_scan(scan, options.baseline)
        falls = occlusion(network.logits, scan, patch, stride, hidden, batch_size, progress)
        return ClassView(_array(falls[list(classes)]), unit, {"patch": list(patch), "stride": list(stride)})
    # Captum takes a while to import.
    from scanlens.methods.attributions import PATH_STEPS, integrated_gradients, smooth_grad

    if method == "smoothgrad":
        found = smooth_grad(
            network.logits, scan, classes, options.samples, options.noise, options.seed, batch_size
        )
        return ClassView(_array(found), unit)
    hidden = baseline_scan(scan, options.baseline)
    found, misses = integrated_gradients(
        network.logits, scan, classes, hidden, options.steps or PATH_STEPS, batch_size
    )
    sums = found.flatten(1).sum(1)
    facts = {"sum": sums.tolist(), "miss": misses.tolist(), "steps": options.steps or PATH_STEPS}
    note = f"its sums miss by up to {misses.abs().max():.2g} {unit}: more --steps come closer"
    far = bool((misses.abs() > MISS * (sums - misses).abs()).any())
    return ClassView(_array(found), unit, facts, (note,) if far else ())


def _array(maps: Tensor) -> npt.NDArray[np.float32]:
    return maps.detach().float().cpu().numpy()
