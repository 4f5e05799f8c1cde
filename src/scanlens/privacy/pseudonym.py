"""Patients' pseudonyms: a keyed hash, the same on every run, that nobody without the key can undo.

The key is a secret of the site. Without it the usual attack on a plain hash, hashing every hospital
number, gives nothing. HMAC-SHA256 as in RFC 2104.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from scanlens.errors import SettingsError

KEY_VARIABLE = "SCANLENS_KEY_FILE"
_KEY_BYTES = 32


def load_key() -> bytes:
    """Return the pseudonym key, made on first use and readable by its owner only.

    The file is the one the environment variable ``SCANLENS_KEY_FILE`` names, else
    ``~/.config/scanlens/pseudonym.key``.

    Raises:
        SettingsError: The file cannot be read or made, or holds no key.
    """
    path = key_file()
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The pseudonym key {path} cannot be used ({type(error).__name__}).",
            f"Set {KEY_VARIABLE} to a file that this user can read or make.",
        ) from error
    if len(key) < _KEY_BYTES:
        raise SettingsError(
            f"The pseudonym key {path} is too short: {len(key)} characters, {_KEY_BYTES} are needed.",
            "Restore the key the pseudonyms were made with, or delete the file to begin with a new one.",
        )
    return key.encode("ascii")


def pseudonym(patient: str, key: bytes) -> str:
    """Return ``p`` and the first 16 hexadecimal digits of HMAC-SHA256(key, patient).

    Surrounding blanks do not count. An unknown patient (an empty string) stays an empty string.
    """
    identifier = patient.strip()
    if not identifier:
        return ""
    return "p" + hmac.new(key, identifier.encode("utf-8"), hashlib.sha256).hexdigest()[:16]


def key_file() -> Path:
    """Return the place of the pseudonym key, whether there is one or not.

    Raises:
        SettingsError: Nothing says where, and this user has no home.
    """
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return Path(named)
    try:
        return Path.home() / ".config" / "scanlens" / "pseudonym.key"
    except RuntimeError as error:
        raise SettingsError(
            "This user has no home folder to keep the pseudonym key in.",
            f"Set {KEY_VARIABLE} to a file that this user can make.",
        ) from error


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        # A link, unlike a rename, never replaces the key another process has made meanwhile.
        if not path.exists():
            _link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
