from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr
from scipy.stats.contingency import association as scipy_association
from sklearn.metrics import accuracy_score, roc_auc_score

from scanlens.shortcuts import numbers

RNG = np.random.default_rng(3)
TARGETS = RNG.integers(0, 3, 200)
PROBABILITIES = RNG.dirichlet([1, 1, 1], 200) * 0.7 + 0.3 * np.eye(3)[TARGETS]
ONES = np.ones((1, 200))
COUNTS = RNG.multinomial(200, np.full(200, 1 / 200), size=2).astype(float)


def repeated(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.repeat(values, counts.astype(int), axis=0)


def test_auc_and_accuracy_are_scikit_learns_for_weights_too() -> None:
    for weights in (ONES, COUNTS[:1]):
        targets, probabilities = repeated(TARGETS, weights[0]), repeated(PROBABILITIES, weights[0])
        wanted = roc_auc_score(targets, probabilities, multi_class="ovr", average="macro")
        np.testing.assert_allclose(numbers.auc(PROBABILITIES, TARGETS)(weights), wanted)
        right = accuracy_score(targets, probabilities.argmax(1))
        np.testing.assert_allclose(numbers.accuracy(PROBABILITIES, TARGETS)(weights), right)


def test_paired_differences_use_the_same_weights() -> None:
    first, second = numbers.auc(PROBABILITIES, TARGETS), numbers.auc(PROBABILITIES[::-1], TARGETS)
    np.testing.assert_allclose(
        numbers.paired_difference(first, second)(COUNTS), first(COUNTS) - second(COUNTS)
    )
    np.testing.assert_array_equal(numbers.paired_difference(first, first)(COUNTS), 0)


def test_means_leave_out_what_is_not_there() -> None:
    values = np.where(RNG.random(200) < 0.2, np.nan, RNG.random(200))
    np.testing.assert_allclose(numbers.mean(values)(ONES), np.nanmean(values))
    np.testing.assert_allclose(numbers.mean(values)(COUNTS[1:]), np.nanmean(repeated(values, COUNTS[1])))
    above, below = RNG.random(200), RNG.random(200)
    np.testing.assert_allclose(numbers.ratio_of_means(above, below)(ONES), above.mean() / below.mean())
    assert np.isnan(numbers.ratio_of_means(above, 0 * below)(ONES)).all()


def test_the_strongest_rank_correlation_is_spearmans() -> None:
    values = RNG.random(200)
    many = np.stack([RNG.random(200), -(values**3) + 0.1 * RNG.random(200)], axis=1)
    wanted = abs(spearmanr(values, many[:, 1]).statistic)
    np.testing.assert_allclose(numbers.strongest_rank_correlation(values, many)(ONES), wanted)
    assert np.isnan(numbers.strongest_rank_correlation(np.zeros(200), many)(ONES)).all()


def test_association_is_cramers_v_less_its_bias() -> None:
    first = RNG.integers(0, 3, 4000)
    same = np.where(RNG.random(4000) < 0.5, first, RNG.integers(0, 3, 4000))
    table = np.zeros((3, 3), int)
    np.add.at(table, (first, same), 1)
    ones = np.ones((1, 4000))
    plain = scipy_association(table, method="cramer")
    np.testing.assert_allclose(numbers.association(first, same)(ones), plain, atol=0.005)
    np.testing.assert_allclose(numbers.association(first, first)(ones), 1, atol=1e-6)
    small = [
        numbers.association(RNG.integers(0, 4, 30), RNG.integers(0, 4, 30))(np.ones((1, 30)))[0]
        for _ in range(50)
    ]
    assert np.median(small) < 0.1, "by chance alone"
