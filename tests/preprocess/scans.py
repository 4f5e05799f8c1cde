"""Generated scans with what preprocess reads of a manifest, and runs of preprocess in child processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from scanlens.preprocess import run
from scanlens.preprocess.run import preprocess
from scanlens.scaling.engine import Engine
from scanlens.sources.read import content_sha256
from tests.helpers.tiny import preprocess_section

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = {"kind": "folder", "dims": 2, "labels": ["a", "b"]}
SETTINGS: dict[str, Any] = {"size": 32, "shard_rows": 256}


def draw(root: Path, scans: int, side: int = 40, first: int = 0) -> pd.DataFrame:
    """Write noise images and return their manifest, all accepted."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for scan in range(first, first + scans):
        name = f"{scan:04d}.png"
        cv2.imwrite(
            str(root / name), np.random.default_rng(scan).integers(0, 256, (side, side), dtype=np.uint8)
        )
        rows.append({"path": name, "label": "ab"[scan % 2], "split": ("train", "val", "test")[scan // 2 % 3]})
    manifest = pd.DataFrame(rows)
    manifest["sha256"] = [content_sha256(root, path) for path in manifest["path"]]
    manifest["pixel_sha256"] = manifest["sha256"]
    manifest["scan_id"] = manifest["patient"] = manifest["group"] = manifest["path"].str[:4]
    manifest["shape"] = [[side, side]] * scans
    manifest["spacing"] = [[]] * scans
    return manifest.assign(
        status="ok", site="s", mask="", modality="OT", channels=1, bits=8, photometric="L", orientation=""
    )


def run_here(manifest: pd.DataFrame, root: Path, output: Path, **options: Any) -> dict[str, Any]:
    """Preprocess in this process."""
    settings = preprocess_section(**{**SETTINGS, **options.pop("settings", {})})
    return preprocess(manifest, root, SOURCE, settings, output, **options)


def start_child(
    manifest: pd.DataFrame, root: Path, output: Path, cache: Path, *, workers: int = 2, script: str = ""
) -> subprocess.Popen[str]:
    """Preprocess in a process group of its own; it prints the facts, or the refusal, as JSON.

    Args:
        manifest: As :func:`draw` makes it.
        root: The data root.
        output: The store's folder.
        cache: The cache's folder.
        workers: Processes that decode.
        script: Shell commands to run instead, as root of a mount namespace; the child is ``"$@"``.
    """
    table = root.with_name(f"{output.name}.parquet")
    manifest.to_parquet(table)
    command = [sys.executable, "-m", "tests.preprocess.scans"]
    command += [*map(str, (table, root, output, cache)), str(workers)]
    if script:
        command = ["unshare", "-rm", "sh", "-c", script, "sh", *command]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def facts_of(child: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Wait for a child and return what it said, an item a line."""
    out, _ = child.communicate(timeout=120)
    assert out, f"exit code {child.returncode}"
    return [json.loads(line) for line in out.splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a store by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def main() -> None:
    """Preprocess as the arguments say."""
    table, root, output, cache, workers = sys.argv[1:]
    # However few scans a test has, they go to worker processes.
    run.POOL_FROM_PIXELS = 0
    try:
        facts = run_here(
            pd.read_parquet(table),
            Path(root),
            Path(output),
            engine=Engine("local", int(workers), None),
            cache=Path(cache),
        )
    except run.ScanlensError as error:
        facts = {"refused": str(error)}
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
