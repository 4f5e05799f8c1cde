from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scanlens.errors import SettingsError
from scanlens.map_scores.sample import stratified
from tests.helpers.planted import Planted


def test_every_class_keeps_its_share() -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    chosen = stratified(labels, 20, seed=0)
    assert len(chosen) == 20
    assert (np.diff(chosen) > 0).all()
    assert [sum(labels[at] == name for at in chosen) for name in "abc"] == [12, 6, 2]


def test_a_smaller_sample_is_part_of_a_larger_one_and_the_seed_counts() -> None:
    labels = ["a", "b"] * 50
    assert set(stratified(labels, 10, 0)) < set(stratified(labels, 30, 0))
    assert set(stratified(labels, 10, 0)) != set(stratified(labels, 10, 1))
    assert stratified(labels, 100, 0).tolist() == list(range(100))


def test_batches_cover_the_scans_in_order(planted: Planted) -> None:
    sample = planted.sample(batch_size=5)
    batches = list(sample.batches())
    assert [len(batch.indices) for batch in batches] == [5, 5, 5, 1]
    np.testing.assert_array_equal(
        np.concatenate([b.scans for b in batches]), planted.store.read(planted.rows)
    )
    np.testing.assert_allclose(batches[0].inputs.numpy(), (batches[0].scans - 0.25) / 0.25, rtol=1e-5)
    assert sample.chunks(np.array([1, 3]))[0].tolist() == [1, 3]


def test_masks_are_read_once_and_come_back_as_they_were(planted: Planted) -> None:
    asked = []
    sample = planted.sample()
    sample._read_mask = lambda scan_id: asked.append(scan_id) or planted.masks.get(scan_id)
    for _ in range(2):
        assert sample.mask(0) is None
        np.testing.assert_array_equal(sample.mask(1), planted.masks[sample.scan_ids[1]])
    assert asked == sample.scan_ids[:2]


def test_random_numbers_belong_to_the_scan(planted: Planted) -> None:
    whole, part = planted.sample(), planted.sample(rows=planted.rows[4:])
    assert whole.generator(5, 1).random() == part.generator(1, 1).random()
    numbers = {whole.generator(index, purpose).random() for index in (0, 1) for purpose in (1, 2)}
    assert len(numbers) == 4
    assert planted.sample(seed=1).generator(5, 1).random() != whole.generator(5, 1).random()


def test_a_mask_of_another_shape_is_refused(planted: Planted) -> None:
    sample = planted.sample()
    sample._read_mask = lambda _: np.ones((5, 5), bool)
    with pytest.raises(SettingsError, match=r"\(5, 5\), its scan has \(32, 32\)"):
        sample.mask(0)


def test_predictions_that_do_not_fit_are_refused(planted: Planted) -> None:
    short = dataclasses.replace(planted, predictions=planted.predictions.iloc[1:])
    with pytest.raises(SettingsError, match="lack 1 of 16 scans"):
        short.sample()
    strange = dataclasses.replace(planted, predictions=planted.predictions.assign(predicted="cyst"))
    with pytest.raises(SettingsError, match="cyst"):
        strange.sample()
