"""Inside a worker process: one call under a memory limit, and no life beyond the parent's."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from scanlens.scaling.heap import keep_freed_memory
from scanlens.scaling.limits import Failed

_MIB = 1 << 20


@dataclass(frozen=True)
class Raised:
    """An exception of the caller's function on its way to the parent.

    Attributes:
        error: The exception, or a plain one where it does not survive pickling.
        note: The traceback, which pickling drops; a class's own way of pickling may drop notes too.
    """

    error: Exception
    note: str


def start_worker() -> None:
    """Prepare a fresh worker process: it dies with its parent, at once when told, silently, leaving no core.

    The C libraries under the decoders print to the process's error stream, quoting file contents. That
    stream is closed; Python's own exceptions travel to the parent instead.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_parent()
    if sys.platform != "win32":
        import resource

        # A core dump of a crashed decoder would hold the patient's pixels and header.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_freed_memory()
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def call(function: Callable[[Any], Any], item: Any, memory_mib: int | None) -> bytes:
    """Call the function and return the pickled result, :class:`Failed` or :class:`Raised`.

    Args:
        function: Of one argument.
        item: The argument.
        memory_mib: MiB the call may take beyond what the process holds now; None for no limit.
    """
    outcome: Any
    try:
        if memory_mib is not None:
            limit_memory(memory_mib)
        outcome = function(item)
        return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        outcome = Failed(
            f"needs more than {memory_mib} MiB" if memory_mib else "needs more memory than there is"
        )
    except Exception as error:
        note = "in the worker process:\n" + "".join(traceback.format_exception(error))
        outcome = Raised(_portable(error), note)
    finally:
        if memory_mib is not None:
            limit_memory(None)
    return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)


def limit_memory(mib: int | None) -> None:
    """Let this process take so much memory beyond what it holds; None lifts the limit.

    The limit is on private writable memory (``RLIMIT_DATA``, which counts mappings on Linux since 4.7):
    an address-space limit would also count reserved and file-backed pages that cost nothing. Systems
    other than Linux don't report what is held, and get no limit.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = most
    if mib is not None:
        line = next(
            line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmData")
        )
        allowed = int(line.split()[1]) * 1024 + mib * _MIB
        if most != resource.RLIM_INFINITY:
            allowed = min(allowed, most)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, most))


def _portable(error: Exception) -> Exception:
    """The exception, or a plain one where it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))  # our own bytes, a line above
    # An object's own __reduce__ runs here and may raise anything: whatever it is, the error's text is kept.
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _die_with_parent() -> None:
    """End this process when the parent ends, however that ends.

    The parent holds the other end of a pipe that the kernel closes with it. On Linux its end is a signal
    (``O_ASYNC``), which ends even a decoder caught in a loop; elsewhere a thread waits for it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel: Any = parent.sentinel
    if sys.platform == "linux":
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
        return

    def wait() -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
