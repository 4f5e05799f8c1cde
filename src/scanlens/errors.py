"""Every exception scanlens raises on purpose. The command line prints their text and nothing else."""

from __future__ import annotations


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
