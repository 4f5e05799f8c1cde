"""Maps that know nothing of the network: what a method must beat, and the verdict whether it does.

Adebayo et al. 2018, "Sanity checks for saliency maps", show that an edge detector looks like an explanation;
Hooker et al. 2019, "A benchmark for interpretability methods in deep neural networks", that many methods
rank pixels no better than at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import generic_gradient_magnitude, sobel

from scanlens.estimate import Estimate
from scanlens.map_scores.estimates import Estimator
from scanlens.maps.probability import upsample
from scanlens.types import FloatArray, ImageArray

RANDOM, EDGES = "random", "edges"
CONTROLS = (RANDOM, EDGES)


def random_map(grid: Sequence[int], size: Sequence[int], generator: np.random.Generator) -> FloatArray:
    """Even random numbers at every cell of a grid, upsampled as the maps are.

    Noise of single pixels would be no fair control: taking out scattered pixels spoils a scan in another way
    than taking out regions.

    Args:
        grid: Cells of the method's maps.
        size: ``(*spatial)`` of the scans.
        generator: The scan's own.

    Returns:
        float32 ``(*size)`` in [0, 1).
    """
    return upsample(generator.random(tuple(grid), dtype=np.float32), size)


def edge_map(image: ImageArray) -> FloatArray:
    """How steep a scan is at each pixel: magnitude of the Sobel gradient, mean over channels.

    Args:
        image: ``(channel, *spatial)``.

    Returns:
        float32 ``(*spatial)``, >= 0.
    """
    return np.mean([generic_gradient_magnitude(plane, sobel) for plane in image], axis=0, dtype=np.float32)


@dataclass(frozen=True)
class Verdict:
    """Whether a kind of map beats a control in one score, by the same scans.

    Attributes:
        kind: The map.
        control: What it is compared with.
        score: The score's name.
        better: Whether higher or lower is better.
        difference: Map minus control, mean over scans with interval.
        verdict: ``beats``, ``loses``, or ``undecided`` where the interval holds 0 or there is none.
    """

    kind: str
    control: str
    score: str
    better: Literal["higher", "lower"]
    difference: Estimate
    verdict: Literal["beats", "loses", "undecided"]

    def to_json(self) -> dict[str, object]:
        """The entry of a JSON report."""
        return {**vars(self), "difference": self.difference.to_json()}


def against_control(
    estimator: Estimator,
    kind: str,
    control: str,
    score: str,
    values: FloatArray,
    against: FloatArray,
    better: Literal["higher", "lower"] = "higher",
) -> Verdict:
    """Compare a map with a control, scan by scan.

    Args:
        estimator: Of these scans.
        kind: Name of the map.
        control: Name of the control.
        score: Name of the score.
        values: ``(scan,)`` of the map.
        against: ``(scan,)`` of the control, or ``(scan, draw)`` where it was drawn several times.
        better: Whether higher or lower is better.
    """
    values, against = np.asarray(values), np.asarray(against)
    difference = (values if against.ndim == 1 else values[:, None]) - against
    estimate = estimator.means({score: difference})[score]
    verdict: Literal["beats", "loses", "undecided"] = "undecided"
    if estimate.above(0) or estimate.below(0):
        verdict = "beats" if estimate.above(0) == (better == "higher") else "loses"
    return Verdict(kind, control, score, better, estimate, verdict)
