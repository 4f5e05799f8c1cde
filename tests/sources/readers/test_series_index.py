"""Series are found once for a folder or archive, and anew where a file has changed."""

from __future__ import annotations

import hashlib
import hmac
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scanlens.privacy.pseudonym import load_key
from scanlens.sources.readers import series_index as module
from scanlens.sources.readers.series_index import archive_series, folder_series
from tests.helpers.dicom import ct_slice, dataset, save

ACROSS = (1, 0, 0, 0, 1, 0)


def write_series(folder: Path, series: int, slices: int = 3) -> list[Path]:
    """Slices of 6 x 6 pixels, 5 mm apart, whose values are ``100 * series + number``."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        save(
            folder,
            ct_slice(
                np.full((6, 6), 100 * series + number, np.uint16),
                (0, 0, 5 * number),
                ACROSS,
                100 * series + number,
                SeriesInstanceUID=f"1.2.3.{series}",
            ),
            f"{series}-{number}",
        )
        for number in range(slices)
    ]


def test_files_by_series(tmp_path: Path) -> None:
    first, second = write_series(tmp_path / "a", 1), write_series(tmp_path / "a", 2)
    write_series(tmp_path / "a", 3, slices=1)
    save(tmp_path / "a", dataset(np.zeros((4, 5, 6), np.uint16), SeriesInstanceUID="1.2.3.1"), "frames")
    (tmp_path / "a" / "notes.txt").write_text("no DICOM")
    write_series(tmp_path / "a" / "deeper", 1)
    (tmp_path / "a" / ".1-9").write_bytes(first[0].read_bytes())
    found = folder_series(tmp_path, "a")
    names = [[path.relative_to(tmp_path).as_posix() for path in paths] for paths in (first, second)]
    assert sorted(list(one.names) for one in found.values()) == names
    (name,) = (name for name, one in found.items() if list(one.names) == names[1])
    assert name == hmac.new(load_key(), b"1.2.3.2", hashlib.sha256).hexdigest()[:12]


def test_links_that_lead_out_do_not_count(tmp_path: Path) -> None:
    inside = write_series(tmp_path / "root" / "a", 1)
    (outside,) = write_series(tmp_path / "elsewhere", 1, slices=1)
    (tmp_path / "root" / "a" / "link").symlink_to(outside)
    (tmp_path / "root" / "a" / "loop").symlink_to("loop")
    (found,) = folder_series(tmp_path / "root", "a").values()
    assert [tmp_path / "root" / name for name in found.names] == inside


def test_a_folder_outside_is_not_looked_into(tmp_path: Path) -> None:
    write_series(tmp_path / "elsewhere", 1)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert folder_series(tmp_path / "root", "link") == {}


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "a", 1)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in (tmp_path / "a").iterdir():
            archive.write(path, path.name)
    calls = []
    grouped = module.group_slices
    monkeypatch.setattr(module, "group_slices", lambda *given: calls.append(1) or grouped(*given))
    for _ in range(3):
        folder_series(tmp_path, "a")
        archive_series(tmp_path / "x.zip", "x.zip")
    assert len(calls) == 2
    write_series(tmp_path / "a", 2)
    assert len(folder_series(tmp_path, "a")) == 2
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        for path in (tmp_path / "a").glob("2-*"):
            archive.write(path, f"deep/{path.name}")
    found = archive_series(tmp_path / "x.zip", "x.zip")
    assert {len(one.names) for one in found.values()} == {3}
    assert found.keys() == folder_series(tmp_path, "a").keys()
