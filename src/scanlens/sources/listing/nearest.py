"""The file that a table means where it spells the path in another way than the disk does."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from scanlens.privacy.aliases import ENDINGS
from scanlens.sources.locate import printable

_CLOSE = 0.8
_SEARCHES = 5
"""Names that are compared letter by letter with every file of a folder: it takes long where both are many."""
_MOST = 3


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _folded(name: str) -> str:
    return _composed(name).casefold()


def _stem(name: str) -> str:
    folded = _folded(name)
    ending = next((ending for ending in ENDINGS if folded.endswith(ending)), "")
    return folded.removesuffix(ending)


_FOLDER_STEPS: tuple[Callable[[str], str], ...] = (_composed, _folded)
_FILE_STEPS = (*_FOLDER_STEPS, _stem)


@dataclass
class Nearest:
    """Finds files below a data root by their nearly right paths; folders are read once.

    Attributes:
        base: The data root, a real path.
    """

    base: Path
    _names: dict[PurePosixPath, dict[str, None]] = field(default_factory=dict)
    _by_step: dict[tuple[PurePosixPath, int], dict[str, list[str]]] = field(default_factory=dict)
    _searches: int = 0

    def find(self, path: str) -> tuple[str, list[str]]:
        """Find the one file or folder that fits a path.

        Tried in this order, each part of the path by itself: as it is but for backslashes, in the other
        Unicode form, in other case, and for its last part with another ending of an image or with none.

        Args:
            path: Relative to the root; it leads to no file as it is.

        Returns:
            The path of the one that fits, or nothing; and otherwise the nearest names, if any.
        """
        if PureWindowsPath(path).anchor:
            return "", []
        parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
        here = PurePosixPath()
        for number, part in enumerate(parts):
            fits = self._fits(here, part, _FILE_STEPS if number == len(parts) - 1 else _FOLDER_STEPS)
            if len(fits) != 1:
                return "", [(here / name).as_posix() for name in (fits or self._close(here, part))[:_MOST]]
            here /= fits[0]
        return here.as_posix(), []

    def _fits(self, folder: PurePosixPath, part: str, steps: tuple[Callable[[str], str], ...]) -> list[str]:
        names = self._in(folder)
        if part in names:
            return [part]
        for number, step in enumerate(steps):
            if (folder, number) not in self._by_step:
                known = self._by_step[folder, number] = {}
                for name in names:
                    known.setdefault(step(name), []).append(name)
            if fits := self._by_step[folder, number].get(step(part)):
                return fits
        return []

    def _close(self, folder: PurePosixPath, part: str) -> list[str]:
        self._searches += 1
        if self._searches > _SEARCHES:
            return []
        return difflib.get_close_matches(part, self._in(folder), n=_MOST, cutoff=_CLOSE)

    def _in(self, folder: PurePosixPath) -> dict[str, None]:
        """The sorted names in a folder that a listing can hold, to be looked up; none outside the root."""
        if folder not in self._names:
            try:
                real = (self.base / folder).resolve()
                names = sorted(os.listdir(real)) if real.is_relative_to(self.base) else []
            except (OSError, RuntimeError):
                names = []
            self._names[folder] = dict.fromkeys(name for name in names if name == printable(name)[0])
        return self._names[folder]
