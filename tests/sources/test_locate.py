"""Every way out of the data root is closed, and every odd file is a reason, not a crash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scanlens.errors import UnreadableScan
from scanlens.sources.content import problem_of
from scanlens.sources.locate import locate


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "a.png").write_bytes(b"a")
    (tmp_path / "secret.png").write_bytes(b"s")
    (root / "out").symlink_to(tmp_path / "secret.png")
    (root / "in").symlink_to("inner/a.png")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("../secret.png", "outside the data root"),
        ("inner/../../secret.png", "outside the data root"),
        ("/etc/hostname", "outside the data root"),
        ("out", "outside the data root"),
        ("../nowhere.png", "outside the data root"),
        ("loop", "a loop of symbolic links"),
        ("dangling", "file not found"),
        ("absent.png", "file not found"),
        ("inner/a.png/b", "file not found"),
        ("inner", "a folder, not a file"),
        ("pipe", "not a regular file"),
        ("a\0b", "not a valid file name"),
        ("x" * 300, "the file name is too long"),
        (" ", "the path is empty"),
        ("inner/a.png", ""),
        ("in", ""),
        ("inner/../inner/a.png", ""),
    ],
)
def test_each_reference_has_its_reason(root: Path, reference: str, reason: str) -> None:
    assert problem_of(root, reference) == reason


def test_absolute_path_inside_the_root_is_accepted(root: Path) -> None:
    assert locate(root, str(root / "inner" / "a.png")) == (root / "inner" / "a.png").resolve()


def test_the_system_error_does_not_name_the_machine_s_folders(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr("scanlens.sources.locate.base_folder", lambda path: path)
    with pytest.raises(UnreadableScan, match=r"^inner/a\.png: permission denied$"):
        locate(root, "inner/a.png")
