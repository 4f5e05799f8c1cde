"""Epochs on their way from a stage to the sweep, and the answer on its way back."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from scanlens.search.epochs import EpochLine
from scanlens.tracking.trial import VARIABLE, Trial, TrialStopped, current_trial, with_sweep


def trial_of(line: EpochLine, key: str | None = None) -> Trial:
    return Trial("s", 0, {}, "", line.address, key or line.key)


def test_without_a_sweep_the_listener_stays_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert current_trial() is None
    listener = lambda metrics, epoch: None  # noqa: E731
    assert with_sweep(listener) is listener


def test_epochs_reach_the_sweep_and_its_answer_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, logged = [], []

    def judge(metrics: dict[str, float], epoch: int) -> bool:
        heard.append((epoch, metrics))
        return epoch < 2

    with EpochLine(judge) as line:
        monkeypatch.setenv(VARIABLE, trial_of(line).environment()[VARIABLE])
        hook = with_sweep(lambda metrics, epoch: logged.append(epoch))
        hook({"val_loss": 0.5}, 0)
        hook({"val_loss": 0.25}, 1)
        with pytest.raises(TrialStopped, match="after epoch 3"):
            hook({"val_loss": 0.2}, 2)
    assert heard == [(0, {"val_loss": 0.5}), (1, {"val_loss": 0.25}), (2, {"val_loss": 0.2})]
    assert logged == [0, 1, 2]
    # The sweep is gone: the stage must not train on for nobody.
    with pytest.raises(TrialStopped, match="is gone"):
        hook({"val_loss": 0.1}, 3)
    assert not Path(line.address).exists()


def test_a_study_that_cannot_be_written_lets_the_training_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(metrics: dict[str, float], epoch: int) -> bool:
        if epoch == 0:
            raise OSError("database is locked")
        return epoch < 2

    with EpochLine(judge) as line:
        monkeypatch.setenv(VARIABLE, trial_of(line).environment()[VARIABLE])
        hook = with_sweep(lambda metrics, epoch: None)
        hook({}, 0)
        hook({}, 1)
        with pytest.raises(TrialStopped, match="after epoch 3"):
            hook({}, 2)
    assert "not judged: OSError: database is locked" in capsys.readouterr().err


def test_a_stranger_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    with EpochLine(lambda metrics, epoch: bool(heard.append(epoch)) or True) as line:
        from multiprocessing import AuthenticationError

        monkeypatch.setenv(VARIABLE, trial_of(line, "00" * 16).environment()[VARIABLE])
        with pytest.raises(AuthenticationError):
            with_sweep(lambda metrics, epoch: None)({}, 0)
        assert heard == []
        monkeypatch.setenv(VARIABLE, trial_of(line).environment()[VARIABLE])
        with_sweep(lambda metrics, epoch: None)({}, 1)
    assert heard == [1]
    assert line.key not in str(threading.enumerate())


def test_the_line_is_closed_where_its_thread_has_ended_by_itself() -> None:
    """The thread may see the end between two epochs, before it is woken."""
    line = EpochLine(lambda metrics, epoch: True).__enter__()
    line._closing = True
    with socket.socket(socket.AF_UNIX) as knock:
        knock.connect(line.address)
    line._thread.join(30)
    closing = threading.Thread(target=line.__exit__, args=(None, None, None), daemon=True)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    assert not Path(line.address).exists()
