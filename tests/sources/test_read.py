"""The first bytes choose the reader; whatever is no scan is a reason and never a crash."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scanlens.errors import UnreadableScan
from scanlens.sources import read as module
from scanlens.sources.read import content_sha256, read_scan, read_with_sum
from scanlens.types import Scan


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<!doctype html><title>login</title>", "not an image this scanlens reads"),
        (b"path,label\n", "not an image this scanlens reads"),
        (b"GIF89a" + bytes(500), "not an image this scanlens reads"),
        (gzip.compress(b"text", mtime=0), "not an image this scanlens reads"),
        (b"\x1f\x8b\x08garbage", "truncated or corrupt"),
        (b"\x08\x00" + bytes(1000), "not an image this scanlens reads"),
        (bytes(128) + b"DICM", "holds no pixel data|not an image"),
        (bytes(128) + b"DICM" + b"\xff" * 500, "truncated or corrupt|no pixel data|not an image"),
        (b"\x89PNG\r\n\x1a\n", "damaged header"),
        (b"\xff\xd8\xff", "damaged header"),
        (b"PK\x03\x04" + bytes(300), "a damaged zip archive"),
    ],
)
def test_files_that_are_no_scans(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UnreadableScan, match=reason) as refused:
        read_scan(tmp_path, "a.png", dims=2, max_pixels=1000)
    assert refused.value.path == "a.png"
    assert str(tmp_path) not in str(refused.value)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UnreadableScan, match="not a regular file"):
        read_scan(tmp_path, "a.png", dims=2, max_pixels=1000)


def test_outside_the_root(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "root").mkdir()
    for read in (
        lambda: read_scan(tmp_path / "root", "../a.png", dims=2, max_pixels=99),
        lambda: content_sha256(tmp_path / "root", "../a.png"),
    ):
        with pytest.raises(UnreadableScan, match="outside the data root"):
            read()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied", "/somewhere/a.png"), "a.png: permission denied"),
        (MemoryError(), "a.png: needs more memory than there is"),
        (RecursionError("Doe^Jane"), "a.png: truncated or corrupt (RecursionError)"),
    ],
)
def test_whatever_a_reader_raises_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(module, "read_raster", fail)
    with pytest.raises(UnreadableScan) as refused:
        read_scan(tmp_path, "a.png", dims=2, max_pixels=99)
    assert str(refused.value) == reason


def test_sha256_is_the_file_s(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    (tmp_path / "a").write_bytes(content)
    assert content_sha256(tmp_path, "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(UnreadableScan, match="file not found"):
        content_sha256(tmp_path, "b")


def test_a_scan_comes_with_the_sum_of_its_content(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 7).save(tmp_path / "a.png")
    scan, found = read_with_sum(tmp_path, "a.png", dims=2, max_pixels=99)
    assert (scan.pixels == 7).all()
    assert found == content_sha256(tmp_path, "a.png")


def test_what_its_header_refuses_is_not_hashed(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.write(b"<html>")
        file.truncate(1 << 36)
    with pytest.raises(UnreadableScan, match="not an image"):
        read_with_sum(tmp_path, "a.png", dims=2, max_pixels=99)


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "a.png", module.read_raster
    Image.new("L", (4, 4), 7).save(path)
    read_with_sum(tmp_path, "a.png", dims=2, max_pixels=99)

    def changed_behind(*arguments: Any, **options: Any) -> Scan:
        scan = read(*arguments, **options)
        Image.new("L", (4, 5), 200).save(path)
        return scan

    monkeypatch.setattr(module, "read_raster", changed_behind)
    with pytest.raises(UnreadableScan, match="changed while it was read"):
        read_with_sum(tmp_path, "a.png", dims=2, max_pixels=99)


def test_broken_files_give_reasons(shared_data: Path) -> None:
    root = shared_data / "broken"
    outcomes = {"read": 0, "refused": 0}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            try:
                scan = read_scan(root, path.relative_to(root).as_posix(), dims=2, max_pixels=10**7)
                assert np.isfinite(scan.pixels).all()
                outcomes["read"] += 1
            except UnreadableScan:
                outcomes["refused"] += 1
    assert outcomes["read"] + outcomes["refused"] == 255
    assert outcomes["refused"] >= 70


def test_real_sets_are_read(shared_data: Path) -> None:
    for name, ending in (
        ("cxr", "jpg"),
        ("busi", "png"),
        ("brain_tumor", "*"),
        ("ct_contrast", "dcm"),
        ("malaria", "png"),
    ):
        root = shared_data / name
        files = sorted(path for path in root.rglob(f"*.{ending}") if path.suffix != ".csv")
        for path in files[:: max(1, len(files) // 20)]:
            scan = read_scan(root, path.relative_to(root).as_posix(), dims=2, max_pixels=10**8)
            assert scan.pixels.shape[0] in (1, 3)
            assert scan.pixels.max() > scan.pixels.min()
