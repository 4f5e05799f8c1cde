"""Whatever a decoder raises, as a reason that quotes nothing of the file."""

from __future__ import annotations

import re

from pydicom.datadict import tag_for_keyword

from scanlens.sources.locate import os_reason

_CV_NO_MEMORY = -4  # cv2.error.code of StsNoMem
_ITK_FULL = "Failed to allocate memory"
_WORD = re.compile(r"[A-Za-z]+")


def reason_of(error: Exception) -> str:
    """Put what a decoder raised into words.

    Messages may quote patient data: only the error's type goes on and, of an element that is missing, its
    keyword in the standard.
    """
    if (
        isinstance(error, MemoryError)
        or getattr(error, "code", None) == _CV_NO_MEMORY
        or _ITK_FULL in str(error)
    ):
        return "needs more memory than there is"
    if isinstance(error, OSError) and error.errno is not None:
        return os_reason(error)
    if isinstance(error, (AttributeError, KeyError)) and (keyword := _element(str(error))):
        return f"{keyword} is missing"
    kind = type(error)
    # zlib, struct and OpenCV all call theirs "error".
    name = f"{kind.__module__}.{kind.__name__}" if kind.__name__ == "error" else kind.__name__
    return f"truncated or corrupt ({name})"


def _element(message: str) -> str:
    """Return the one DICOM keyword that a message names, with or without spaces; else nothing."""
    quoted = re.findall(r"'([^']*)'", message)
    keywords = {"".join(_WORD.findall(name)) for name in quoted}
    found = [keyword for keyword in keywords if tag_for_keyword(keyword) is not None]
    return found[0] if len(found) == 1 else ""
