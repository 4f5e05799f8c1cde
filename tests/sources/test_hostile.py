"""Hostile files, each read under the guard: accepted or quarantined with a reason, in time, within 1 GiB."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from scanlens.errors import UnreadableScan
from scanlens.manifest.survey import CHECKS, Survey, Surveyed, survey
from scanlens.scaling.engine import Engine
from scanlens.sources.read import read_scan
from tests.helpers.hostile import seeds, write_bombs, write_fuzzed

LOCAL = Engine("local", 2, None)
GIB = 1 << 30
EACH = 24
"""Damaged variants of each format."""


def look(folder: Path) -> Survey:
    return survey(folder, dims=None, checks=replace(CHECKS, timeout_s=30.0), engine=LOCAL)


def files_of(found: Survey) -> dict[str, list[Surveyed]]:
    """The scans by the file they lie in."""
    by_file: dict[str, list[Surveyed]] = {}
    for scan in found.scans:
        by_file.setdefault(scan.path.partition("#")[0], []).append(scan)
    return by_file


@pytest.mark.parametrize("seed", range(2))
def test_fuzzed_headers(tmp_path: Path, seed: int) -> None:
    count = write_fuzzed(tmp_path / "fuzz", EACH, seed)
    by_file = files_of(look(tmp_path / "fuzz"))
    assert len(by_file) == count == EACH * len(seeds())
    scans = [scan for found in by_file.values() for scan in found]
    assert all(bool(scan.reason) == (scan.status == "quarantined") for scan in scans)
    # Both ends are there: damage that does not matter, and damage that does.
    assert 0.05 < sum(scan.status == "accepted" for scan in scans) / len(scans) < 0.9
    assert max(scan.peak_mib for scan in scans) < 1024
    assert not [scan.reason for scan in scans if re.search(r"crashed|took longer", scan.reason)]
    # A header's text is a stranger's; none of it may come out.
    assert not [scan.reason for scan in scans if not scan.reason.isprintable()]


def test_bombs(tmp_path: Path) -> None:
    patterns = write_bombs(tmp_path / "bombs")
    by_file = files_of(look(tmp_path / "bombs"))
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
                assert bool(scan.reason) == (scan.status == "quarantined")
    finally:
        done.set()
        thread.join()
    path.write_bytes(sound)
    assert {scan.status for scan in look(tmp_path).scans} == {"accepted"}


@pytest.mark.slow
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
