"""What the engines share: what one item may cost, and what becomes of one that costs more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Limits:
    """What one item may cost.

    Attributes:
        seconds: Wall-clock time of one call.
        memory_mib: MiB of memory one call may take beyond what its idle process holds.
    """

    seconds: float
    memory_mib: int


@dataclass(frozen=True)
class Engine:
    """Where work runs.

    Attributes:
        kind: ``local`` for processes of this machine, ``ray`` for a Ray cluster.
        workers: Processes of this machine; 0 is the caller's own process, without limits. A cluster that
            runs already uses the cores it has.
        address: Of the Ray cluster; None starts one on this machine.
    """

    kind: Literal["local", "ray"]
    workers: int
    address: str | None


IN_PROCESS = Engine("local", 0, None)
"""The caller's own process, without limits."""


@dataclass(frozen=True)
class Failed:
    """Takes the place of the result of an item that hit a limit or ended its process.

    Attributes:
        reason: One line without the item's contents, e.g. ``took longer than 60 s``.
    """

    reason: str
