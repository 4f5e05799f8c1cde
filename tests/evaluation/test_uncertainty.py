"""Entropy against SciPy's, and its two ends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from scanlens.evaluation.uncertainty import uncertainty


@pytest.mark.parametrize("classes", [2, 3, 14])
def test_it_is_scipys_entropy_by_the_number_of_classes(classes: int) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.full(classes, 0.3), 50)
    expected = entropy(probabilities, base=classes, axis=1)
    assert np.allclose(uncertainty(probabilities), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("error")
def test_certain_is_zero_and_even_is_one(dtype: type) -> None:
    values = uncertainty(np.array([[1, 0, 0], [1 / 3] * 3], dtype))
    assert values == pytest.approx([0, 1], abs=1e-6)
    assert ((values >= 0) & (values <= 1)).all()


def test_the_order_of_classes_does_not_matter() -> None:
    one = np.array([[0.7, 0.2, 0.1]])
    assert uncertainty(one) == pytest.approx(uncertainty(one[:, ::-1]))
