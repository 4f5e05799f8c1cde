"""Every exception scanlens raises on purpose. The command line prints their text and nothing else."""

from __future__ import annotations

import errno
from typing import Literal

TERMINATED = 143
"""Exit code of a stage that SIGTERM ended: that of a shell, 128 and the signal's number."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SIGNS: dict[Literal["disk", "memory"], tuple[str, ...]] = {
    "disk": ("no space left on device",),
    "memory": ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory",
               "bad_alloc"),
}  # fmt: skip
"""What libraries say that have no exception of their own for it (torch, safetensors)."""


class ScanlensError(Exception):
    """Something was refused, with a reason a person can act on.

    Args:
        what: One line: what was expected, what came, and where.
        remedy: What to do about it; printed after the reason.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy


class SettingsError(ScanlensError):
    """A setting, a label table or a folder named by the settings is wrong: stop before any work."""


class UnreadableScan(ScanlensError):
    """One scan cannot be used. Callers quarantine it with the reason and go on with the rest.

    Args:
        path: The scan as its user names it (a path relative to the data root).
        reason: Why, in one line without patient data.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableScan], tuple[str, str]]:
        """Come back from another process as what it was."""
        return type(self), (self.path, self.reason)


class BundleError(ScanlensError):
    """A model bundle is incomplete, altered or of a version this scanlens cannot run."""


def shortage(error: BaseException) -> Literal["disk", "memory"] | None:
    """What has run out where an exception means that; None for any other exception.

    Args:
        error: Also one whose cause tells, as when a library hides the system's number in a chain.
    """
    # The second is torch's, which this module does not import.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "memory"
    if isinstance(error, OSError) and error.errno is not None:
        return "disk" if error.errno in _FULL else "memory" if error.errno == errno.ENOMEM else None
    text = str(error).lower()
    for what, signs in _SIGNS.items():
        if any(sign in text for sign in signs):
            return what
    cause = error.__cause__ or error.__context__
    return None if cause is None else shortage(cause)


def system_line(error: Exception, less: str) -> str | None:
    """What the machine refused, in one line; None for any other exception.

    Args:
        error: What was raised.
        less: What to lower where memory gives out, e.g. ``--batch-size``.
    """
    what = shortage(error)
    if what == "disk":
        return "there is no room left on the disk. Make room and run the same command again."
    if what == "memory":
        return f"out of memory. Free some, or lower {less}, and run the same command again."
    if not isinstance(error, OSError) or error.errno is None:
        return None
    reason = f"{(error.strerror or type(error).__name__).lower()}."
    return f"{error.filename}: {reason}" if error.filename is not None else reason
