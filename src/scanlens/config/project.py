"""Where the project is: above the folder that a command runs in, or behind a copy that DVC made of it."""

from __future__ import annotations

from pathlib import Path

from scanlens.errors import SettingsError

_MARKS = ("dvc.yaml", "conf/config.yaml")


def find_project(folder: Path) -> Path:
    """The nearest folder, this one or above it, that holds a project.

    Raises:
        SettingsError: There is none.
    """
    folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).is_file() for mark in _MARKS):
            return candidate
    raise SettingsError(
        f"There is no project here or above: {' or '.join(_MARKS)} is missing.",
        "Run this in the project's folder.",
    )


def original_project(folder: Path) -> Path:
    """The project that a folder is a copy of, where DVC made it for ``--temp`` or ``--queue``; else itself.

    What outlives a run and is no output of it, such as the store of runs, belongs to the original.
    """
    folder = folder.absolute()
    for parent in folder.parents:
        # DVC's copies lie in <project>/.dvc/tmp/exps/.
        if folder.is_relative_to(parent / ".dvc" / "tmp" / "exps"):
            return parent
    return folder
