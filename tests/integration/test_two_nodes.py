"""A Ray cluster of two nodes, one of which is killed in mid-run: the same bytes as on one machine."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from scanlens.preprocess.run import preprocess
from scanlens.scaling.engine import Engine, map_ordered
from scanlens.sources.listing.columns import empty_listing
from tests.helpers.crashes import WriteFile
from tests.helpers.tiny import manifest_section, preprocess_section
from tests.preprocess.scans import SOURCE, draw

pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has 127.0.0.2 without set-up"),
]

FILES, SCANS = 60, 192
# Ray takes 127.0.0.1 for the machine's outer address, where nothing of ours should listen.
LOOPBACK = "127.0.0.2"
LOCAL = Engine("local", 1, None)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores and two nodes of one core each, all on loopback."""
    pytest.importorskip("ray", reason="the extra 'scale' is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # A killed node is noticed in seconds rather than half a minute.
    monkeypatch.setenv("RAY_health_check_initial_delay_ms", "0")
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # paths of sockets must be short
    monkeypatch.setenv("RAY_TMPDIR", folder)
    common = {"object_store_memory": 100 << 20, "node_ip_address": LOOPBACK}
    made = Cluster()
    made.add_node(num_cpus=0, include_dashboard=False, **common)
    for _ in range(2):
        made.add_node(num_cpus=1, **common)
    made.wait_for_nodes()
    yield made
    made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def working(node: Any) -> int:
    """How many of a node's worker processes run a task."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    titles = [" ".join(child.cmdline()) for child in raylet.children(recursive=True)]
    return sum("ray::items" in title for title in titles)


def kill_one(cluster: Any, when: Callable[[], bool]) -> tuple[threading.Thread, list[int]]:
    """Kill a worker node without warning as soon as it is time and the node has work in hand."""
    had_work: list[int] = []

    def wait_and_kill() -> None:
        node = list(cluster.worker_nodes)[-1]
        for _ in range(3000):
            if when() and working(node):
                had_work.append(working(node))
                node.kill_all_processes(check_alive=False, allow_graceful=False)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=wait_and_kill, daemon=True)
    thread.start()
    return thread, had_work


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_files_are_the_same(cluster: Any, tmp_path: Path) -> None:
    for name in ("local", "ray"):
        (tmp_path / name).mkdir()
    expected = list(map_ordered(WriteFile(tmp_path / "local", 0), range(FILES), engine=LOCAL))
    thread, had_work = kill_one(cluster, lambda: len(list((tmp_path / "ray").glob("*.bin"))) > 5)
    engine = Engine("ray", 1, cluster.address)
    results = map_ordered(WriteFile(tmp_path / "ray", 0.2), range(FILES), engine=engine)
    assert list(results) == expected
    thread.join()
    assert had_work
    finished = {name: content for name, content in contents(tmp_path / "ray").items() if name[0] != "."}
    assert finished == contents(tmp_path / "local")


def test_the_store_is_the_same(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root, output = tmp_path / "scans", Path("ray")
    manifest = draw(root, SCANS, side=400)
    config = preprocess_section(size=64, shard_rows=4)
    preprocess(manifest, root, SOURCE, config, tmp_path / "local", LOCAL)
    thread, had_work = kill_one(cluster, lambda: len(list(output.glob("shard-*.npy"))) > 2)
    engine = Engine("ray", 1, cluster.address)
    facts = preprocess(manifest, root, SOURCE, config, output, engine, cache=Path("cache"))
    thread.join()
    assert had_work
    assert facts["stored"] == SCANS
    assert contents(output) == contents(tmp_path / "local")


def test_the_manifest_is_the_same(cluster: Any, tmp_path: Path) -> None:
    from scanlens.manifest.build import build_manifest

    root = tmp_path / "scans"
    listing = empty_listing(40)
    listing["path"] = draw(root, 40)["path"]
    listing["label"] = ["ab"[row % 2] for row in range(40)]
    listing["patient"] = [f"p{row // 2}" for row in range(40)]
    (root / listing["path"][7]).write_bytes(b"no image")
    config = manifest_section(near_copies="off")
    built = [
        build_manifest(listing, root, SOURCE, config, engine=engine)
        for engine in (LOCAL, Engine("ray", 1, cluster.address))
    ]
    assert built[0].manifest["status"].eq("ok").sum() == 39
    pd.testing.assert_frame_equal(built[0].manifest, built[1].manifest)
    np.testing.assert_array_equal(built[0].thumbnails, built[1].thumbnails)
