"""Freezing, thawing and the history, watched during real fits."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from scanlens.models.registry import build, resolve
from scanlens.training.callbacks import HeadFirst, History, Reseed, progress_bar
from scanlens.training.datamodule import ScanBatches, ScanData
from scanlens.training.module import ScanClassifier
from tests.helpers.tiny import model


class Snapshots(pl.Callback):
    """The backbone's state (with batch-norm statistics) and the head's weights after each epoch."""

    def __init__(self) -> None:
        self.backbone: list[dict[str, torch.Tensor]] = []
        self.head: list[torch.Tensor] = []

    def note(self, module: ScanClassifier) -> None:
        state = module.network.backbone.state_dict()
        self.backbone.append({name: tensor.clone() for name, tensor in state.items()})
        self.head.append(module.network.head.weight.detach().clone())

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.note(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.note(pl_module)


def watch(batches: Callable[..., ScanBatches], head_first: HeadFirst, epochs: int) -> Snapshots:
    train = batches("train")
    network = build(resolve(model(), train.parts[0].store.shape, 2), 1)
    module = ScanClassifier(network, torch.nn.CrossEntropyLoss(), 0.02, 1.0, 0.01)
    snapshots = Snapshots()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[head_first, snapshots],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, ScanData(train, batches("val"), 4, 0, 0))
    return snapshots


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.mark.filterwarnings("ignore")
def test_the_backbone_stands_still_until_the_thaw(batches: Callable[..., ScanBatches]) -> None:
    seen = watch(batches, HeadFirst(2, False), 3)
    # Weights, and batch norm's running statistics and counters as well.
    assert moved(seen.backbone[0], seen.backbone[1]) == set()
    assert moved(seen.backbone[1], seen.backbone[2]) == set()
    assert moved(seen.backbone[2], seen.backbone[3]) == set(seen.backbone[0])
    for before, after in zip(seen.head[:-1], seen.head[1:], strict=True):
        assert not torch.equal(before, after)


@pytest.mark.filterwarnings("ignore")
def test_forever_means_forever(batches: Callable[..., ScanBatches]) -> None:
    seen = watch(batches, HeadFirst(0, True), 2)
    assert moved(seen.backbone[0], seen.backbone[-1]) == set()
    assert not torch.equal(seen.head[0], seen.head[-1])


def test_reseed_gives_each_epoch_its_own_numbers() -> None:
    def numbers(seed: int, epoch: int) -> list[float]:
        Reseed(seed).on_train_epoch_start(SimpleNamespace(current_epoch=epoch), None)  # type: ignore[arg-type]
        return torch.rand(3).tolist()

    assert numbers(1, 2) == numbers(1, 2)
    assert len({tuple(numbers(*pair)) for pair in ((1, 2), (1, 3), (2, 2), (2, 1))}) == 4


def test_history_survives_a_checkpoint() -> None:
    one, two = History(None), History(None)
    one.rows.append({"epoch": 0.0, "val_loss": 0.5})
    one.seconds.append(2.0)
    two.load_state_dict(one.state_dict())
    assert (two.rows, two.seconds) == (one.rows, one.seconds)
    two.rows.append({"epoch": 1.0})
    assert len(one.rows) == 1


def test_a_log_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: False))
    assert progress_bar() == []
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: True, write=print, flush=print))
    assert len(progress_bar()) == 1
