"""Scores of maps against lesion masks.

Four questions to the map of a scan's own label. Pointing game: does its greatest value lie in the lesion?
The same with the tolerance of its authors: in it or near (Zhang et al. 2016, "Top-down Neural Attention by
Excitation Backprop"; :data:`scanlens.maps.pointing.NEAR_SHARE`)? Mass in mask: which share of its sum
does (relevance mass accuracy of Arras et al. 2022, "CLEVR-XAI: A benchmark dataset for the ground truth
evaluation of neural network explanations")? Average precision: do pixels in the lesion rank above those
outside? Chance is the lesion's share of the image; near the lesion, that of all indices so near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from scanlens.estimate import Estimate
from scanlens.map_scores.estimates import Estimator
from scanlens.map_scores.pictures import Pictures
from scanlens.map_scores.sample import Sample
from scanlens.maps.pointing import lesion_score
from scanlens.types import FloatArray, IntArray

LESION_SCORES = ("pointing_game", "pointing_game_near", "mass_in_mask", "average_precision")
AREA, NEAR_AREA = "area_share", "near_share"
CHANCE = {score: NEAR_AREA if score == "pointing_game_near" else AREA for score in LESION_SCORES}
"""Which share is each score's chance level."""


def lesion_scores(
    values: FloatArray, mask: npt.NDArray[np.bool_], order: FloatArray | None = None
) -> dict[str, float] | None:
    """All scores of one map against one mask, and the shares of the image that the mask covers.

    Args:
        values: ``(*spatial)``, >= 0, larger where more argues for the scan's label.
        mask: True inside the lesion, ``(*spatial)``.
        order: What ranks the pixels, ``(*spatial)``; None: ``values``.

    Returns:
        :data:`LESION_SCORES`, :data:`AREA` and :data:`NEAR_AREA`, each in [0, 1], or None where the mask is
        empty or full.

    Raises:
        SettingsError: The shapes differ.
    """
    order = values if order is None else order
    score = lesion_score(values, mask, order)
    if score is None or mask.all():
        return None
    precision = average_precision_score(mask.ravel(), np.asarray(order).ravel())
    return {
        "pointing_game": score.hit,
        "pointing_game_near": score.near,
        "mass_in_mask": score.mass,
        "average_precision": float(precision),
        AREA: score.area,
        NEAR_AREA: score.near_area,
    }


def score_all(
    sample: Sample, pictures: Pictures, kinds: Sequence[str], indices: IntArray
) -> dict[str, dict[str, FloatArray]]:
    """Lesion scores of several kinds of map.

    Args:
        sample: The scans.
        pictures: Maps of each scan's label.
        kinds: To score.
        indices: Scans to score, of :func:`scored_indices`.

    Returns:
        By kind and score ``(len(indices),)``.
    """
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    for index in indices.tolist():
        mask = sample.mask(index)
        for kind in kinds:
            if mask is None:
                continue
            scores = lesion_scores(pictures.at(kind, index), mask, pictures.order(kind, index))
            for name, value in (scores or {}).items():
                found[kind].setdefault(name, []).append(value)
    return {kind: {name: np.array(column) for name, column in own.items()} for kind, own in found.items()}


def scored_indices(sample: Sample) -> IntArray:
    """Scans whose mask marks some of the image and not all of it."""
    indices = []
    for index in range(len(sample)):
        mask = sample.mask(index)
        if mask is not None and mask.any() and not mask.all():
            indices.append(index)
    return np.array(indices, np.int64)


def lesion_estimates(scores: Mapping[str, FloatArray], estimator: Estimator) -> dict[str, Estimate]:
    """Means of one kind's scores with intervals, and ``mass_over_area``, the ratio of two means (1: chance).

    Args:
        scores: Of :func:`score_all` for one kind.
        estimator: Of the same scans.
    """
    return {
        **estimator.means({name: scores[name] for name in LESION_SCORES}),
        "mass_over_area": estimator.ratio(scores["mass_in_mask"], scores[AREA]),
    }
