"""Does the network use what a map marks? Curves of the predicted class's probability as pixels go or come.

Pixels are taken in the order of the upsampled map. Deletion replaces the most important ones by the training
mean: the faster the probability falls, the better the map. Insertion puts them back into a blurred scan: the
faster it rises, the better (Petsiuk et al. 2018, "RISE: Randomized input sampling for explanation of
black-box models"). Deletion paints outlines that a network has never seen; ROAD fills the gaps smoothly
instead, the most relevant pixels first (MoRF) or the least relevant first (LeRF): Rong et al. 2022, "A
consistent and efficient evaluation strategy for attribution methods".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from tqdm import tqdm

from scanlens.map_scores.imputation import NOISE, impute
from scanlens.map_scores.pictures import Pictures
from scanlens.map_scores.sample import Sample
from scanlens.models.ensemble import Network
from scanlens.types import FloatArray, IntArray

CURVES = ("deletion", "insertion", "road_morf", "road_lerf")
BETTER: dict[str, Literal["higher", "lower"]] = {"deletion": "lower", "insertion": "higher", "road": "higher"}
"""Areas in which a map must beat the controls."""
_BLUR = 1 / 16
"""Width of insertion's blur as a share of each side. The paper's 5 pixels of 224 leave a faint lesion
visible, so that there is nothing left to insert."""
_NOISE, _TIES = 4, 5

Logits = Callable[[Tensor], FloatArray]
"""From inputs ``(batch, channel, *spatial)`` to the probability ``(batch,)`` of each scan's class."""


def fractions(steps: int) -> dict[str, FloatArray]:
    """Shares of pixels at which each curve is taken, from 0.

    Deletion and insertion go to 1 in ``steps``; ROAD takes every other one and ends before 1, where nothing
    would be known to fill the gap with.
    """
    whole, some = np.arange(steps + 1) / steps, np.append(0, np.arange(1, steps, 2)) / steps
    return {"deletion": whole, "insertion": whole, "road_morf": some, "road_lerf": some}


def ranks(maps: FloatArray, generators: list[np.random.Generator]) -> np.ndarray:
    """Place of each pixel in the order of its map, 0 the greatest.

    Ties are broken at random: an upsampled map has plateaus, and their rows are no order.

    Args:
        maps: ``(batch, *spatial)``.
        generators: One a scan.

    Returns:
        int32 ``(batch, *spatial)``, a permutation of the pixels for each scan.
    """
    placed = np.empty(maps.shape, np.int32)
    for values, own, generator in zip(maps, placed, generators, strict=True):
        shuffled = generator.permutation(values.size)
        order = shuffled[np.argsort(-values.reshape(-1)[shuffled], kind="stable")]
        own.reshape(-1)[order] = np.arange(values.size, dtype=np.int32)
    return placed


def blurred(inputs: Tensor) -> Tensor:
    """The scans without detail, where insertion begins: a Gaussian of :data:`_BLUR` of each side."""
    sigma = (0, 0, *(_BLUR * side for side in inputs.shape[2:]))
    smooth = gaussian_filter(inputs.cpu().numpy(), sigma, mode="nearest")
    return torch.from_numpy(smooth).to(inputs.device)


class Fidelity:
    """The curves of some scans; what all their maps share is computed once.

    Args:
        judge: Probability of each scan's class.
        inputs: Standardised scans ``(batch, channel, *spatial)``: 0 is the training mean.
        noise: ROAD's, ``(batch, channel, *spatial)``.
        steps: See :func:`fractions`.
    """

    def __init__(self, judge: Logits, inputs: Tensor, noise: Tensor, steps: int) -> None:
        self._judge, self._inputs, self._noise = judge, inputs, noise
        self._fractions = fractions(steps)
        self._empty, self._blurred = torch.zeros_like(inputs), blurred(inputs)
        self._of_scan, self._of_empty, self._of_blurred = (
            judge(images) for images in (inputs, self._empty, self._blurred)
        )

    def curves(self, placed: np.ndarray) -> dict[str, FloatArray]:
        """Probability along each curve, ``(batch, point)`` as :func:`fractions` lists them.

        Args:
            placed: Of :func:`ranks`, ``(batch, *spatial)``.
        """
        order = torch.from_numpy(placed).to(self._inputs.device)
        pixels = order[0].numel()
        curves: dict[str, FloatArray] = {}
        for name, shares in self._fractions.items():
            points = []
            for share in shares:
                count = round(share * pixels)
                first = order < count
                if name == "road_lerf":
                    first = order >= pixels - count
                points.append(self._point(name, first, count, pixels))
            curves[name] = np.stack(points, axis=1)
        return curves

    def _point(self, name: str, chosen: Tensor, count: int, pixels: int) -> FloatArray:
        inserting = name == "insertion"
        if count in (0, pixels):
            if inserting:
                return self._of_scan if count else self._of_blurred
            return self._of_empty if count else self._of_scan
        if inserting:
            return self._judge(torch.where(chosen[:, None], self._inputs, self._blurred))
        if name == "deletion":
            return self._judge(torch.where(chosen[:, None], self._empty, self._inputs))
        return self._judge(impute(self._inputs, chosen, self._noise))


def areas(curves: dict[str, FloatArray], steps: int) -> dict[str, FloatArray]:
    """Area under each curve over its range of shares, ``(batch,)``: a mean probability in [0, 1].

    ``road`` is LeRF's less MoRF's, in [-1, 1]: 0 for a map that ranks at random, whatever the filling itself
    does to the network.

    Args:
        curves: Of :meth:`Fidelity.curves`.
        steps: The same as there.
    """
    found = {
        name: np.trapezoid(curves[name], shares, axis=1) / shares[-1]
        for name, shares in fractions(steps).items()
    }
    return {**found, "road": found["road_lerf"] - found["road_morf"]}


def score_curves(
    network: Network,
    sample: Sample,
    pictures: Pictures,
    indices: IntArray,
    temperature: float,
    steps: int,
) -> dict[str, dict[str, FloatArray]]:
    """Curves of every kind of map and of the controls.

    Args:
        network: In evaluation mode.
        sample: The scans.
        pictures: Maps of each scan's predicted class.
        indices: Scans to draw curves of.
        temperature: The calibration's.
        steps: See :func:`fractions`.

    Returns:
        By kind and curve ``(len(indices), point)``: calibrated probability of the predicted class.
    """
    found: dict[str, dict[str, list[FloatArray]]] = {kind: {} for kind in pictures.names}
    total = len(indices) * len(pictures.names)
    with tqdm(total=total, desc="curves", unit="map") as progress:
        for batch in sample.batches(indices):
            classes = torch.from_numpy(sample.predicted[batch.indices]).to(batch.inputs.device)[:, None]

            def judge(inputs: Tensor, classes: Tensor = classes) -> FloatArray:
                with torch.inference_mode():
                    probabilities = torch.softmax(network.logits(inputs).double() / temperature, dim=1)
                judged: FloatArray = probabilities.gather(1, classes)[:, 0].cpu().numpy()
                return judged

            shape = batch.scans.shape[1:]
            drawn = [
                sample.generator(int(index), _NOISE).normal(0, NOISE, shape).astype(np.float32)
                for index in batch.indices
            ]
            noise = torch.from_numpy(np.stack(drawn)).to(batch.inputs.device)
            fidelity = Fidelity(judge, batch.inputs, noise, steps)
            for kind in pictures.names:
                generators = [sample.generator(int(index), _TIES) for index in batch.indices]
                placed = ranks(pictures.ordered(kind, batch.indices), generators)
                for name, values in fidelity.curves(placed).items():
                    found[kind].setdefault(name, []).append(values)
                progress.update(len(batch.indices))
    return {kind: {name: np.concatenate(parts) for name, parts in own.items()} for kind, own in found.items()}
