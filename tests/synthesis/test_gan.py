"""Training: the loss, the sizes, reproducibility, refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from scanlens.config.schema import Synthesis
from scanlens.errors import SettingsError
from scanlens.preprocess.store import Store
from scanlens.synthesis.gan import hinge_loss, plan, train_generator
from scanlens.synthesis.make import make_from_seeds

MakeStore = Callable[..., Store]


@pytest.mark.parametrize(
    ("real", "made", "loss"), [([2.0], [-2.0], 0.0), ([0.0], [0.0], 2.0), ([-1.0, 3.0], [1.0, -3.0], 2.0)]
)
def test_hinge_loss(real: list[float], made: list[float], loss: float) -> None:
    assert hinge_loss(torch.tensor(real), torch.tensor(made)).item() == loss


def test_seed_decides_and_global_state_does_not(make_store: MakeStore, config: Synthesis) -> None:
    store = make_store()
    torch.manual_seed(1)
    first = train_generator(store, store.rows("train"), config).state_dict()
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    again = train_generator(store, store.rows("train"), config).state_dict()
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = train_generator(store, store.rows("train"), dataclasses.replace(config, seed=4)).state_dict()
    assert not torch.equal(first["start.weight"], other["start.weight"])


@pytest.mark.parametrize("change", [{"steps": 4}, {"lr": 1e-3}, {"batch_size": 8}])
def test_settings_matter(make_store: MakeStore, config: Synthesis, change: dict[str, float]) -> None:
    store = make_store()
    rows = store.rows("train")
    before = train_generator(store, rows, config).state_dict()["start.weight"]
    after = train_generator(store, rows, dataclasses.replace(config, **change)).state_dict()["start.weight"]
    assert not torch.equal(before, after)


def test_only_the_given_rows_are_read(make_store: MakeStore, config: Synthesis) -> None:
    """Scans of val and test are white; training ones never come near it."""
    store = make_store()
    generator = train_generator(store, store.rows("train"), config)
    made = make_from_seeds(generator, np.zeros(20, np.int64), np.arange(20), (20, 16))
    assert made.mean() < 0.6


def test_classes_differ(make_store: MakeStore, config: Synthesis) -> None:
    store = make_store()
    generator = train_generator(store, store.rows("train"), config)
    dark = make_from_seeds(generator, np.zeros(20, np.int64), np.arange(20), (20, 16))
    bright = make_from_seeds(generator, np.ones(20, np.int64), np.arange(20), (20, 16))
    assert bright.mean() - dark.mean() > 0.1


def test_volumes_are_made_smaller(config: Synthesis) -> None:
    wanted = dataclasses.replace(config, max_side=64, batch_size=64, width=32)
    flat, solid = plan((1, 96, 96), wanted, "cpu"), plan((1, 96, 96, 96), wanted, "cpu")
    assert (flat.side, flat.batch_size, flat.width) == (64, 64, 32)
    assert (solid.side, solid.batch_size, solid.width) == (32, 8, 16)
    flat, solid = (plan((1, *side), wanted, "cpu", bf16=True) for side in ((96, 96), (96, 96, 96)))
    assert flat.bf16
    assert not solid.bf16


def test_refuses_no_rows(make_store: MakeStore, config: Synthesis) -> None:
    with pytest.raises(SettingsError, match="empty"):
        train_generator(make_store(), np.array([], dtype=np.int64), config)
