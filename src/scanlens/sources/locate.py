"""Finding one scan's file below the data root, and refusing everything that leads elsewhere."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from scanlens.errors import UnreadableScan
from scanlens.privacy.aliases import is_alias
from scanlens.reference import parse_reference

NOT_FOUND = "file not found"
_REASONS = {
    errno.ENOENT: NOT_FOUND,
    errno.ENOTDIR: NOT_FOUND,
    errno.ELOOP: "a loop of symbolic links",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENAMETOOLONG: "the file name is too long",
    errno.ENOSPC: "no space left on the disk for what is unpacked",
}
OUTSIDE = "outside the data root"
A_FOLDER = "a folder, not a file"


def os_reason(error: OSError) -> str:
    """Put an operating system error into words that name no folder of this machine."""
    return _REASONS.get(error.errno or 0, f"the file cannot be read ({type(error).__name__})")


def printable(path: str, problem: str = "") -> tuple[str, str]:
    """A path as text any file format can hold, and why the scan can't be used where that changed it.

    File names are bytes; those that are not UTF-8 reach Python as lone surrogates, which no table stores.
    A name that reads as a part of another file, or as an alias, would be looked for there.
    """
    text = path.encode("utf-8", "backslashreplace").decode("utf-8")
    if text != path:
        return text, problem or "the file name is not UTF-8"
    if parse_reference(path).is_part or is_alias(path):
        return text, problem or "the file name reads as a part of another file: rename it"
    return text, problem


def base_folder(root: Path) -> Path:
    """Return the folder that references are relative to: the root, or its parent where the root is a file.

    A MedMNIST root is the ``.npz`` file itself; its rows are named ``file.npz#train/12`` relative to the
    folder that holds it.
    """
    return root.parent if root.is_file() else root


def locate(root: Path, path: str, *, folder: bool = False) -> Path:
    """Return the regular file a path means, with every symbolic link followed.

    The file's kind is asked of the file system before anything is opened, so a pipe cannot block the run.

    Args:
        root: The data root (a folder, or a MedMNIST file).
        path: Relative to the root, without any ``#`` part; an absolute one is accepted where it leads
            inside the root.
        folder: Whether a folder is welcome as well.

    Raises:
        UnreadableScan: The path is empty, leads outside the root, or is no regular readable file.
    """
    if not path.strip():
        raise UnreadableScan(path, "the path is empty")
    try:
        base = base_folder(root).resolve(strict=True)
        target = (base / path).resolve()
        if not target.is_relative_to(base):
            raise UnreadableScan(path, OUTSIDE)
        kind = target.stat().st_mode
    except OSError as error:
        raise UnreadableScan(path, os_reason(error)) from error
    except RuntimeError as error:  # Python below 3.13 reports a loop of links this way
        raise UnreadableScan(path, _REASONS[errno.ELOOP]) from error
    except ValueError as error:  # a NUL byte in the name
        raise UnreadableScan(path, "not a valid file name") from error
    if stat.S_ISDIR(kind):
        if not folder:
            raise UnreadableScan(path, A_FOLDER)
        return target
    if not stat.S_ISREG(kind):
        raise UnreadableScan(path, "not a regular file")
    return target
