"""Probability maps: what the evidence at each cell alone argues for. Array code, no framework.

A network that ends in global average pooling and a linear head has a logit at every cell of its last
feature map: the head applied there (:mod:`scanlens.models.classifier` gives the same for flattening, hidden
layers and other heads, and :mod:`scanlens.models.refine` brings it to where it was seen). Their mean over the
cells is the image's logit, exactly, so the
softmax of the local logits (divided by the calibration temperature) says what the image's probability
would be if all of it looked like that cell. It is a probability, never rescaled per image, and can be
compared between patients. Zhou et al., "Learning Deep Features for Discriminative Localization", 2016,
gives the linear part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax

from scanlens.errors import ScanlensError
from scanlens.types import FloatArray


def probability_maps(local_logits: FloatArray, temperature: float = 1.0) -> npt.NDArray[np.float32]:
    """Calibrated probability of each class from the evidence at each cell alone.

    Args:
        local_logits: ``(batch, class, *grid)``, any finite float.
        temperature: The temperature fitted on the validation split, > 0.

    Returns:
        float32 ``(batch, class, *grid)`` in [0, 1], summing to one over the classes.

    Raises:
        ScanlensError: A logit is not a finite number.
        ValueError: The axes or the temperature are impossible.

    Example:
        >>> local_logits = np.log([[[[1.0, 9.0]], [[1.0, 1.0]]]])  # a scan, two classes, 1 x 2 cells
        >>> maps = probability_maps(local_logits, temperature=2.0)
        >>> maps.shape, maps[0, 0].round(2).tolist(), maps.sum(axis=1).tolist()
        ((1, 2, 1, 2), [[0.5, 0.75]], [[[1.0, 1.0]]])
    """
    local_logits = np.asarray(local_logits)
    if local_logits.ndim < 3:
        raise ValueError(f"expected local logits (batch, class, *grid), got shape {local_logits.shape}")
    if not temperature > 0:
        raise ValueError(f"expected a temperature above 0, got {temperature}")
    if not np.isfinite(local_logits).all():
        raise ScanlensError(
            "The network's local logits hold values that are not finite, so there is no map.",
            "Train again with a lower training.lr or a smaller training.gradient_clip.",
        )
    return softmax(local_logits.astype(np.float32) / np.float32(temperature), axis=1)


def log_odds(local_logits: FloatArray, temperature: float = 1.0) -> npt.NDArray[np.float32]:
    """Logarithm of the odds of each class against the others: orders cells as their probability does.

    A cell alone may argue so strongly that its probability is 1 to the last digit. Of several such cells
    this still tells the strongest.

    Args:
        local_logits: ``(batch, class, *grid)``.
        temperature: As for :func:`probability_maps`.

    Returns:
        float32 ``(batch, class, *grid)``, any finite number.

    Example:
        >>> odds = np.exp(log_odds(np.log([[[1.0], [3.0]]])))
        >>> [round(float(odd), 2) for odd in odds.ravel()]
        [0.33, 3.0]
    """
    scaled = np.asarray(local_logits, np.float64) / temperature
    others = np.empty_like(scaled)
    for index in range(scaled.shape[1]):
        others[:, index] = logsumexp(np.delete(scaled, index, axis=1), axis=1)
    return (scaled - others).astype(np.float32)


def evidence_maps(local_logits: FloatArray, rest: FloatArray) -> npt.NDArray[np.float32]:
    """What each cell adds to each class's logit, where it was seen: the local logits without what none adds.

    Args:
        local_logits: ``(batch, class, *grid)``; their mean is the logit (linear heads).
        rest: Logits no cell adds (biases), ``(batch, class)``.

    Returns:
        float32 ``(batch, class, *grid)``, >= 0, in units of the logit: the positive part, as in Grad-CAM.

    Example:
        >>> local_logits, bias = np.array([[[2.5, 0.5, -1.5, 0.5]]]), np.array([[0.5]])
        >>> maps = evidence_maps(local_logits, bias)  # four cells, of which one argues against the class
        >>> maps.tolist()
        [[[0.5, 0.0, 0.0, 0.0]]]
    """
    local_logits = np.asarray(local_logits, np.float32)
    cells = tuple(range(2, local_logits.ndim))
    added = local_logits - np.expand_dims(rest, cells).astype(np.float32)
    return np.maximum(added / np.float32(np.prod(local_logits.shape[2:])), 0)


def grad_cam(cams: FloatArray) -> npt.NDArray[np.float32]:
    """Raw Grad-CAM of every class: the positive part of what the network gives.

    Of ordinal heads the logits are log-probabilities: a cell counts for a class as far as it raises the
    probability of that very class.

    Args:
        cams: ``(batch, class, *grid)`` of :class:`scanlens.models.predict.Local`.

    Returns:
        float32 ``(batch, class, *grid)``, >= 0, in units of the logit, never rescaled.

    Example:
        >>> grad_cam(np.array([[[0.25, -2.0]]])).tolist()
        [[[0.25, 0.0]]]
    """
    return np.maximum(np.asarray(cams, dtype=np.float32), 0)


PROBABILITY_MAP, EVIDENCE_MAP, GRAD_CAM = "probability_map", "evidence_map", "grad_cam"
"""Kinds of map that come with the judgement itself."""


class Kinds(NamedTuple):
    """Maps of some scans by kind.

    Attributes:
        maps: ``(batch, class, *grid)`` by kind.
        orders: What ranks the cells of a map, of its shape: of the probability map its log-odds, for its
            cells are often 1 to the last digit. Other kinds rank their cells themselves.
    """

    maps: dict[str, npt.NDArray[np.float32]]
    orders: dict[str, npt.NDArray[np.float32]]


def map_kinds(
    local_logits: FloatArray, rest: FloatArray, cams: FloatArray, temperature: float, *, linear: bool
) -> Kinds:
    """All kinds of map from what a network says of some scans.

    Args:
        local_logits: ``(batch, class, *grid)``.
        rest: Logits no cell adds, ``(batch, class)``.
        cams: ``(batch, class, *coarser)``, signed.
        temperature: The calibration's.
        linear: Whether logits are sums over cells; only then there are evidence maps.

    Raises:
        ScanlensError: A logit is not a finite number.

    Example:
        >>> local_logits, rest, cams = np.zeros((1, 2, 4, 4)), np.zeros((1, 2)), np.zeros((1, 2, 2, 2))
        >>> found = map_kinds(local_logits, rest, cams, 1.0, linear=True)
        >>> {kind: maps.shape for kind, maps in found.maps.items()}
        {'probability_map': (1, 2, 4, 4), 'evidence_map': (1, 2, 4, 4), 'grad_cam': (1, 2, 2, 2)}
        >>> list(map_kinds(local_logits, rest, cams, 1.0, linear=False).maps)
        ['probability_map', 'grad_cam']
    """
    maps = {PROBABILITY_MAP: probability_maps(local_logits, temperature)}
    if linear:
        maps[EVIDENCE_MAP] = evidence_maps(local_logits, rest)
    maps[GRAD_CAM] = grad_cam(cams)
    return Kinds(maps, {PROBABILITY_MAP: log_odds(local_logits, temperature)})


def upsample(maps: FloatArray, size: Sequence[int]) -> npt.NDArray[np.float32]:
    """Linear interpolation of the last axes to ``size``; nothing is invented between the cells.

    Coordinates are half-pixel: cell ``i`` of ``n`` has its centre at ``(i + 0.5) / n`` of the axis, and
    beyond the outermost centres the edge value holds. This is ``torch.nn.functional.interpolate`` with
    ``align_corners=False`` and ``scipy.ndimage.zoom`` with ``grid_mode=True, mode="nearest"``.

    Args:
        maps: ``(*leading, *grid)``; as many trailing axes as ``size`` has are interpolated.
        size: Wanted spatial size, e.g. ``(height, width)`` or ``(depth, height, width)``.

    Returns:
        float32 ``(*leading, *size)`` within the range of ``maps``.

    Example:
        >>> upsample(np.array([[0.0, 1.0]]), (1, 4)).tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    if len(size) > np.ndim(maps):
        raise ValueError(f"expected maps with at least {len(size)} axes, got shape {np.shape(maps)}")
    result = np.asarray(maps, dtype=np.float32)
    first = result.ndim - len(size)
    for axis, length in enumerate(size, start=first):
        if result.shape[axis] != length:
            cells = result.shape[axis]
            centres = (np.arange(length) + 0.5) * (cells / length) - 0.5
            weights = linear_weights(np.clip(centres, 0, cells - 1), cells)
            result = np.moveaxis(np.tensordot(result, weights, axes=(axis, 1)), -1, axis)
    return np.ascontiguousarray(result)


def linear_weights(at: npt.NDArray[np.float64], cells: int) -> npt.NDArray[np.float32]:
    """Matrix ``(length, cells)`` of linear interpolation between cells; every row sums to one.

    Args:
        at: ``(length,)`` where to interpolate, in cells from 0 to ``cells - 1``.
        cells: How many there are.

    Example:
        >>> linear_weights(np.array([0.0, 0.5]), 2).tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    lower = np.floor(at).astype(np.intp)
    upper = np.minimum(lower + 1, cells - 1)
    weights = np.zeros((len(at), cells))
    np.add.at(weights, (np.arange(len(at)), lower), 1 - (at - lower))
    np.add.at(weights, (np.arange(len(at)), upper), at - lower)
    return weights.astype(np.float32)
