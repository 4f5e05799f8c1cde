"""Do the maps point at the lesion? Scores against lesion masks, with their chance level beside them.

Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016 (pointing game, here both to the
pixel and with its tolerance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from scanlens.errors import SettingsError
from scanlens.types import FloatArray

NEAR_SHARE = 0.03
"""Of the longest side: the 15 pixels that Zhang et al. forgive, in pictures of 500."""


@dataclass(frozen=True)
class LesionScore:
    """How one map sits on one lesion mask; all are shares in [0, 1].

    Attributes:
        hit: Pointing game: 1 where the map's greatest value lies inside the mask, 0 where outside. A tie
            counts the share of the tied cells inside, so that a constant map scores chance.
        mass: Share of the map's sum that lies inside the mask. A map of zeros says nothing: chance.
        area: Share of the image that the mask covers: the chance level of both.
        near: As ``hit``, :data:`NEAR_SHARE` beside the mask counts as well.
        near_area: Its chance level: share of the image that lies in the mask or so near to it.
    """

    hit: float
    mass: float
    area: float
    near: float = 0.0
    near_area: float = 0.0


def lesion_score(
    values: FloatArray, mask: npt.NDArray[np.bool_], order: FloatArray | None = None
) -> LesionScore | None:
    """Score one map against one mask.

    Args:
        values: The map of the scan's own class at the mask's size, ``(*spatial)``, >= 0.
        mask: True inside the lesion, ``(*spatial)``.
        order: What tells the greatest value where ``values`` may be 1 to the last digit at many cells; None:
            ``values`` themselves.

    Returns:
        The scores, or None where the mask is empty.

    Raises:
        SettingsError: The shapes differ.

    Example:
        >>> mask = np.array([[False, True], [False, False]])
        >>> score = lesion_score(np.array([[0.0, 3.0], [1.0, 0.0]]), mask)
        >>> score.hit, score.mass, score.area
        (1.0, 0.75, 0.25)
    """
    if values.shape != mask.shape:
        raise SettingsError(
            f"A lesion mask has shape {mask.shape}, its map has {values.shape}.",
            "Put the masks through the preprocessor of the scans.",
        )
    if not mask.any():
        return None
    area = float(mask.mean())
    total = float(values.sum(dtype=np.float64))
    mass = float(values.sum(where=mask, dtype=np.float64)) / total if total > 0 else area
    order = values if order is None else order
    greatest = order == order.max()
    near = distance_transform_edt(~mask) <= NEAR_SHARE * max(mask.shape)
    return LesionScore(
        hit=float(mask[greatest].mean()),
        mass=mass,
        area=area,
        near=float(near[greatest].mean()),
        near_area=float(near.mean()),
    )


def lesion_means(labels: Sequence[str], scores: Sequence[LesionScore]) -> dict[str, float | int | dict]:
    """Means over scans, in all and for each label.

    Args:
        labels: Label of each scored scan.
        scores: Its score, same order.

    Returns:
        ``scans``, and where there are any ``pointing_game`` (hit rate), ``mass_in_mask``, ``area_share``
        (the chance level of both), ``mass_over_area`` (ratio of the two means; 1 is chance),
        ``pointing_game_near`` and ``near_share`` (its chance level), and ``per_label`` with the same for each
        label.

    Example:
        >>> scores = [LesionScore(1.0, 0.75, 0.25, 1.0, 0.5), LesionScore(0.0, 0.25, 0.25, 1.0, 0.5)]
        >>> found = lesion_means(["nodule", "effusion"], scores)
        >>> found["scans"], found["pointing_game"], found["mass_over_area"], list(found["per_label"])
        (2, 0.5, 2.0, ['effusion', 'nodule'])
        >>> lesion_means([], [])
        {'scans': 0}
    """
    summary: dict[str, float | int | dict] = _means(scores)
    if scores:
        summary["per_label"] = {
            label: _means([score for own, score in zip(labels, scores, strict=True) if own == label])
            for label in sorted(set(labels))
        }
    return summary


def tracked_scores(scores: dict[str, dict]) -> dict[str, float]:
    """The numbers of a run's tracking: ``maps.<kind>.<score>`` over all scored scans, empty without masks.

    Args:
        scores: From a kind of map to its :func:`lesion_means`.

    Example:
        >>> nodule = {"scans": 2, "pointing_game": 0.5, "per_label": {"nodule": {"scans": 2}}}
        >>> tracked_scores({"grad_cam": nodule, "evidence_map": {"scans": 0}})
        {'maps.grad_cam.scans': 2.0, 'maps.grad_cam.pointing_game': 0.5}
    """
    return {
        f"maps.{kind}.{name}": float(value)
        for kind, summary in scores.items()
        if summary["scans"]
        for name, value in summary.items()
        if name != "per_label"
    }


def _means(scores: Sequence[LesionScore]) -> dict[str, float | int | dict]:
    if not scores:
        return {"scans": 0}
    mass = float(np.mean([score.mass for score in scores]))
    area = float(np.mean([score.area for score in scores]))
    return {
        "scans": len(scores),
        "pointing_game": float(np.mean([score.hit for score in scores])),
        "mass_in_mask": mass,
        "area_share": area,
        "mass_over_area": mass / area,
        "pointing_game_near": float(np.mean([score.near for score in scores])),
        "near_share": float(np.mean([score.near_area for score in scores])),
    }
