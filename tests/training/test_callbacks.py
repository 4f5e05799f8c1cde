"""What happens between the steps, seen from outside."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scanlens.training.callbacks import History, Reseed, TrainLoss, progress_bar
from scanlens.training.telemetry import Telemetry


def test_reseed_gives_each_step_its_own_numbers() -> None:
    def numbers(seed: int, epoch: int, step: int) -> list[float]:
        trainer: Any = SimpleNamespace(current_epoch=epoch)
        Reseed(seed).on_train_batch_start(trainer, None, None, step)  # type: ignore[arg-type]
        return torch.rand(3).tolist()

    assert numbers(1, 2, 3) == numbers(1, 2, 3)
    places = ((1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3), (2, 1, 3))
    assert len({tuple(numbers(*place)) for place in places}) == 5


def history() -> History:
    return History(None, TrainLoss(), Telemetry(8, 0.0))


def test_history_survives_a_checkpoint() -> None:
    one, two = history(), history()
    one.rows.append({"epoch": 0.0, "val_loss": 0.5})
    one.machine.append({"ram_mib": 7.0})
    one.seconds.append(2.0)
    two.load_state_dict(one.state_dict())
    assert (two.rows, two.machine, two.seconds) == (one.rows, one.machine, one.seconds)
    two.rows.append({"epoch": 1.0})
    assert len(one.rows) == 1


def test_the_training_loss_is_the_mean_of_the_epoch() -> None:
    module: Any = SimpleNamespace(device="cpu")
    trainer: Any = SimpleNamespace(accumulate_grad_batches=2)
    mean = TrainLoss()
    mean.on_train_epoch_start(trainer, module)
    for loss in (0.25, 0.5):
        mean.on_train_batch_end(trainer, module, {"loss": torch.tensor(loss)}, None, 0)
    assert mean.value() == pytest.approx(0.75)
    mean.on_train_epoch_start(trainer, module)
    assert mean.value() == 0.0


def test_a_log_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: False))
    assert progress_bar(4) == []
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: True, write=print, flush=print))
    assert len(progress_bar(4)) == 1
