"""Does peak memory grow with the number of scans?

Private memory (what only this process holds) is sampled while a child process preprocesses N and 4 N
phantom-sized PNG files, and while it trains an epoch on them. Pages of the memory-mapped store are the
kernel's cache: they are not counted, and given back under pressure.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks.table import Row, is_quick, publish

SIDE = 128


def private_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no RssAnon in /proc/self/status")


def watched(work: Callable[[Path], None], folder: Path, answer: multiprocessing.Queue[float]) -> None:
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, private_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    work(folder)
    done.set()
    thread.join()
    answer.put(peak)


def peak_of(work: Callable[[Path], None], folder: Path) -> float:
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.Queue[float] = context.Queue()
    child = context.Process(target=watched, args=(work, folder, answer))
    child.start()
    peak = answer.get()
    child.join()
    return peak


def draw(folder: Path, count: int) -> None:
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    for i in range(count):
        target = folder / "raw" / "ab"[i % 2]
        target.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target / f"{i:06d}.png"), rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8))


def preprocess_all(folder: Path) -> None:
    from dataclasses import replace

    from scanlens.acquire.run import acquire
    from scanlens.config.load import load_section
    from scanlens.config.schema import Acquire, Data, Manifest, Preprocess
    from scanlens.manifest.build import build_manifest
    from scanlens.preprocess.run import preprocess
    from scanlens.sources.acquired import read_source

    data = replace(load_section(Data), kind="folder", root=str(folder / "raw"), labels=None, phantom=None)
    acquire(data, load_section(Acquire), folder / "listing")
    root, source = read_source(folder / "listing")
    import pandas as pd

    listing = pd.read_parquet(folder / "listing" / "listing.parquet")
    manifest = build_manifest(listing, root, source, load_section(Manifest)).manifest
    preprocess(manifest, root, source, load_section(Preprocess), folder / "store", cache=folder / "cache")


def train_epoch(folder: Path) -> None:
    from dataclasses import replace

    from scanlens.config.load import load_section
    from scanlens.config.schema import Augmentation, Model, Runtime, Training, Transfer
    from scanlens.scaling.device import prepare
    from scanlens.training.run import train

    training = replace(load_section(Training), epochs=1, epoch_scans=0, use_bank=False, use_synthetic=False)
    transfer = replace(load_section(Transfer), source="none", mode="full", head_epochs=0)
    output = folder / "trained"
    output.mkdir()
    train(
        {"store": folder / "store", "bank": folder, "synthetic": folder, "pretrained": folder},
        load_section(Model),
        transfer,
        training,
        load_section(Augmentation),
        prepare(load_section(Runtime), 2),
        output,
    )


WORKS = {"manifest and preprocess": preprocess_all, "one training epoch": train_epoch}


def main() -> None:
    count = 500 if is_quick() else 4000
    peaks: dict[tuple[str, int], float] = {}
    for n in (count, 4 * count):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            draw(folder, n)
            (folder / "params.yaml").write_bytes(Path("params.yaml").read_bytes())
            for what, work in WORKS.items():
                start = time.perf_counter()
                peaks[what, n] = peak_of(work, folder)
                print(
                    f"{what}, {n} scans: {peaks[what, n]:.0f} MiB, {time.perf_counter() - start:.0f} s",
                    flush=True,
                )
    rows = [
        Row(
            f"{what}: private peak MiB at {4 * count} scans against {count}",
            peaks[what, 4 * count],
            peaks[what, count],
            peaks[what, 4 * count] / peaks[what, count],
            "<= 1.1",
            1,
            0.0,
        )
        for what in WORKS
    ]
    publish("memory", rows)


if __name__ == "__main__":
    main()
