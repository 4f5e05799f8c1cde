"""Pseudonyms are a keyed hash, and the key stays private."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from scanlens.errors import SettingsError
from scanlens.privacy.pseudonym import KEY_VARIABLE, load_key, pseudonym


def test_is_hmac_sha256() -> None:
    expected = hmac.new(b"key", b"Doe^Jane", hashlib.sha256).hexdigest()[:16]
    assert pseudonym(" Doe^Jane ", b"key") == f"p{expected}"


def test_depends_on_the_key_and_the_patient() -> None:
    assert len({pseudonym(p, k) for p in ("1", "2") for k in (b"a", b"b")}) == 4


def test_unknown_stays_unknown() -> None:
    assert pseudonym("  ", b"key") == ""


def test_key_is_made_once_and_private(key_file: Path) -> None:
    key = load_key()
    assert load_key() == key
    assert len(key) == 64
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert list(key_file.parent.iterdir()) == [key_file]


def test_key_lies_in_the_home_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    load_key()
    assert (tmp_path / ".config" / "scanlens" / "pseudonym.key").is_file()


def test_damaged_key_is_refused(key_file: Path) -> None:
    key_file.write_text("short")
    with pytest.raises(SettingsError, match="too short: 5 characters"):
        load_key()


def test_key_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "file" / "key"))
    with pytest.raises(SettingsError, match=KEY_VARIABLE):
        load_key()
