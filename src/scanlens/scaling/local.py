"""Processes of this machine, each item under its limits."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from scanlens.scaling.limits import Failed, Limits
from scanlens.scaling.worker import Raised, call, start_worker

_T = TypeVar("_T")
_R = TypeVar("_R")

AHEAD = 8
"""Items a worker that are handed out before the oldest result is taken: the bound on waiting results."""
_PRELOADED = ("__main__", "cv2", "nibabel", "numpy", "pandas", "PIL.Image", "pydicom")
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
_TRIES = 3
_LOOK_S = 1.0
"""Seconds without a result after which the pool is asked whether it still works."""


def map_in_processes(
    function: Callable[[_T], _R], items: Iterable[_T], workers: int, limits: Limits | None
) -> Iterator[_R | Failed]:
    """Yield the result for each item, in order; see :func:`scanlens.scaling.engine.map_ordered`."""
    guard = Guard(workers, function)
    flying: deque[_Task] = deque()
    try:
        for item in items:
            flying.append(guard.submit(function, item, limits))
            if len(flying) == workers * AHEAD:
                yield unwrapped(guard.outcome(flying.popleft()))
        while flying:
            yield unwrapped(guard.outcome(flying.popleft()))
    finally:
        guard.close()


def unwrapped(outcome: Any) -> Any:
    """Return an outcome, or raise the exception that it carries."""
    if isinstance(outcome, Raised):
        outcome.error.add_note(outcome.note)
        raise outcome.error
    return outcome


@dataclass(frozen=True)
class _Task:
    function: Callable[[Any], Any]
    item: Any
    limits: Limits | None
    pool: ProcessPool
    future: ProcessFuture


class Guard:
    """A pool of processes that outlives what is done to it: killed and crashed ones are replaced.

    Args:
        workers: Processes.
        function: One that will run there. The first guard of this process has its module loaded in advance,
            where processes start from a server; later ones load theirs in each worker.
    """

    def __init__(self, workers: int, function: Callable[[Any], Any]) -> None:
        self._workers = workers
        self._context = _context(getattr(function, "__module__", ""))
        self._pool = self._start()

    def submit(self, function: Callable[[Any], Any], item: Any, limits: Limits | None) -> _Task:
        """Hand out one item."""
        seconds, memory = (limits.seconds, limits.memory_mib) if limits else (None, None)
        try:
            future = self._pool.schedule(call, args=(function, item, memory), timeout=seconds)
        except RuntimeError:  # broken, perhaps this moment: asking it beforehand would tell nothing
            self._restart()
            future = self._pool.schedule(call, args=(function, item, memory), timeout=seconds)
        return _Task(function, item, limits, self._pool, future)

    def outcome(self, task: _Task) -> Any:
        """Wait for an item's result, :class:`Failed` or :class:`scanlens.scaling.worker.Raised`."""
        for _ in range(_TRIES):
            try:
                _settle(task)
                return pickle.loads(task.future.result())  # written by our own worker
            except TimeoutError:
                return Failed(
                    f"took longer than {task.limits.seconds:g} s" if task.limits else "took too long"
                )
            except ProcessExpired as end:
                return Failed(f"crashed its reader ({_cause(end.exitcode)})")
            except BrokenProcessPool:
                # All workers were gone at once, perhaps for another item's sake: try this one again.
                if task.pool is self._pool:
                    self._restart()
                task = self.submit(task.function, task.item, task.limits)
        return Failed("crashed its reader")

    def close(self) -> None:
        """End all processes, whatever they are at."""
        self._pool.stop()
        self._pool.join()

    def _start(self) -> ProcessPool:
        return ProcessPool(self._workers, initializer=start_worker, context=self._context)

    def _restart(self) -> None:
        self.close()
        self._pool = self._start()


def _settle(task: _Task) -> None:
    """Wait until an item has an outcome.

    Raises:
        BrokenProcessPool: It will have none: its pool broke when it had not yet taken the item.
    """
    while not wait([task.future], _LOOK_S).done:
        if not task.pool.active and not wait([task.future], _LOOK_S).done:
            raise BrokenProcessPool


def _cause(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


@cache
def _context(module: str) -> BaseContext:
    """How processes start: from a server that has the heavy modules loaded, where the system has that.

    A plain fork of the caller would copy locks that its threads hold; a fresh interpreter a worker costs
    seconds of imports.

    Args:
        module: Where the function stands. Loaded too, unless the server runs already: it loads once.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED, module])
    with _single_threaded():
        forkserver.ensure_running()
    return context


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Give processes started inside a ``with`` block one arithmetic thread each: they share the cores."""
    before = {name: os.environ.get(name) for name in _THREAD_COUNTS}
    os.environ.update(dict.fromkeys(_THREAD_COUNTS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
