"""A file that bears a published name is compared with the published sum."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scanlens.acquire import medmnist_sums
from scanlens.acquire.medmnist_sums import PUBLISHED, altered_copy


def test_all_sums_are_there() -> None:
    flat = {name for name in PUBLISHED if "3d" not in name}
    # 12 flat sets in four sizes, six of volumes in two.
    assert len(flat) == 12 * 4
    assert len(PUBLISHED) - len(flat) == 6 * 2
    assert all(re.fullmatch(r"[0-9a-f]{32}", value) for value in PUBLISHED.values())
    assert len(set(PUBLISHED.values())) == len(PUBLISHED)


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "medmnist"
    assert altered_copy(folder / "adrenalmnist3d.npz") == ""
    assert "pneumoniamnist.npz is an altered copy" in altered_copy(folder / "pneumoniamnist.npz")


def test_known_names_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sum_of_abc = "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321
    monkeypatch.setattr(medmnist_sums, "PUBLISHED", {"mine_64": sum_of_abc})
    for name, content, altered in (
        ("mine_64", b"abc", False), ("MINE_64", b"abd", True), ("other", b"abd", False)
    ):  # fmt: skip
        (tmp_path / f"{name}.npz").write_bytes(content)
        assert bool(altered_copy(tmp_path / f"{name}.npz")) == altered
