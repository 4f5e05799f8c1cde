"""Which scans an epoch draws, and in which order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from scanlens.training.sampling import BalancedOrder, EpochOrder


def drawn(order: EpochOrder, epoch: int) -> list[tuple[int, int]]:
    order.set_epoch(epoch)
    return list(order)


def positions(order: EpochOrder, epoch: int) -> list[int]:
    return [position for position, _ in drawn(order, epoch)]


def uneven() -> tuple[np.ndarray, np.ndarray]:
    """Thirty scans of class 0 (one patient has twenty), six of class 1 (no patients), four of class 3."""
    targets = np.repeat([0, 1, 3], [30, 6, 4])
    patients = np.array(["many"] * 20 + [f"p{n}" for n in range(10)] + [""] * 6 + ["a", "a", "a", "b"])
    shuffle = np.random.default_rng(0).permutation(40)
    return targets[shuffle], patients[shuffle]


def test_an_epochs_order_depends_on_seed_and_epoch_alone() -> None:
    targets, patients = uneven()
    for make in (
        lambda seed: EpochOrder(20, seed, True),
        lambda seed: BalancedOrder(targets, patients, seed),
    ):
        one, two = make(5), make(5)
        drawn(one, 0)
        assert drawn(one, 3) == drawn(two, 3) == drawn(two, 3)
        assert drawn(one, 3) != drawn(one, 4)
        assert drawn(one, 3) != drawn(make(6), 3)


@pytest.mark.parametrize(
    ("count", "at_least", "passes"),
    [(10, 0, 1), (10, 10, 1), (10, 11, 2), (10, 95, 10), (1, 3, 3), (7, 1, 1)],
)
def test_every_scan_is_drawn_as_often_as_any_other(count: int, at_least: int, passes: int) -> None:
    order = EpochOrder(count, 0, True, at_least)
    pairs = drawn(order, 2)
    assert len(order) == len(pairs) == count * passes >= at_least
    assert Counter(position for position, _ in pairs) == dict.fromkeys(range(count), passes)
    # Another change each time a scan comes.
    assert len({seed for _, seed in pairs}) == len(pairs)


def test_validation_comes_in_plain_order() -> None:
    assert positions(EpochOrder(6, 0, False), 4) == list(range(6))


@pytest.mark.parametrize(("at_least", "each"), [(0, 14), (90, 30), (91, 31)])
def test_balanced_draws_every_class_equally_often(at_least: int, each: int) -> None:
    targets, patients = uneven()
    order = BalancedOrder(targets, patients, 0, at_least)
    pairs = drawn(order, 1)
    assert len(order) == len(pairs) == 3 * each
    assert Counter(targets[position] for position, _ in pairs) == {0: each, 1: each, 3: each}
    assert len({seed for _, seed in pairs}) == len(pairs)


def test_balanced_favours_no_patient_and_leaves_no_scan_out() -> None:
    targets, patients = uneven()
    order = BalancedOrder(targets, patients, 0)
    seen: Counter[int] = Counter()
    for epoch in range(80):
        took = positions(order, epoch)
        seen.update(took)
        for label in (0, 3):
            turns = Counter(patients[p] for p in took if targets[p] == label)
            assert max(turns.values()) - min(turns.values()) <= 1
        alone = Counter(p for p in took if targets[p] == 1)
        assert max(alone.values()) - min(alone.values()) <= 1
    assert set(seen) == set(range(40))


def test_classes_are_mixed_within_the_epoch() -> None:
    targets, patients = uneven()
    first = [targets[p] for p in positions(BalancedOrder(targets, patients, 0, 300), 0)[:100]]
    assert all(20 < first.count(label) < 47 for label in (0, 1, 3))
