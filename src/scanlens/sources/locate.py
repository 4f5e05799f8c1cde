"""Finding one scan's file below the data root, and refusing everything that leads elsewhere."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from scanlens.errors import UnreadableScan

_REASONS = {
    errno.ENOENT: "file not found",
    errno.ENOTDIR: "file not found",
    errno.ELOOP: "a loop of symbolic links",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENAMETOOLONG: "the file name is too long",
}


def os_reason(error: OSError) -> str:
    """Put an operating system error into words that name no folder of this machine."""
    return _REASONS.get(error.errno or 0, f"the file cannot be read ({type(error).__name__})")


def printable(path: str, problem: str = "") -> tuple[str, str]:
    """A path as text any file format can hold, and why the scan can't be used where that changed it.

    File names are bytes; those that are not UTF-8 reach Python as lone surrogates, which no table stores.
    """
    text = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return text, problem if text == path else "the file name is not UTF-8"


def base_folder(root: Path) -> Path:
    """Return the folder that references are relative to: the root, or its parent where the root is a file.

    A MedMNIST root is the ``.npz`` file itself; its rows are named ``file.npz#train/12`` relative to the
    folder that holds it.
    """
    return root.parent if root.is_file() else root


def locate(root: Path, reference: str) -> Path:
    """Return the regular file a reference means, with every symbolic link followed.

    The file's kind is asked of the file system before anything is opened, so a pipe cannot block the run.

    Args:
        root: The data root (a folder, or a MedMNIST file).
        reference: A path relative to the root; an absolute one is accepted where it leads inside the root.

    Raises:
        UnreadableScan: The path is empty, leads outside the root, or is no regular readable file.
    """
    if not reference.strip():
        raise UnreadableScan(reference, "the path is empty")
    try:
        base = base_folder(root).resolve(strict=True)
        target = (base / reference).resolve()
        if not target.is_relative_to(base):
            raise UnreadableScan(reference, "outside the data root")
        kind = target.stat().st_mode
    except OSError as error:
        raise UnreadableScan(reference, os_reason(error)) from error
    except RuntimeError as error:  # Python below 3.13 reports a loop of links this way
        raise UnreadableScan(reference, _REASONS[errno.ELOOP]) from error
    except ValueError as error:  # a NUL byte in the name
        raise UnreadableScan(reference, "not a valid file name") from error
    if stat.S_ISDIR(kind):
        raise UnreadableScan(reference, "a folder, not a file")
    if not stat.S_ISREG(kind):
        raise UnreadableScan(reference, "not a regular file")
    return target


def problem_of(root: Path, reference: str) -> str:
    """Return why a reference cannot be used, or an empty string where its file is there."""
    try:
        locate(root, reference)
    except UnreadableScan as refused:
        return refused.reason
    return ""
