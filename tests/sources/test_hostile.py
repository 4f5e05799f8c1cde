"""Hostile files, each read under the guard: accepted or quarantined with a reason, in time, within 1 GiB."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from scanlens.errors import UnreadableScan
from scanlens.manifest.survey import CHECKS, Survey, Surveyed, survey
from scanlens.scaling.engine import Engine
from scanlens.sources.read import read_scan
from tests.helpers.hostile import seeds, write_bombs, write_fuzzed
from tests.sources.readers.test_series_index import write_series

LOCAL = Engine("local", 2, None)
GIB = 1 << 30
EACH = 24
"""Damaged variants of each format."""


def look(folder: Path, dims: int | None = None) -> Survey:
    return survey(folder, dims=dims, checks=replace(CHECKS, timeout_s=30.0), engine=LOCAL)


def files_of(found: Survey) -> dict[str, list[Surveyed]]:
    """The scans by the file they lie in."""
    by_file: dict[str, list[Surveyed]] = {}
    for scan in found.scans:
        by_file.setdefault(scan.path.partition("#")[0], []).append(scan)
    return by_file


@pytest.mark.parametrize(("seed", "dims"), [(0, None), (1, None), (0, 3), (1, 3)])
def test_fuzzed_headers(tmp_path: Path, seed: int, dims: int | None) -> None:
    folder = tmp_path / "fuzz"
    count = write_fuzzed(folder, EACH, seed)
    by_file = files_of(look(folder, dims))
    assert count == EACH * len(seeds())
    assert set(by_file) == {path.name for path in folder.iterdir()}
    scans = [scan for found in by_file.values() for scan in found]
    # Both ends are there: damage that does not matter, and damage that does. No image is a volume.
    accepted = {scan.path.partition(".")[2] for scan in scans if scan.status == "accepted"}
    assert accepted >= ({"nii", "nrrd", "mha"} if dims == 3 else {"dcm", "nii", "bmp"})
    assert not accepted & {"png", "jpg", "bmp"} or dims is None
    assert 0.05 < sum(scan.status == "accepted" for scan in scans) / len(scans) < 0.9
    assert max(scan.peak_mib for scan in scans) < 1024
    assert not [scan.reason for scan in scans if re.search(r"crashed|took longer", scan.reason)]
    # A header's text is a stranger's; none of it may come out.
    assert not [scan.reason for scan in scans if not scan.reason.isprintable()]


@pytest.mark.parametrize("seed", range(3))
def test_slices_that_are_damaged(tmp_path: Path, seed: int) -> None:
    """Headers are parsed by the listing itself, in folders and archives: nothing may stop it."""
    rng = np.random.default_rng(seed)
    sound = [path.read_bytes() for path in write_series(tmp_path / "sound", 1, slices=12)]
    folder = tmp_path / "scans" / "in"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "scans" / "x.zip", "w") as archive:
        for number, content in enumerate(sound * 5):
            damaged = bytearray(content)
            for place in rng.integers(132, len(content), rng.integers(1, 9)):
                damaged[place] = rng.integers(256)
            (folder / f"{number:02}.dcm").write_bytes(damaged)
            archive.writestr(f"{number:02}.dcm", damaged)
    (tmp_path / "scans" / "whole").mkdir()
    for number, content in enumerate(sound):
        (tmp_path / "scans" / "whole" / f"{number}.dcm").write_bytes(content)
    references = [scan.path for scan in look(tmp_path / "scans", 3).scans]
    assert "whole" in references
    volume = read_scan(tmp_path / "scans", "whole", dims=3, max_pixels=999).pixels
    assert volume[0, :, 0, 0].tolist() == [*range(100, 112)]
    # What still names its series is one of its slices; every other file has a row of its own.
    for place in ("in", "x.zip"):
        rows = [path for path in references if path.startswith(place)]
        assert 1 < len(rows) < 60
        assert [path for path in rows if path == place or "#series/" in path]


@pytest.mark.parametrize("dims", [None, 3])
def test_bombs(tmp_path: Path, dims: int | None) -> None:
    patterns = write_bombs(tmp_path / "bombs")
    by_file = files_of(look(tmp_path / "bombs", dims))
    assert set(by_file) == set(patterns)
    for name, pattern in patterns.items():
        for scan in by_file[name]:
            assert scan.status == "quarantined", name
            assert re.search(pattern, scan.reason), f"{name}: {scan.reason}"
            assert scan.peak_mib < 1024, name
    assert not list(tmp_path.rglob("outside.png"))


@pytest.mark.parametrize(
    "name", ["header.png", "header.tif", "header.bmp", "header.dcm", "frames.dcm", "siz.dcm"]
)
def test_a_size_is_refused_before_memory_is_taken(tmp_path: Path, name: str) -> None:
    write_bombs(tmp_path / "bombs")
    process = psutil.Process()
    read = seeds()["png"]
    (tmp_path / "warm.png").write_bytes(read)
    read_scan(tmp_path, "warm.png", dims=2, max_pixels=CHECKS.max_pixels)
    before, started = process.memory_info().rss, time.perf_counter()
    with pytest.raises(UnreadableScan, match="more than"):
        read_scan(tmp_path / "bombs", name, dims=2, max_pixels=CHECKS.max_pixels)
    assert process.memory_info().rss - before < 100 << 20
    assert time.perf_counter() - started < 10


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_permissions(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(seeds()["png"])
    (tmp_path / "a.png").chmod(0)
    (scan,) = look(tmp_path).scans
    assert scan.reason == "permission denied"


@pytest.mark.parametrize("suffix", ["dcm", "nii", "png", "tif", "zip"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, suffix: str) -> None:
    sound, path = seeds()[suffix], tmp_path / f"a.{suffix}"
    path.write_bytes(sound)
    done = threading.Event()

    def rewrite() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            path.write_bytes([sound, sound[: len(sound) // 2], b"", sound[::-1]][turn % 4])

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        for _ in range(5):
            for scan in look(tmp_path).scans:
                assert not re.search(r"crashed|took longer", scan.reason)
    finally:
        done.set()
        thread.join()
    path.write_bytes(sound)
    assert {scan.status for scan in look(tmp_path).scans} == {"accepted"}


@pytest.mark.whole
@pytest.mark.parametrize("name", ["dicom", "broken"])
def test_the_whole_command_stays_below_one_gibibyte(shared_data: Path, name: str) -> None:
    command = [
        sys.executable,
        "-m",
        "scanlens.cli",
        "check",
        str(shared_data / name),
        "--json",
        "--workers=2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    watched, peak = psutil.Process(process.pid), 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, _resident(watched))

    thread = threading.Thread(target=watch)
    thread.start()
    output, _ = process.communicate(timeout=300)
    done.set()
    thread.join()
    assert process.returncode == 0
    there = [path for path in (shared_data / name).rglob("*") if path.is_file()]
    assert len({row["path"] for row in json.loads(output)}) == len(json.loads(output)) == len(there)
    assert 0 < peak < GIB


def _resident(process: psutil.Process) -> int:
    """Memory of a process and all below it; pages they share are counted in each."""
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.Error:  # ended meanwhile
        pass
    return total
