"""Functions that do to their process what decoders do to theirs; importable by worker processes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scanlens.errors import UnreadableScan

MIB = 1 << 20


class NotPortable(Exception):
    """Pickles, and cannot be read back."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def act(command: str | int) -> object:
    """Do what the command says; a number is squared."""
    if isinstance(command, int):
        return command**2
    if command == "segfault":
        return ctypes.string_at(0)
    if command == "exit":
        os._exit(7)
    if command == "abort":
        os.abort()
    if command == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if command == "hang":
        while True:
            time.sleep(1)
    if command == "hang in C":
        # sum() over a range holds the interpreter for minutes without looking at signals.
        return sum(range(1 << 40))
    if command == "memory":
        return np.ones(512 * MIB, dtype=np.uint8).sum()
    if command == "half the memory":
        return int(np.ones(100 * MIB, dtype=np.uint8).sum())
    if command == "raise":
        raise UnreadableScan("a.png", "broken")
    if command == "raise what does not travel":
        raise NotPortable(1, 2)
    if command == "return what does not travel":
        return lambda: None
    if command == "noise":
        os.write(2, b"libtiff: noise\n")
        print("noise", file=sys.stderr)
        return "silent"
    raise AssertionError(command)


def slow(seconds: float) -> float:
    """Sleep so long."""
    time.sleep(seconds)
    return seconds


def process_id(_: object) -> int:
    """The process this ran in."""
    return os.getpid()


def threads(_: object) -> int:
    """How many threads OpenCV would use here."""
    import cv2

    return int(cv2.getNumThreads())


@dataclass(frozen=True)
class WriteFile:
    """Writes a file of bytes that depend on the number only; slowly, so that there is time for accidents.

    Attributes:
        folder: Receives the files.
        seconds: How long one takes.
    """

    folder: Path
    seconds: float

    def __call__(self, number: int) -> str:
        time.sleep(self.seconds)
        content = np.random.default_rng(number).bytes(200_000)
        temporary = self.folder / f".{number}.{os.getpid()}"
        temporary.write_bytes(content)
        temporary.replace(self.folder / f"{number:03}.bin")
        return f"{number:03}.bin"
