from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scanlens.models.ensemble import Ensemble, Network
from scanlens.models.predict import to_input
from scanlens.preprocess.store import Store
from scanlens.shortcuts.asking import Answers, ask
from scanlens.shortcuts.views import CORNERS_MASKED, VIEWS, Masker, mean_scan, parts_of
from tests.helpers.readers import corner, middle, planted_store, reader


def answers(network: Network, store: Store, batch_size: int = 8) -> Answers:
    rows = store.rows("test")
    masker = Masker(mean_scan(store, 8), 0.05)
    return ask(
        network, store, rows, rows[::-1].copy(), store.statistics, masker, (4, 4), {1, 9}, batch_size, "cpu"
    )


def test_answers_are_those_of_the_views_whatever_the_batch(tmp_path: Path) -> None:
    store = planted_store(tmp_path, patients=6)
    network = reader((32, 32), corner((32, 32)))
    found, again = answers(network, store), answers(network, store, 5)
    rows = store.rows("test")
    masker = Masker(mean_scan(store, 8), 0.05)
    for name in VIEWS:
        np.testing.assert_allclose(found.logits[name], again.logits[name], rtol=1e-5, atol=1e-6)
        views = np.stack(
            [
                masker.view(name, image, parts_of(image), other)
                for image, other in zip(store.read(rows), store.read(rows[::-1]), strict=True)
            ]
        )
        with torch.inference_mode():
            wanted = network.logits(to_input(views, store.statistics, "cpu")).numpy()
        np.testing.assert_allclose(found.logits[name], wanted, rtol=1e-5, atol=1e-6)
    assert np.ptp(found.logits[CORNERS_MASKED], axis=0).max() < 1e-5
    assert set(found.examples) == {1, 9}
    np.testing.assert_array_equal(found.examples[9][""], store.read(rows[9:10])[0])
    assert set(found.examples[1]) == {"", *VIEWS}


def test_features_of_members_stand_beside_one_another(tmp_path: Path) -> None:
    store = planted_store(tmp_path, patients=4)
    members = [reader((32, 32), region((32, 32))) for region in (corner, middle)]
    together = answers(Ensemble(members), store).features
    apart = [answers(member, store).features for member in members]
    np.testing.assert_allclose(together, np.concatenate(apart, axis=1), rtol=1e-6)
