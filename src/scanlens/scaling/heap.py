"""How the C library treats freed memory: decoders of large pictures lose a quarter of their time to it.

By default glibc gives arrays of some MiB back to the system when they are freed and asks for them again for
the next scan; the kernel then clears every page anew. A network's feature maps of some ten MiB each come and
go with every layer, and clearing them takes a good part of a training step.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""The options' numbers in ``malloc.h``."""
_KEPT_BYTES = 128 << 20
"""Free memory at the end of the heap from which some is given back."""
_MAPPED_BYTES = 32 << 20
"""Size from which an array is mapped by itself and given back when freed; the most that glibc takes."""
_ALL_KEPT_BYTES = 2**31 - 1
"""The same as ``_KEPT_BYTES`` for a process that computes with a network; the most that mallopt takes."""


def set_malloc(*values: tuple[int, int]) -> None:
    """Set options of glibc's malloc, pairs of number and value; another C library is left alone."""
    if sys.platform != "linux":
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        for option, value in values:
            set_option(option, value)


@cache
def keep_freed_memory() -> None:
    """Let this process use freed memory again instead of giving it back; does nothing without glibc."""
    set_malloc((MMAP_THRESHOLD, _MAPPED_BYTES), (TRIM_THRESHOLD, _KEPT_BYTES))


def keep_feature_maps() -> None:
    """The same for arrays of any size: for the process that computes with a network on its processor.

    What is kept was in use at once before; gaps between arrays may cost a few percent of the peak more.
    """
    set_malloc((MMAP_MAX, 0), (TRIM_THRESHOLD, _ALL_KEPT_BYTES))
