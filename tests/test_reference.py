"""Every reference has one way of being written, and reads back as what it was."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from scanlens.reference import Reference, parse_reference, relative_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b.dcm", Reference("a/b.dcm")),
        ("a/b.dcm#frame/3", Reference("a/b.dcm", frame=3)),
        ("a/folder#series/0123456789ab", Reference("a/folder", series="0123456789ab")),
        (".#series/0123456789ab", Reference(".", series="0123456789ab")),
        ("a/x.zip#member/in/y.dcm", Reference("a/x.zip", member="in/y.dcm")),
        ("a/x.zip#member/in/y.dcm#frame/0", Reference("a/x.zip", member="in/y.dcm", frame=0)),
        ("x.zip#member/a#member/b", Reference("x.zip", member="a#member/b")),
        ("x.zip#member/a#series/0123456789ab", Reference("x.zip", member="a#series/0123456789ab")),
        ("a/x.npz#train/12", Reference("a/x.npz", split="train", row=12)),
        ("a/x.NPZ#val/0", Reference("a/x.NPZ", split="val", row=0)),
        ("line\nbreak.zip#member/line\nbreak", Reference("line\nbreak.zip", member="line\nbreak")),
    ],
)
def test_there_and_back(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected
    assert str(expected) == text
    assert expected.is_part == ("#" in text)


@pytest.mark.parametrize(
    "text",
    [
        *("a#b.png", "a.png#frame/x", "a.png#frame/", "#frame/1", "a#series/0123", "a#series/0123456789AB"),
        *("a.npz#other/1", "a.png#train/1", "a.zip#member/", "a.npz#train/-1", ""),
    ],
)
def test_what_names_no_part_is_a_path(text: str) -> None:
    assert parse_reference(text) == Reference(text)
    assert not parse_reference(text).is_part


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("./a//b.png", "a/b.png"),
        ("/scans/a.zip#member/./b", "a.zip#member/./b"),
        ("/scans/a#series/0123456789ab", "a#series/0123456789ab"),
        ("/elsewhere/a.png", "/elsewhere/a.png"),
        ("../a.png", "../a.png"),
    ],
)
def test_paths_become_relative(text: str, expected: str) -> None:
    assert relative_reference(PurePosixPath("/scans"), text) == expected
