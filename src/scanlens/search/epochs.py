"""The sweep's end of the line to a trial's training stage (:mod:`scanlens.tracking.trial` is the other)."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
from pathlib import Path
from types import TracebackType
from typing import Any

from scanlens.tracking.trial import GO_ON, STOP

Judge = Callable[[dict[str, float], int], bool]
"""Metrics of an epoch and its number to whether the training goes on."""
_KNOCK_S = 10


class EpochLine:
    """Hears of each epoch of one trial and answers whether it goes on.

    Args:
        judge: Called in a thread of this object's own, one epoch at a time.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._closing = False
        # Short: the path of a socket has at most about a hundred letters.
        self._folder = Path(tempfile.mkdtemp(prefix="scanlens-"))
        self.key = secrets.token_hex(16)
        self._listener = Listener(
            str(self._folder / "s"), family="AF_UNIX", backlog=8, authkey=bytes.fromhex(self.key)
        )
        self.address = str(self._listener.address)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> EpochLine:
        """Listen from now on."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        # Wakes the thread that waits for the next epoch. Where it has ended by itself, the greeting that a
        # Client waits for would never come.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(_KNOCK_S)
            knock.connect(self.address)
        self._thread.join(timeout=10)
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        while not self._closing:
            # A stage that dies in the middle of a message is found out by its exit code.
            with (
                contextlib.suppress(OSError, EOFError, AuthenticationError),
                self._listener.accept() as connection,
            ):
                if self._closing:
                    return
                message = json.loads(connection.recv_bytes())
                connection.send_bytes(GO_ON if self._ask(message) else STOP)

    def _ask(self, message: dict[str, Any]) -> bool:
        try:
            return self._judge(message["metrics"], int(message["epoch"]))
        except Exception as error:  # a study that can't be written just now must not end, or hang, a training
            print(f"warning: an epoch was not judged: {type(error).__name__}: {error}", file=sys.stderr)
            return True
