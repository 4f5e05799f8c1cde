"""The cut into shards depends on the manifest and the settings alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanlens.preprocess.plan import MOST_SHARD_BYTES, ShardPlan, rows_per_shard
from scanlens.preprocess.preprocessor import resolve_preprocessor
from tests.helpers.tiny import preprocess_section
from tests.preprocess.scans import draw


@pytest.mark.parametrize(
    ("scans", "most", "shape", "rows"),
    [
        (0, 256, (1, 8, 8), 8),
        (20, 4, (1, 8, 8), 4),
        (20, 256, (1, 8, 8), 8),
        (600, 256, (1, 224, 224), 16),
        (1024, 256, (1, 224, 224), 16),
        (1025, 256, (1, 224, 224), 32),
        (10_000, 256, (1, 224, 224), 256),
        (10_100, 256, (1, 224, 224), 256),
        (1_000_000, 256, (1, 224, 224), 256),
        (10_000, 256, (1, 64, 64, 64), 128),
        (10_000, 256, (3, 512, 512, 512), 1),
    ],
)
def test_rows_per_shard(scans: int, most: int, shape: tuple[int, ...], rows: int) -> None:
    assert rows_per_shard(scans, most, shape) == rows


def test_a_shard_stays_below_its_size() -> None:
    shape = (1, 512, 512)
    assert rows_per_shard(100_000, 10_000, shape) * 512 * 512 * 2 <= MOST_SHARD_BYTES


def test_every_scan_is_in_one_shard_in_order(tmp_path: Path) -> None:
    manifest = draw(tmp_path / "scans", 11)
    preprocessor = resolve_preprocessor(preprocess_section(size=16), manifest, 2)
    plan = ShardPlan(manifest, tmp_path / "scans", tmp_path / "out", preprocessor, 4, None)
    tasks = list(plan)
    assert len(plan) == len(tasks) == 3
    assert [row.reference for task in tasks for row in task.rows] == manifest["path"].tolist()
    assert [row.sha256 for task in tasks for row in task.rows] == manifest["sha256"].tolist()
    assert [task.target.name for task in tasks] == [f"shard-{number:05d}.npy" for number in range(3)]
    assert all(task.target.is_absolute() and task.root.is_absolute() for task in tasks)
    assert plan.pixels_to_decode() >= 11 * 40 * 40
