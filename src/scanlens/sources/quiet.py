"""Keeping the decoders silent: their warnings quote file contents, and those may name a patient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "libjpeg", "rle", "nibabel", "nibabel.global", "PIL")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the decoding libraries' warnings and log lines for the length of a ``with`` block."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
