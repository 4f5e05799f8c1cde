"""What a stage knows of its sweep, and what it sends: messages as another program would read them."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client, Listener
from typing import Any

import numpy as np
import pytest

from scanlens.tracking.trial import (
    GO_ON,
    PARENT,
    STOP,
    VARIABLE,
    Trial,
    TrialStopped,
    current_trial,
    with_sweep,
)

KEY = "0f" * 16
END = b"end"
Answer = Callable[[bytes], bytes | None]


class Sweep:
    """The other end of the line: notes each message and answers it; None hangs up."""

    def __init__(self, answer: Answer) -> None:
        self.heard: list[bytes] = []
        # Short: the path of a socket has at most about a hundred letters.
        self._folder = tempfile.TemporaryDirectory(prefix="scanlens-")
        self.address = f"{self._folder.name}/s"
        self._listener = Listener(self.address, family="AF_UNIX", authkey=bytes.fromhex(KEY))
        self._answer = answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            with self._listener.accept() as connection:
                message = connection.recv_bytes()
                if message == END:
                    return
                self.heard.append(message)
                answer = self._answer(message)
                if answer is not None:
                    connection.send_bytes(answer)

    def close(self) -> None:
        with Client(self.address, authkey=bytes.fromhex(KEY)) as connection:
            connection.send_bytes(END)
        self._thread.join(30)
        self._listener.close()
        self._folder.cleanup()


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Sweep]]:
    """Start the sweep whose trial this process is."""
    started: list[Sweep] = []

    def start(answer: Answer) -> Sweep:
        started.append(Sweep(answer))
        trial = Trial("s", 0, {}, "", started[-1].address, KEY)
        monkeypatch.setenv(VARIABLE, trial.environment()[VARIABLE])
        return started[-1]

    yield start
    for one in started:
        one.close()


def nothing(metrics: dict[str, float], epoch: int) -> None:
    """A listener that keeps nothing."""


def test_a_stage_reads_the_trial_that_the_sweep_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = {"training.lr": "0.003", "model.args": '{"a": "ü"}', "transfer.weights": "a=b c\n"}
    trial = Trial("läufe", 7, choices, "parent", "/tmp/s", KEY)
    (entry,) = trial.environment().items()
    monkeypatch.setenv(*entry)
    assert current_trial() == trial


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_without_a_sweep_there_is_no_trial(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert current_trial() is None
    assert with_sweep(nothing) is nothing


def test_tags_name_the_sweep_and_hold_no_secret() -> None:
    trial = Trial("lr", 7, {"seed": "1"}, "", "/tmp/s", KEY)
    tags = trial.tags()
    assert tags == {"scanlens.study": "lr", "scanlens.trial": "7", "scanlens.choices": '{"seed": "1"}'}
    nested = Trial("lr", 7, {"seed": "1"}, "abc", "/tmp/s", KEY).tags()
    assert nested == {**tags, PARENT: "abc"}
    assert KEY not in str(nested)


def test_an_epoch_is_sent_as_plain_json_after_the_listener_has_it(sweep: Any) -> None:
    logged: list[tuple[dict[str, float], int]] = []
    seen_before: list[int] = []

    def answer(message: bytes) -> bytes:
        seen_before.append(len(logged))
        return GO_ON

    other = sweep(answer)
    hook = with_sweep(lambda metrics, epoch: logged.append((metrics, epoch)))
    hook({"val_loss": np.float32(0.5), "val_auc": np.int64(1)}, 0)
    hook({}, 1)
    assert [json.loads(message) for message in other.heard] == [
        {"epoch": 0, "metrics": {"val_loss": 0.5, "val_auc": 1.0}},
        {"epoch": 1, "metrics": {}},
    ]
    assert seen_before == [1, 2]


@pytest.mark.parametrize("word", [STOP, b"", b"go on then"], ids=["stop", "nothing", "another"])
def test_whatever_is_not_go_on_stops_the_trial(sweep: Any, word: bytes) -> None:
    sweep(lambda message: word)
    with pytest.raises(TrialStopped, match=r"^the sweep stopped this trial after epoch 5\.$"):
        with_sweep(nothing)({"val_loss": 0.5}, 4)


def test_a_sweep_that_hangs_up_or_never_was_is_gone(sweep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(lambda message: None)
    with pytest.raises(TrialStopped, match="is gone"):
        with_sweep(nothing)({"val_loss": 0.5}, 0)
    trial = Trial("s", 0, {}, "", "absent", KEY)
    monkeypatch.setenv(VARIABLE, trial.environment()[VARIABLE])
    with pytest.raises(TrialStopped, match="is gone"):
        with_sweep(nothing)({"val_loss": 0.5}, 0)


def test_a_listener_that_fails_sends_nothing(sweep: Any) -> None:
    other = sweep(lambda message: GO_ON)

    def failing(metrics: dict[str, float], epoch: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        with_sweep(failing)({"val_loss": 0.5}, 0)
    assert other.heard == []
