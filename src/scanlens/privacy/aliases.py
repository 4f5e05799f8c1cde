"""Aliases: names of scans that say nothing, for archives whose file or folder names hold patients' names.

An alias is ``@``, the first 16 hexadecimal digits of a keyed hash of the reference, and the ending of a kind
of file. The book from aliases to references is private: it lies beside the pseudonym key and outlives runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from scanlens.atomic import replacing
from scanlens.errors import SettingsError, UnreadableScan
from scanlens.privacy.pseudonym import key_file
from scanlens.reference import parse_reference

_ALIAS = re.compile(r"@[0-9a-f]{16}(\.[a-z0-9.]{1,8})?")
ENDINGS = (
    *(".nii.gz", ".nii", ".dcm", ".dicom", ".ima", ".nrrd", ".mha", ".mhd", ".npz", ".zip"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"),
)
"""Endings of files that hold scans. An alias keeps no other one: it may be a name."""
_PURPOSE = b"alias\0"  # keeps these hashes apart from patients' pseudonyms, made with the same key


def book_path() -> Path:
    """The book's place: beside the pseudonym key."""
    key = key_file()
    return key.with_name(f"{key.stem}.aliases.json")


def is_alias(reference: str) -> bool:
    """Tell whether a reference has the form of an alias."""
    return _ALIAS.fullmatch(reference) is not None


def alias_of(reference: str, key: bytes) -> str:
    """Return the alias of a reference; of an empty one nothing."""
    if not reference:
        return ""
    parts = parse_reference(reference)
    file = (parts.member or parts.path).lower()
    ending = next((ending for ending in ENDINGS if file.endswith(ending)), "")
    digest = hmac.new(key, _PURPOSE + reference.encode("utf-8"), hashlib.sha256).hexdigest()
    return f"@{digest[:16]}{ending}"


def record_aliases(references: Iterable[str], key: bytes) -> dict[str, str]:
    """Add references to the book, also while other processes do.

    Args:
        references: As :mod:`scanlens.reference` describes them.
        key: The pseudonym key.

    Returns:
        The alias of each reference.

    Raises:
        SettingsError: The book cannot be read or written.
    """
    aliases = {reference: alias_of(reference, key) for reference in references if reference}
    path = book_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            book = dict(_load(path)) if path.exists() else {}
            book |= {alias: reference for reference, alias in aliases.items()}
            _replace(path, book)
    except OSError as error:
        raise _unusable(path, error) from error
    return aliases


def resolve_alias(reference: str) -> str:
    """Return what an alias stands for, and any other reference as it is.

    Raises:
        SettingsError: There is no book beside the pseudonym key, or it is damaged.
        UnreadableScan: The book does not know this alias.
    """
    if not is_alias(reference):
        return reference
    path = book_path()
    if not path.exists():
        raise SettingsError(
            f"{reference} is an alias, and its book {path} is missing.",
            "Restore it with the pseudonym key, or run acquire again on this machine.",
        )
    known = _load(path)
    if reference not in known:
        raise UnreadableScan(reference, "the book beside the pseudonym key does not know this alias")
    return known[reference]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other writers of the book waiting; the lock is a file of its own, as the book is replaced."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _load(path: Path) -> Mapping[str, str]:
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, modified_ns: int, size: int) -> Mapping[str, str]:
    """Read the book; ``modified_ns`` and ``size`` belong to the cache's key."""
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    if not isinstance(book, dict) or not all(isinstance(value, str) for value in book.values()):
        raise _unusable(path, TypeError())
    return book


def _unusable(path: Path, error: Exception) -> SettingsError:
    return SettingsError(
        f"The book of aliases {path} cannot be used ({type(error).__name__}).",
        "Restore it from a copy, or move it away and run acquire again.",
    )


def _replace(path: Path, book: Mapping[str, str]) -> None:
    """Write the book for its owner's eyes only, whole or not at all."""
    with replacing(path) as draft:
        draft.touch(mode=0o600)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(book, file, ensure_ascii=False, indent=0, sort_keys=True)
