"""Aliases say nothing, and only who has the book beside the key gets back."""

from __future__ import annotations

import json
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from scanlens.errors import SettingsError, UnreadableScan
from scanlens.privacy.aliases import alias_of, book_path, is_alias, record_aliases, resolve_alias
from scanlens.privacy.pseudonym import load_key

KEY = b"k" * 64


@pytest.mark.parametrize(
    ("reference", "ending"),
    [
        ("Doe/scan.DCM", ".dcm"),
        ("Doe/scan.nii.gz", ".nii.gz"),
        ("scan.Doe", ""),
        ("Doe", ""),
        ("Doe#series/0123456789ab", ""),
        ("Doe.zip#member/Roe/a.png", ".png"),
        ("Doe.dcm#frame/3", ".dcm"),
        ("Doe.npz#train/3", ".npz"),
    ],
)
def test_the_ending_is_kept_where_it_names_a_kind_of_file(reference: str, ending: str) -> None:
    alias = alias_of(reference, KEY)
    assert is_alias(alias)
    assert alias[17:] == ending
    assert alias == alias_of(reference, KEY)
    assert alias != alias_of(reference, b"x" * 64)
    assert alias[:17] != alias_of(reference + "x", KEY)[:17]


def test_nothing_else_is_an_alias() -> None:
    for text in ("", "a.png", "@a.png", "@0123456789ABCDEF.png", "@0123456789abcdef/a", "x@0123456789abcdef"):
        assert not is_alias(text)
        assert resolve_alias(text) == text
    assert alias_of("", KEY) == ""


def test_the_book_is_private_grows_and_leads_back() -> None:
    first = record_aliases(["a.png", "", "b.png"], load_key())
    second = record_aliases(["b.png", "Doe/ü.png"], load_key())
    assert first["b.png"] == second["b.png"]
    assert "" not in first
    for reference, alias in (first | second).items():
        assert resolve_alias(alias) == reference
    assert book_path().stat().st_mode & 0o777 == 0o600
    assert len(json.loads(book_path().read_text())) == 3
    beside = {path.name: path.stat().st_mode & 0o777 for path in book_path().parent.iterdir()}
    book = "pseudonym.aliases.json"
    assert beside == {"pseudonym.key": 0o600, book: 0o600, f"{book}.lock": 0o600}


def _record(name: str, both: Barrier) -> None:
    both.wait(60)
    for number in range(40):
        record_aliases([f"{name}/{number}.png"], KEY)


def test_two_processes_lose_none_of_each_others_entries() -> None:
    record_aliases([f"first/{number}.png" for number in range(2000)], KEY)
    spawn = multiprocessing.get_context("spawn")
    both = spawn.Barrier(2)
    writers = [spawn.Process(target=_record, args=(name, both)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(json.loads(book_path().read_text())) == 2080


def test_without_the_book_and_without_the_entry() -> None:
    alias = alias_of("Doe.png", load_key())
    with pytest.raises(SettingsError, match=r"is an alias.*missing.*Restore it.*acquire"):
        resolve_alias(alias)
    record_aliases(["a.png"], load_key())
    with pytest.raises(UnreadableScan, match="does not know this alias"):
        resolve_alias(alias)


@pytest.mark.parametrize("content", ["not json", "[]", '{"@0123456789abcdef": 1}', "\ufffd"])
def test_a_damaged_book_is_kept_and_named(content: str) -> None:
    book_path().write_text(content)
    with pytest.raises(SettingsError, match="book of aliases"):
        resolve_alias("@0123456789abcdef.png")
    with pytest.raises(SettingsError, match="book of aliases"):
        record_aliases(["a.png"], load_key())
    assert book_path().read_text() == content


def test_a_book_that_cannot_be_written(key_file: Path) -> None:
    key = load_key()
    book_path().mkdir()
    with pytest.raises(SettingsError, match="cannot be used"):
        record_aliases(["a.png"], key)
