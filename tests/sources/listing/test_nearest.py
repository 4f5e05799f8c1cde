"""The one file that fits is found; several are named."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from scanlens.sources.listing.nearest import Nearest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    composed = "Müller né.png"
    for name in (
        "a.PNG",
        "b.png",
        "b.jpg",
        "b.json",
        "c.nii.gz",
        "d",
        "e.5",
        unicodedata.normalize("NFD", composed),
    ):
        path = tmp_path / "root" / "Img" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "secret.png").write_bytes(b"")
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("Img\\a.PNG", "Img/a.PNG"),
        ("img/a.png", "Img/a.PNG"),
        ("Img/a", "Img/a.PNG"),
        ("./Img/c", "Img/c.nii.gz"),
        ("Img/c.dcm", "Img/c.nii.gz"),
        ("Img/d.dcm", "Img/d"),
        ("Img/Müller né.png", unicodedata.normalize("NFD", "Img/Müller né.png")),
    ],
)
def test_the_one_that_fits(root: Path, path: str, found: str) -> None:
    assert Nearest(root).find(path) == (found, [])


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("Img/b", ["Img/b.jpg", "Img/b.png"]),
        ("Img/c.nii.gzz", ["Img/c.nii.gz"]),
        ("Img/nothing.png", []),
        ("../secret", []),
        ("/etc/hostnam", []),
        ("C:\\data\\a.PNG", []),
    ],
)
def test_else_the_nearest_names(root: Path, path: str, names: list[str]) -> None:
    assert Nearest(root).find(path) == ("", names)
