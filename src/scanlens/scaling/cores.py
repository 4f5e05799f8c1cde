"""How many processes this machine can keep busy; no framework is asked."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Cores this process may use (its CPU affinity; a container's CPU quota does not show there)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
