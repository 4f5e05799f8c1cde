"""Archives are strangers': only files asked for leave them, of bounded size, into a private folder."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scanlens.errors import UnreadableScan
from scanlens.sources.readers import archive as module
from scanlens.sources.readers.archive import (
    is_archive,
    list_members,
    scratch_folder,
    unpacked,
    unpacked_heads,
)

NOISE = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where things are unpacked; every test must leave it empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    # For other processes.
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def pack(
    path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content, compress_type=method)
    return path


def reasons(path: Path) -> dict[str, str]:
    return dict(list_members(path, path.name))


def test_members_without_what_is_no_scan(tmp_path: Path) -> None:
    names = ("b/1.dcm", "a.dcm", "b/", ".hidden", "__MACOSX/a.dcm", "b/.git/x", "Thumbs.db", "DICOMDIR")
    path = pack(tmp_path / "x.zip", *((name, b"") for name in names))
    assert reasons(path) == {"a.dcm": "", "b/1.dcm": ""}


def test_backslashes_between_folders_are_read(tmp_path: Path, temporary: Path) -> None:
    path = pack(tmp_path / "x.zip", ("study\\1.png", b"1"), ("study\\2.png", b"2"), ("thumbs.DB", b""))
    assert reasons(path) == {"study/1.png": "", "study/2.png": ""}
    with unpacked(path, ["study/2.png"], "x.zip") as files:
        assert files[0].read_bytes() == b"2"


def test_only_what_is_asked_for_is_unpacked_under_other_names(tmp_path: Path, temporary: Path) -> None:
    path = pack(tmp_path / "x.zip", ("in/Doe^Jane.nii.gz", NOISE), ("b.png", b"b"), ("c", b"c"))
    with unpacked(path, ["c", "in/Doe^Jane.nii.gz"], "x.zip") as files:
        assert [file.name for file in files] == ["000000", "000001.nii.gz"]
        assert [file.read_bytes() for file in files] == [b"c", NOISE]
        assert sorted(temporary.rglob("0*")) == sorted(files)
        assert files[0].is_relative_to(temporary)
    assert list(temporary.iterdir()) == []


def test_heads_are_cut_and_damaged_members_left_out(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", ("a", NOISE), ("b", b"short"), method=zipfile.ZIP_STORED)
    heads = {name: file.read_bytes() for name, file in unpacked_heads(path, 1000, "x.zip")}
    assert heads == {"a": NOISE[:1000], "b": b"short"}
    path.write_bytes(path.read_bytes().replace(b"short", b"shirt"))
    assert [name for name, _ in unpacked_heads(path, 1000, "x.zip")] == ["a"]


def test_only_one_head_lies_on_the_disk_at_a_time(tmp_path: Path, temporary: Path) -> None:
    path = pack(tmp_path / "x.zip", *((f"{number}.dcm", NOISE) for number in range(5)))
    seen = 0
    for _, file in unpacked_heads(path, 1000, "x.zip"):
        seen += 1
        assert list(temporary.rglob("0*")) == [file]
    assert seen == 5
    assert list(temporary.iterdir()) == []


def _link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("link.png")
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("name", "content", "method", "reason"),
    [
        ("../a.png", b"a", 8, "its name leads outside"),
        ("in/../../a.png", b"a", 8, "its name leads outside"),
        ("/etc/a.png", b"a", 8, "its name leads outside"),
        ("in\\..\\..\\a.png", b"a", 8, "its name leads outside"),
        (_link(), b"/etc/passwd", 8, "a link or device"),
        ("zeros", bytes(5_000_000), 8, "far more than scans do"),
        ("packed", b"a" * 100, zipfile.ZIP_BZIP2, "packed by a method"),
        ("packed", b"a" * 100, zipfile.ZIP_LZMA, "packed by a method"),
    ],
)
def test_members_that_are_refused(
    tmp_path: Path, temporary: Path, name: str | zipfile.ZipInfo, content: bytes, method: int, reason: str
) -> None:
    path = pack(tmp_path / "x.zip", (name, content), method=method)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("good", NOISE)  # else the archive as a whole would be the bomb
    told = reasons(path)
    bad = next(member for member in told if member != "good")
    assert reason in told[bad]
    assert told["good"] == ""
    with pytest.raises(UnreadableScan, match=reason), unpacked(path, ["good", bad], "x.zip"):
        pytest.fail("unpacked")
    assert list(temporary.iterdir()) == []


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", ("a", b"aaaa"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert reasons(path) == {"a": "encrypted: unpack the archive with its password first"}


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = pack(tmp_path / "x.zip", ("a", b"1"), ("a", b"2"))
    assert reasons(path) == {"a": "its name occurs twice in the archive"}


def test_a_bomb_of_many_members_is_refused_whole(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", *((f"{number}", bytes(1 << 20)) for number in range(40)))
    with pytest.raises(UnreadableScan, match="unpacks to far more than scans do"):
        list_members(path, "x.zip")


def test_a_size_that_lies_is_found_out(tmp_path: Path, temporary: Path) -> None:
    path = pack(tmp_path / "x.zip", ("a", NOISE))
    content = path.read_bytes()
    size = len(NOISE).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(UnreadableScan, match=r"damaged file in the archive"), unpacked(path, ["a"], "x.zip"):
        pytest.fail("unpacked")
    assert list(temporary.iterdir()) == []


def test_more_than_the_limit_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNPACKED", 4_000_000)
    path = pack(tmp_path / "x.zip", ("a", NOISE), ("b", NOISE))
    with unpacked(path, ["a"], "x.zip"):
        pass
    with pytest.raises(UnreadableScan, match="unpacks to more than"), unpacked(path, ["a", "b"], "x.zip"):
        pytest.fail("unpacked")


@pytest.mark.parametrize("tenth", range(1, 10))
def test_truncated(tmp_path: Path, tenth: int) -> None:
    path = pack(tmp_path / "x.zip", ("a", b"a" * 99), ("b", b"b" * 99))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * tenth // 10])
    with pytest.raises(UnreadableScan, match=r"^x\.zip: a damaged zip archive"):
        list_members(path, "x.zip")


def test_each_flipped_byte_ends_in_content_or_a_reason(tmp_path: Path, temporary: Path) -> None:
    whole = pack(tmp_path / "x.zip", ("a.png", b"a" * 40), ("b/c.png", b"b" * 40)).read_bytes()
    told: list[str] = []
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 0xFF
        path = tmp_path / f"{place}.zip"
        path.write_bytes(content)
        try:
            names = [name for name, problem in list_members(path, "x").items() if not problem]
            with unpacked(path, names, "x") as files:
                assert all(file.stat().st_size <= 40 for file in files)
        except UnreadableScan as refused:
            told.append(refused.reason)
    assert min(map(len, told)) > 5
    assert list(temporary.iterdir()) == []


def test_documents_and_empty_archives(tmp_path: Path) -> None:
    sheet = pack(tmp_path / "x.xlsx", ("[Content_Types].xml", b""), ("xl/a.xml", b""))
    empty = pack(tmp_path / "e.zip")
    assert is_archive(sheet.read_bytes())
    assert is_archive(empty.read_bytes())
    with pytest.raises(UnreadableScan, match="a document"):
        list_members(sheet, "x.xlsx")
    with pytest.raises(UnreadableScan, match="without files"):
        list_members(empty, "e.zip")


def test_an_altered_archive_is_read_anew(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", ("a", b"a"))
    assert list(reasons(path)) == ["a"]
    assert list(reasons(pack(path, ("a", b"a"), ("b", b"b")))) == ["a", "b"]


_KILLED = """
import os, signal
from scanlens.sources.readers.archive import scratch_folder
with scratch_folder() as folder:
    (folder / "scan.dcm").write_text("Doe")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_is_private_and_ends(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent.stat().st_mode & 0o077 == 0
        (folder / "a").write_text("a")
    assert list(temporary.iterdir()) == []
    with pytest.raises(FileNotFoundError), scratch_folder() as folder:
        (folder / "absent").read_text()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(temporary: Path) -> None:
    assert subprocess.run([sys.executable, "-c", _KILLED], check=False).returncode == -9
    (left,) = temporary.iterdir()
    with scratch_folder() as mine:
        assert not left.exists()
        with scratch_folder():
            assert mine.is_dir()
    assert list(temporary.iterdir()) == []
