"""One number for how undecided a prediction is. NumPy only: batch inference uses it too."""

from __future__ import annotations

import numpy as np

from scanlens.types import FloatArray


def uncertainty(probabilities: FloatArray) -> FloatArray:
    """Shannon entropy over ``log(classes)``: 0 is certain, 1 is evenly spread; ``(scan,)``.

    Example:
        >>> uncertainty(np.array([[0.5, 0.5], [0.9, 0.1]])).round(3).tolist()
        [1.0, 0.469]
    """
    logarithm = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    entropy = -(probabilities * logarithm).sum(axis=1)
    return np.clip(entropy / np.log(probabilities.shape[1]), 0.0, 1.0)
