"""Every file of a tree has a row: a scan, or why not. None leads out, blocks, or is listed for ever."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanlens.errors import UnreadableScan
from scanlens.sources.listing import tree
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.read import read_scan
from tests.sources.readers.test_series_index import write_series


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path, format="PNG")
    return path


def rows(root: Path, dims: int = 2, **options: object) -> dict[str, str]:
    listed = list_tree(root, dims=dims, **options)  # type: ignore[arg-type]
    assert listed["path"].is_unique
    assert listed["path"].is_monotonic_increasing
    return dict(listed.itertuples(index=False))


def test_whatever_lies_there(tmp_path: Path) -> None:
    root = tmp_path / "root"
    image(root / "a" / "b" / "scan.png")
    image(root / "folder.dcm" / "inside.png")
    image(root / ".hidden.png")
    image(root / ".git" / "a.png")
    image(tmp_path / "elsewhere" / "secret.png")
    (root / "page.dcm").write_text("<!doctype html><title>login</title>")
    (root / "notes.txt").write_text("no scan, refused when it is read")
    os.mkfifo(root / "pipe.dcm")
    (root / "self.png").symlink_to("self.png")
    (root / "gone.png").symlink_to("nowhere")
    (root / "round").symlink_to(".")
    (root / "aa").symlink_to("a")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "everything").symlink_to("/")
    (root / "secret.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    image(root / "x.png#frame" / "3")
    image(root / "@0123456789abcdef.png")
    found = rows(root)
    assert found == {
        "a/b/scan.png": "",
        "folder.dcm/inside.png": "",
        "page.dcm": "",
        "notes.txt": "",
        "pipe.dcm": "not a regular file",
        "self.png": "a loop of symbolic links",
        "gone.png": "file not found",
        "round": "a link to a folder that is listed already",
        "aa": "a link to a folder that is listed already",
        "out": "outside the data root",
        "everything": "outside the data root",
        "secret.png": "outside the data root",
        "x.png#frame/3": "the file name reads as a part of another file: rename it",
        "@0123456789abcdef.png": "the file name reads as a part of another file: rename it",
    }
    assert {path: problem for path, problem in rows(root, 3).items() if path != "a"} == found
    for reference in ("page.dcm", "notes.txt"):
        with pytest.raises(UnreadableScan, match="not an image"):
            read_scan(root, reference, dims=2, max_pixels=999)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    image(tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    image(tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.zip"))
    assert set(rows(tmp_path).values()) == {"the file name is not UTF-8"}


@pytest.mark.parametrize("dims", [2, 3])
def test_folders_and_files_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dims: int
) -> None:
    image(tmp_path / "closed" / "a.png")
    image(tmp_path / "locked.png")
    image(tmp_path / "open.png")
    iterdir, opened, scandir = Path.iterdir, Path.open, os.scandir

    def refuse(path: Path, *options: object, **more: object) -> object:
        if path.name in ("closed", "locked.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return (opened if options or more else iterdir)(path, *options, **more)

    def refuse_scan(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_scan)
    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    assert rows(tmp_path, dims) == {
        "closed": "permission denied",
        "locked.png": "permission denied",
        "open.png": "",
    }


def test_a_folder_closed_while_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "a" / "1.png")

    def gone(*_: object) -> object:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(tree, "folder_slices", gone)
    found = list_tree(tmp_path / "a", dims=3)
    assert list(found.itertuples(index=False, name=None)) == [(".", "file not found"), ("1.png", "")]


def test_nothing_outside_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "elsewhere", 1)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    asked: list[str] = []
    monkeypatch.setattr(tree, "folder_slices", lambda _, folder: asked.append(folder) or [])
    assert rows(tmp_path / "root", 3) == {"link": "outside the data root"}
    assert asked == ["."]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("dims", [2, 3])
def test_permissions(tmp_path: Path, dims: int) -> None:
    image(tmp_path / "closed" / "a.png")
    image(tmp_path / "locked.png").chmod(0)
    (tmp_path / "closed").chmod(0)
    assert rows(tmp_path, dims) == {"closed": "permission denied", "locked.png": "permission denied"}
    (tmp_path / "closed").chmod(0o700)


def test_archives(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "no ending", "w") as archive:
        for name in ("z.png", "in/a.png", "../up.png"):
            archive.writestr(name, content)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.dcm", bytes(50_000_000))
    (tmp_path / "cut.zip").write_bytes((tmp_path / "no ending").read_bytes()[:200])
    for dims in (2, 3):
        assert rows(tmp_path, dims) == {
            "a.png": "",
            "bomb.zip": "an archive that unpacks to far more than scans do",
            "cut.zip": "a damaged zip archive (BadZipFile)",
            "no ending#member/../up.png": "its name leads outside the archive",
            "no ending#member/in/a.png": "",
            "no ending#member/z.png": "",
        }
    assert read_scan(tmp_path, "no ending#member/z.png", dims=2, max_pixels=99).pixels.shape == (1, 8, 8)


def test_series_are_one_row_each(tmp_path: Path) -> None:
    write_series(tmp_path, 1)
    write_series(tmp_path / "a", 1)
    write_series(tmp_path / "b", 1)
    write_series(tmp_path / "b", 2)
    image(tmp_path / "b" / "c.png")
    found = list(rows(tmp_path, 3))
    assert [path for path in found if "#" not in path] == [".", "a", "b/c.png"]
    assert len([path for path in found if path.startswith("b#series/")]) == 2
    assert len(rows(tmp_path, 2)) == 13
    for reference in found:
        if reference != "b/c.png":
            assert read_scan(tmp_path, reference, dims=3, max_pixels=999).pixels.shape == (1, 3, 6, 6)


def test_rows_of_medmnist_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "a.npz", val_images=np.zeros((2, 4, 4), np.uint8))
    (tmp_path / "in" / "b.npz").symlink_to("a.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    assert rows(tmp_path) == {
        "in/a.npz#val/0": "",
        "in/a.npz#val/1": "",
        "in/b.npz#val/0": "",
        "in/b.npz#val/1": "",
        "other.npz": "the file holds no train_images, val_images or test_images",
    }


def test_one_file_one_branch_and_what_is_skipped(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png")
    image(tmp_path / "a" / "2.txt")
    image(tmp_path / "b" / "1.png")
    assert rows(tmp_path / "a" / "1.png") == {"1.png": ""}
    assert rows(tmp_path / "a" / "1.png", 3) == {"1.png": ""}
    assert rows(tmp_path, below="a") == {"a/1.png": "", "a/2.txt": ""}
    assert rows(tmp_path, skip=lambda path: path.suffix == ".txt" or path.name == "b") == {"a/1.png": ""}
    (tmp_path / "empty").mkdir()
    assert rows(tmp_path / "empty") == {}
