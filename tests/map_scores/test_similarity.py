from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from scanlens.map_scores.similarity import similarity


def pair(shape: tuple[int, ...] = (3, 24, 20)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    first = rng.random(shape).astype(np.float32)
    return first, (first + 0.5 * rng.random(shape)).astype(np.float32)


def test_it_equals_scipy_and_scikit_image() -> None:
    # Nothing at the borders, which the two continue in different ways.
    first, second = (np.pad(maps, ((0, 0), (6, 6), (6, 6))) for maps in pair())
    found = similarity(first, second)
    for row, (one, two) in enumerate(zip(first, second, strict=True)):
        assert found["spearman"][row] == pytest.approx(spearmanr(one.ravel(), two.ravel()).statistic)
        greatest = max(one.max(), two.max())
        _, indices = structural_similarity(
            one / greatest, two / greatest, gaussian_weights=True, sigma=1.5, data_range=1.0,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        assert found["ssim"][row] == pytest.approx(indices.mean(), abs=1e-4)


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 24, 20), (2, 6, 12, 12)])
def test_a_map_is_like_itself_and_unlike_its_reverse(shape: tuple[int, ...]) -> None:
    first, _ = pair(shape)
    same, reverse = similarity(first, first), similarity(first, first.max() - first)
    for name in same:
        assert same[name] == pytest.approx(1, abs=1e-5)
        assert (reverse[name] < 0.1).all()


def test_weaker_maps_are_of_the_same_order_but_not_of_the_same_structure() -> None:
    first, _ = pair()
    weaker = similarity(first, first / 4)
    assert weaker["spearman"] == pytest.approx(1)
    assert (weaker["ssim"] < 0.8).all()


def test_constant_maps_have_no_order() -> None:
    flat = np.zeros((1, 12, 12), np.float32)
    assert similarity(flat, pair((1, 12, 12))[0])["spearman"] == 0
    assert similarity(flat, flat)["ssim"] == pytest.approx(1)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="expected two arrays"):
        similarity(np.ones((1, 8, 8)), np.ones((1, 8, 9)))
