"""Keeping the decoders silent: their warnings quote file contents, and those may name a patient."""

from __future__ import annotations

import ctypes
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import PIL

_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "libjpeg", "rle", "nibabel", "nibabel.global", "PIL")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the decoding libraries' warnings and log lines for the length of a ``with`` block."""
    if _is_quiet():
        # Inside another such block: a loop over many scans pays for the change once.
        yield
        return
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


def _is_quiet() -> bool:
    first = warnings.filters[0] if warnings.filters else None
    silent = logging.getLogger(_LOGGERS[0]).level > logging.CRITICAL
    return silent and first is not None and first[:3] == ("ignore", None, Warning)


@cache
def quiet_tiff() -> None:
    """Take the messages about damaged TIFF files off this process's error output, once and for good.

    libtiff writes them there itself, past Python. Turning the output aside would turn aside whatever else the
    process says meanwhile; so the libtiff that Pillow's wheel brings along is told to call no handler, as
    its interface provides (``TIFFSetErrorHandler(NULL)``). A Pillow built otherwise keeps its messages.
    """
    for library in (Path(PIL.__file__).parent.parent / "pillow.libs").glob("libtiff*"):
        # Pillow has loaded this very file: the handle is to the same library, not to another copy.
        loaded = ctypes.CDLL(str(library))
        for setter in (loaded.TIFFSetErrorHandler, loaded.TIFFSetWarningHandler):
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)
