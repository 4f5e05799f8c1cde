"""Killed, grown, reordered, damaged, run twice at once, out of room: the store is as of one quiet run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scanlens.atomic import beside
from scanlens.errors import ScanlensError
from scanlens.preprocess import run
from scanlens.preprocess.shard_file import shard_path
from tests.preprocess.scans import PROJECT, draw, facts_of, files_of, run_here, start_child

REUSE = ("decoded", "reused_rows", "reused_shards")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "scans"


def reuse(facts: dict[str, Any]) -> tuple[int, ...]:
    return tuple(facts[name] for name in REUSE)


def entries(cache: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of each finished shard in a cache, by name."""
    finished = [path.with_suffix(".npy") for path in cache.glob("*/*.json")]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in finished}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, root: Path, workers: int) -> None:
    manifest = draw(root, 200, side=400)
    quiet = run_here(manifest, root, tmp_path / "quiet")
    cache, output = tmp_path / "cache", tmp_path / "out"
    child = start_child(manifest, root, output, cache, workers=workers)
    while len(entries(cache)) < 4:
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert not (output / "store.json").exists()
    # Workers die with their parent, which may take a moment.
    before = {}
    while before != (now := entries(cache)):
        before = now
        time.sleep(0.3)
    assert 4 <= len(before) < 25
    [facts] = facts_of(start_child(manifest, root, output, cache, workers=workers))
    assert files_of(output) == files_of(tmp_path / "quiet")
    assert facts["reused_shards"] == len(before)
    assert facts["decoded"] == 200 - 8 * len(before)
    after = entries(cache)
    assert len(after) == 25
    assert {name: after[name] for name in before} == before
    linked = {path.stat().st_ino for path in output.glob("shard-*.npy")}
    assert {inode for inode, _ in after.values()} == linked
    for name in set(quiet) - {*REUSE, "seconds_by_step"}:
        assert facts[name] == quiet[name]


def test_the_same_again_decodes_nothing(tmp_path: Path, root: Path) -> None:
    manifest = draw(root, 20)
    first = run_here(manifest, root, tmp_path / "one", cache=tmp_path / "cache")
    again = run_here(manifest, root, tmp_path / "two", cache=tmp_path / "cache")
    assert reuse(first) == (20, 0, 0)
    assert reuse(again) == (0, 0, 3)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_new_scans_are_the_only_ones_decoded(tmp_path: Path, root: Path) -> None:
    old, new = draw(root, 40), draw(root, 5, first=40)
    cache = tmp_path / "cache"
    run_here(old, root, tmp_path / "old", cache=cache)
    # In between, as a listing in the order of names brings them.
    grown = pd.concat([old[:13], new, old[13:]], ignore_index=True)
    facts = run_here(grown, root, tmp_path / "grown", cache=cache)
    assert reuse(facts) == (5, 32, 1)
    run_here(grown, root, tmp_path / "fresh")
    assert files_of(tmp_path / "grown") == files_of(tmp_path / "fresh")
    # What the run did not use is gone.
    assert len(entries(cache)) == 6


def test_scans_that_are_gone_leave_the_store_and_the_cache(tmp_path: Path, root: Path) -> None:
    manifest = draw(root, 40)
    run_here(manifest, root, tmp_path / "all", cache=tmp_path / "cache")
    fewer = manifest.drop(index=[3, 4])
    facts = run_here(fewer, root, tmp_path / "fewer", cache=tmp_path / "cache")
    assert reuse(facts) == (0, 38, 0)
    run_here(fewer, root, tmp_path / "fresh")
    assert files_of(tmp_path / "fewer") == files_of(tmp_path / "fresh")
    kept = [row for path in tmp_path.glob("cache/*/*.json") for row in json.loads(path.read_text())["rows"]]
    assert len(kept) == len(set(kept)) == 38


def test_another_order_copies_rows(tmp_path: Path, root: Path) -> None:
    manifest = draw(root, 40)
    run_here(manifest, root, tmp_path / "one", cache=tmp_path / "cache")
    turned = manifest[::-1].reset_index(drop=True)
    facts = run_here(turned, root, tmp_path / "two", cache=tmp_path / "cache")
    assert reuse(facts) == (0, 40, 0)
    run_here(turned, root, tmp_path / "fresh")
    assert files_of(tmp_path / "two") == files_of(tmp_path / "fresh")


def test_a_changed_setting_reuses_nothing(tmp_path: Path, root: Path) -> None:
    manifest = draw(root, 20)
    run_here(manifest, root, tmp_path / "one", cache=tmp_path / "cache")
    for settings in ({"size": 24}, {"channels": 3}):
        facts = run_here(manifest, root, tmp_path / "two", cache=tmp_path / "cache", settings=settings)
        assert reuse(facts) == (20, 0, 0)


def test_changed_code_reuses_nothing(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = draw(root, 20)
    run_here(manifest, root, tmp_path / "one", cache=tmp_path / "cache")
    monkeypatch.setattr("scanlens.preprocess.cache._code_digest", lambda: "another release")
    assert reuse(run_here(manifest, root, tmp_path / "two", cache=tmp_path / "cache")) == (20, 0, 0)


def test_other_shard_rows_reuse_the_rows(tmp_path: Path, root: Path) -> None:
    manifest = draw(root, 20)
    run_here(manifest, root, tmp_path / "one", cache=tmp_path / "cache")
    facts = run_here(manifest, root, tmp_path / "two", cache=tmp_path / "cache", settings={"shard_rows": 5})
    assert reuse(facts) == (0, 20, 0)


def test_a_damaged_cached_shard_is_made_again(tmp_path: Path, root: Path) -> None:
    manifest = draw(root, 40)
    run_here(manifest, root, tmp_path / "one", cache=tmp_path / "cache")
    whole = files_of(tmp_path / "one")
    shutil.rmtree(tmp_path / "one")
    paths = sorted(tmp_path.glob("cache/*/*.npy"))
    flipped = bytearray(paths[0].read_bytes())
    flipped[-1] ^= 1
    paths[0].write_bytes(flipped)
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    facts = run_here(manifest, root, tmp_path / "two", cache=tmp_path / "cache")
    assert files_of(tmp_path / "two") == whole
    # Of the flipped one, the rows beside the flipped bit are good.
    assert reuse(facts) == (9, 7, 3)
    assert reuse(run_here(manifest, root, tmp_path / "three", cache=tmp_path / "cache")) == (0, 0, 5)


def test_a_left_out_scan_is_tried_again(tmp_path: Path, root: Path) -> None:
    manifest = draw(root, 40)
    run_here(manifest, root, tmp_path / "fresh")
    content = (root / "0011.png").read_bytes()
    (root / "0011.png").write_bytes(content[:-50])
    first = run_here(manifest, root, tmp_path / "one", cache=tmp_path / "cache")
    assert [entry["path"] for entry in first["left_out"]] == ["0011.png"]
    (root / "0011.png").write_bytes(content)
    second = run_here(manifest, root, tmp_path / "two", cache=tmp_path / "cache")
    assert reuse(second) == (1, 7, 4)
    assert files_of(tmp_path / "two") == files_of(tmp_path / "fresh")


def test_two_runs_at_once_share_a_cache(tmp_path: Path, root: Path) -> None:
    manifest = draw(root, 80, side=200)
    run_here(manifest, root, tmp_path / "fresh")
    outputs = [tmp_path / name for name in ("one", "two", "three")]
    children = [start_child(manifest, root, output, tmp_path / "cache", workers=0) for output in outputs]
    for child in children:
        [facts] = facts_of(child)
        assert facts["stored"] == facts["decoded"] + facts["reused_rows"] + 8 * facts["reused_shards"] == 80
    for output in outputs:
        assert files_of(output) == files_of(tmp_path / "fresh")
    assert not list(tmp_path.glob("cache/*/.*"))
    assert reuse(run_here(manifest, root, tmp_path / "four", cache=tmp_path / "cache")) == (0, 0, 10)


def may_mount() -> bool:
    """Whether this system lets its users make a file system of their own."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


def test_a_full_disk_ends_in_one_line_and_keeps_what_is_finished(tmp_path: Path, root: Path) -> None:
    if not may_mount():
        pytest.skip("no small file system may be mounted here (unshare -rm and mount -t tmpfs)")
    manifest = draw(root, 80)
    quiet = run_here(manifest, root, tmp_path / "quiet")
    small, first, second = (tmp_path / name for name in ("small", "first", "second"))
    small.mkdir()
    # Ten shards of 17 kB do not fit in 100 kB, and do in 1 MB.
    script = f"""mount -t tmpfs -o size=100k tmpfs {small}
        "$@"; cp -r {small} {first}
        mount -o remount,size=1m {small}
        "$@"; cp -r {small} {second}"""
    refused, facts = facts_of(start_child(manifest, root, small / "out", small / "cache", script=script))
    assert "no room left" in refused["refused"]
    assert "run again: finished shards are kept" in refused["refused"]
    finished = len(entries(first / "cache"))
    assert finished >= 2
    assert len(list((first / "out").glob("shard-*.npy"))) < 10
    header = len(files_of(tmp_path / "quiet")["shard-00000.npy"])
    assert {path.stat().st_size for path in (first / "out").glob("shard-*")} == {header}
    assert not list((first / "out").glob(".*"))
    assert facts["reused_shards"] == finished
    assert facts["stored"] == quiet["stored"]
    assert files_of(second / "out") == files_of(tmp_path / "quiet")


def test_what_an_ended_process_was_writing_is_removed(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"

    def end_in_the_middle(*_: object) -> None:
        shard_path(output, 0).write_bytes(b"finished")
        beside(shard_path(output, 1)).write_bytes(b"of a process that was ended")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run, "_make_shards", end_in_the_middle)
    with pytest.raises(ScanlensError, match="no room left"):
        run_here(draw(root, 20), root, output)
    assert [path.name for path in output.iterdir()] == ["shard-00000.npy"]


def test_what_a_process_of_a_dead_node_was_writing_is_removed(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one made the shard: the run succeeds."""
    output, make = tmp_path / "out", run._make_shards

    def lose_one(*arguments: Any) -> Any:
        beside(shard_path(output, 0)).write_bytes(b"of a node that was lost")
        return make(*arguments)

    monkeypatch.setattr(run, "_make_shards", lose_one)
    assert run_here(draw(root, 20), root, output)["stored"] == 20
    assert not list(output.glob(".*"))


def test_a_file_that_may_not_grow_is_the_same_refusal(tmp_path: Path, root: Path) -> None:
    # The limit is the process's own, so that it needs no rights.
    script = (
        "import resource, signal, sys;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000));"
        "from tests.preprocess.scans import main; main()"
    )
    manifest = draw(root, 20)
    manifest.to_parquet(tmp_path / "out.parquet")
    arguments = [*map(str, (tmp_path / "out.parquet", root, tmp_path / "out", tmp_path / "cache")), "0"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=PROJECT, capture_output=True, timeout=120, check=True
    )
    assert "no room left" in json.loads(done.stdout)["refused"]
    assert list((tmp_path / "out").iterdir()) == []
