"""Does the training loop cost anything beside the arithmetic?

Ours: Lightning over the memory-mapped store, with augmentation, metrics and callbacks. Against it: a bare
loop over one batch already in memory, the same network, precision and optimiser. Epochs of the two alternate
in one process.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch

from benchmarks.table import Row, is_quick, median, publish, spread
from scanlens.augmentation.policy import build_policy
from scanlens.config.load import load_section
from scanlens.config.schema import Augmentation, Model, Runtime
from scanlens.models.registry import build, resolve
from scanlens.preprocess.statistics import write_statistics
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.scaling.device import prepare
from scanlens.training.callbacks import HeadFirst, History, Reseed
from scanlens.training.datamodule import Part, ScanBatches, ScanData
from scanlens.training.losses import cross_entropy
from scanlens.training.module import ScanClassifier
from scanlens.training.optimisers import one_cycle

BATCH = 32


def make_store(folder: Path, side: int, count: int) -> Store:
    rng = np.random.default_rng(0)
    with StoreWriter(folder, (1, side, side), ["a", "b"], 1024) as writer:
        for _ in range(count):
            writer.append(rng.random((1, side, side), dtype=np.float32))
        ids = [f"s{i}" for i in range(count)]
        label = ["ab"[i % 2] for i in range(count)]
        writer.close(
            pd.DataFrame(
                {"scan_id": ids, "patient": ids, "label": label, "split": "train", "site": "", "path": ids}
            )
        )
    write_statistics(Store.open(folder))
    return Store.open(folder)


class Clock(pl.Callback):
    """Times the steps of one epoch, the first (warm-up) left out."""

    def __init__(self) -> None:
        self.start = 0.0
        self.speeds: list[float] = []
        self.between = lambda: None

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int
    ) -> None:
        if index == 1:
            self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # From the start of batch 1 to the end: that many whole batches, with their data path.
        self.speeds.append(
            BATCH * (int(trainer.num_training_batches) - 1) / (time.perf_counter() - self.start)
        )
        self.between()


def compare(side: int, epochs: int, steps: int, folder: Path) -> Row:
    machine = prepare(load_section(Runtime), 2)
    store = make_store(folder, side, BATCH * steps)
    policy = build_policy(load_section(Augmentation).policy, 2, 1)
    batches = ScanBatches([Part(store, store.rows("train"))], store.statistics, policy)
    model = load_section(Model)
    bare_network = build(resolve(model, store.shape, 2)).to(memory_format=torch.channels_last)
    optimiser, schedule = one_cycle(bare_network, 1e-3, 1.0, 0.05, 10_000)
    scans, targets = batches.__getitems__([(i, i) for i in range(BATCH)])
    loss = cross_entropy(0.05, None)
    bare: list[float] = []

    def bare_epoch() -> None:
        bare_network.train()
        for step in range(steps):
            if step == 1:
                start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=machine.bf16):
                value = loss(bare_network(scans).float(), targets)
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(bare_network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        bare.append(BATCH * (steps - 1) / (time.perf_counter() - start))

    network = build(resolve(model, store.shape, 2)).to(memory_format=torch.channels_last)
    clock = Clock()
    clock.between = bare_epoch
    trainer = pl.Trainer(
        accelerator="cpu",
        precision="bf16-mixed" if machine.bf16 else "32-true",
        max_epochs=epochs,
        gradient_clip_val=1.0,
        callbacks=[Reseed(0), HeadFirst(0, False), History(None), clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        deterministic="warn",
    )
    module = ScanClassifier(network, loss, 1e-3, 1.0, 0.05)
    trainer.fit(module, ScanData(batches, batches, BATCH, 0, 0))
    ours, against = clock.speeds[1:], bare[1:]
    ratios = [a / b for a, b in zip(ours, against, strict=True)]
    name = f"{model.name} x {model.width}, {side} px, batch {BATCH}: images/s, our loop against a bare one"
    return Row(name, median(ours), median(against), median(ratios), ">= 0.9", len(ours), spread(ours))


def main() -> None:
    quick = is_quick()
    with tempfile.TemporaryDirectory() as folder:
        sides = [128] if quick else [28, 128, 224]
        rows = [compare(side, 6 if quick else 10, 12, Path(folder) / str(side)) for side in sides]
    publish("training", rows)


if __name__ == "__main__":
    main()
