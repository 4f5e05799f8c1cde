"""One function over many items, on this machine or a cluster: same results, same order.

A scan may crash its decoder, never end, or ask for all memory there is. So each item runs in a process of
its own kind under limits, and what it does to that process befalls no other item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from scanlens.config.schema import Runtime
from scanlens.scaling.cores import available_cores
from scanlens.scaling.limits import IN_PROCESS, Engine, Failed, Limits

__all__ = ["IN_PROCESS", "Engine", "Failed", "Limits", "engine_of", "map_ordered"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def engine_of(runtime: Runtime) -> Engine:
    """Return the engine that the settings ask for, ``auto`` resolved to one process a core."""
    workers = available_cores() if runtime.workers == "auto" else int(runtime.workers)
    return Engine(runtime.engine, workers, runtime.address)


def map_ordered(
    function: Callable[[_T], _R],
    items: Iterable[_T],
    *,
    engine: Engine,
    limits: Limits | None = None,
    total: int | None = None,
) -> Iterator[_R | Failed]:
    """Yield the function's result for each item, in the order of the items.

    Items are taken and results kept a few a worker ahead of the caller, so memory does not grow with their
    number. A function that ran for an item whose node or process died runs again: it must not mind.

    Args:
        function: Of one argument; picklable, as are items and results.
        items: What to call it with.
        engine: Where. Without workers the function runs in this process and nothing is limited.
        limits: Of each call; None limits nothing, but a crash still costs its own item only.
        total: Number of items, where it is known: no more processes than that are started.

    Yields:
        The result, or :class:`Failed` for an item that hit a limit or ended its process.

    Raises:
        SettingsError: The engine is not installed or does not answer.
        Exception: The first (in order) that the function raised.
    """
    if engine.workers == 0:
        yield from map(function, items)
        return
    workers = min(engine.workers, total) if total else engine.workers
    if engine.kind == "ray":
        from scanlens.scaling.ray_engine import map_on_ray

        yield from map_on_ray(function, items, engine, limits)
    else:
        from scanlens.scaling.local import map_in_processes

        yield from map_in_processes(function, items, workers, limits)
