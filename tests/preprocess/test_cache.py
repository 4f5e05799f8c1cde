"""An entry is used only where it is what it should be."""

from __future__ import annotations

import dataclasses
import errno
import json
import multiprocessing
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grimp
import numpy as np
import pytest

from scanlens.preprocess.cache import _CODE, ShardCache, open_cache, row_key, settings_key, shard_key
from scanlens.preprocess.preprocessor import Preprocessor, resolve_preprocessor
from scanlens.preprocess.shard_file import ShardWriter
from tests.helpers.tiny import preprocess_section
from tests.preprocess.scans import draw

SHAPE = (1, 4, 6)
KEYS = tuple(row_key(f"{row}") for row in range(5))


def rows_of(seed: int = 0) -> list[bytes]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 65536, SHAPE, dtype=np.uint16).tobytes() for _ in KEYS]


def write_shard(path: Path, rows: list[bytes]) -> Path:
    with ShardWriter(path, SHAPE) as shard:
        for row in rows:
            shard.append(row)
        shard.finish()
    return path


@pytest.fixture
def preprocessor(tmp_path: Path) -> Preprocessor:
    return resolve_preprocessor(preprocess_section(size=16), draw(tmp_path / "scans", 4), 2)


@pytest.fixture
def filled(tmp_path: Path) -> ShardCache:
    """A cache of one shard of :data:`KEYS`, whose original is ``made.npy``."""
    cache = ShardCache(tmp_path / "cache", SHAPE)
    shard = write_shard(tmp_path / "made.npy", rows_of())
    cache.put(shard, KEYS, [zlib.crc32(row) for row in rows_of()])
    return cache


def test_a_kept_shard_is_linked_not_copied(tmp_path: Path, filled: ShardCache) -> None:
    assert filled.take(KEYS, tmp_path / "again.npy")
    assert (tmp_path / "again.npy").stat().st_ino == (tmp_path / "made.npy").stat().st_ino
    assert sorted(path.suffix for path in filled.folder.iterdir()) == [".json", ".npy"]


def test_other_rows_or_another_order_are_another_shard(tmp_path: Path, filled: ShardCache) -> None:
    for keys in (KEYS[:4], KEYS[::-1], (*KEYS, "x"), ()):
        assert not filled.take(keys, tmp_path / "again.npy")
    assert not (tmp_path / "again.npy").exists()


def test_rows_are_found_and_read(filled: ShardCache) -> None:
    places = filled.places({*KEYS[1:3], "unknown"})
    assert set(places) == set(KEYS[1:3])
    assert [filled.read(places[key]) for key in KEYS[1:3]] == rows_of()[1:3]


def test_another_file_system_gets_copies(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system to write to (/dev/shm)")
    target = elsewhere / f"scanlens-{os.getpid()}.npy"
    cache = ShardCache(tmp_path, SHAPE)
    cache.put(write_shard(tmp_path / "made.npy", rows_of()), KEYS, [zlib.crc32(row) for row in rows_of()])
    try:
        assert cache.take(KEYS, target)
        assert target.read_bytes() == (tmp_path / "made.npy").read_bytes()
        ShardCache(tmp_path / "back", SHAPE).put(target, KEYS, [zlib.crc32(row) for row in rows_of()])
    finally:
        target.unlink(missing_ok=True)
    assert ShardCache(tmp_path / "back", SHAPE).take(KEYS, tmp_path / "again.npy")


def replace_bytes(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file but not its other links."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(change(content))


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".npy", Path.unlink),
        (".npy", lambda path: replace_bytes(path, lambda content: content[:-1])),
        (".npy", lambda path: replace_bytes(path, lambda content: content + b"x")),
        (".npy", lambda path: replace_bytes(path, lambda content: content[:-3] + b"\x00\xff\x00")),
        (".npy", lambda path: replace_bytes(path, lambda content: content.replace(b"(5,", b"(4,"))),
        (".json", Path.unlink),
        (".json", lambda path: path.write_text("{")),
        (".json", lambda path: path.write_text("[]")),
        (".json", lambda path: path.write_text(json.dumps({"rows": [1], "checksums": [2]}))),
        (
            ".json",
            lambda path: path.write_text(path.read_text().replace('"checksums": [', '"checksums": [1, ')),
        ),
    ],
)
def test_a_damaged_entry_is_not_used(
    tmp_path: Path, filled: ShardCache, suffix: str, damage: Callable[[Path], Any]
) -> None:
    damage(filled.folder / f"{shard_key(KEYS)}{suffix}")
    assert not filled.take(KEYS, tmp_path / "again.npy")
    assert not (tmp_path / "again.npy").exists()
    assert not list(tmp_path.glob(".*"))
    # It can be kept again.
    filled.put(tmp_path / "made.npy", KEYS, [zlib.crc32(row) for row in rows_of()])
    assert filled.take(KEYS, tmp_path / "again.npy")


def test_of_a_damaged_shard_the_sound_rows_are_read(filled: ShardCache) -> None:
    places = filled.places(set(KEYS))
    replace_bytes(filled.folder / f"{shard_key(KEYS)}.npy", lambda content: content[:-1] + b"?")
    read = [filled.read(places[key]) for key in KEYS]
    assert read == [*rows_of()[:-1], None]


def test_a_full_disk_is_not_taken_for_a_missing_entry(
    tmp_path: Path, filled: ShardCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("scanlens.preprocess.cache._link", full)
    with pytest.raises(OSError, match="full"):
        filled.take(KEYS, tmp_path / "again.npy")


def test_contents_are_told_apart() -> None:
    keys = {row_key("ab", "cd"), row_key("ab", "ce"), row_key("ac", "cd"), row_key("ab"), row_key("abcd")}
    assert len(keys) == 5


def test_every_setting_is_in_the_key(preprocessor: Preprocessor) -> None:
    other = dataclasses.replace(preprocessor, aspect="stretch")
    assert settings_key(preprocessor) == settings_key(dataclasses.replace(preprocessor))
    assert settings_key(preprocessor) != settings_key(other)


def test_all_code_that_makes_a_row_is_in_the_key() -> None:
    used = grimp.build_graph("scanlens", cache_dir=None).find_upstream_modules("scanlens.preprocess.shards")
    files = {name.replace(".", "/").removeprefix("scanlens/") + ".py" for name in used}
    hashed = {file for file in files if file.startswith(_CODE)}
    # How files appear, what errors say, where memory goes, what labels mean; settings reach a row through the
    # preprocessor.
    harmless = {"scanlens.py", "atomic.py", "errors.py", "scaling/heap.py"}
    harmless |= {file for file in files if file.startswith(("config/", "tasks"))}
    assert files - hashed <= harmless | {f"{part}.py" for part in ("sources", "manifest", "preprocess")}
    assert {"sources/read.py", "preprocess/preprocessor.py", "manifest/checks.py"} <= hashed


def test_pruning_keeps_what_was_used(tmp_path: Path, preprocessor: Preprocessor) -> None:
    shape = (1, 16, 16)
    rows = [np.full(shape, value, np.uint16).tobytes() for value in (1, 2)]
    for number in range(2):
        with ShardWriter(tmp_path / f"{number}.npy", shape) as shard:
            shard.append(rows[number])
            shard.finish()
    folder = tmp_path / "cache"
    (folder / "older-settings").mkdir(parents=True)
    with open_cache(folder, preprocessor) as (cache, pruner):
        for number in range(2):
            cache.put(tmp_path / f"{number}.npy", [KEYS[number]], [zlib.crc32(rows[number])])
        (cache.folder / ".x.npy.0.part").touch()
        pruner.prune({shard_key([KEYS[1]])})
        assert {path.stem for path in cache.folder.iterdir()} == {shard_key([KEYS[1]])}
        assert cache.take([KEYS[1]], tmp_path / "again.npy")
    assert not (folder / "older-settings").exists()


def hold(folder: Path, preprocessor: Preprocessor, held: Any, done: Any) -> None:
    """Use a cache until told to stop."""
    with open_cache(folder, preprocessor):
        held.set()
        done.wait(60)


def test_nothing_is_pruned_while_another_run_uses_the_cache(
    tmp_path: Path, preprocessor: Preprocessor
) -> None:
    folder = tmp_path / "cache"
    (folder / "theirs").mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(folder, preprocessor, held, done))
    other.start()
    assert held.wait(60)
    with open_cache(folder, preprocessor) as (_, pruner):
        pruner.prune(set())
    assert (folder / "theirs").exists()
    done.set()
    other.join()
    with open_cache(folder, preprocessor) as (_, pruner):
        pruner.prune(set())
    assert not (folder / "theirs").exists()
