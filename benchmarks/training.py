"""What does the training loop cost beside the arithmetic, and what do others' loops cost?

Ours is :func:`scanlens.training.fit.fit` as the training stage calls it: scans from the memory-mapped store,
augmentation, metrics, checkpoints. Against it, with the same network on the same scans: bare PyTorch loops
over one batch in memory, MONAI's cached data set and trainer, and Lightning over an image folder. Rounds
alternate in one process; images a second are those between the third batch and the last. All compute with
torch's own layers, and only ours with its own gradient of the generalised mean; a further row gives that to a
bare loop too. The bare loops get our setting of malloc, the two libraries the usual one; none of them is made
repeatable.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import torch

from benchmarks import rivals
from benchmarks.table import Row, is_quick, median, publish, spread
from scanlens.augmentation.policy import build_policy
from scanlens.config.load import load_section
from scanlens.config.schema import Augmentation, Model, Runtime, Training, Transfer
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.preprocess.statistics import write_statistics
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.scaling.device import Machine, prepare
from scanlens.training.datamodule import Batch, Part, ScanBatches
from scanlens.training.features import with_features
from scanlens.training.fit import fit
from scanlens.training.recipe import Recipe, training_recipe

BATCH = 32
CLASSES = 2


def make_store(folder: Path, side: int, count: int) -> Store:
    """Noise with one validation batch: speed does not depend on what scans show."""
    rng = np.random.default_rng(0)
    with StoreWriter(folder, (1, side, side), ["a", "b"], 1024) as writer:
        for _ in range(count + BATCH):
            writer.append(rng.random((1, side, side), dtype=np.float32))
        ids = [f"s{i}" for i in range(count + BATCH)]
        label = ["ab"[i % 2] for i in range(count + BATCH)]
        split = ["train"] * count + ["val"] * BATCH
        writer.close(
            pd.DataFrame(
                {"scan_id": ids, "patient": ids, "label": label, "split": split, "site": "", "path": ids}
            )
        )
    write_statistics(Store.open(folder))
    return Store.open(folder)


class Clocked(ScanBatches):
    """Notes when each batch is asked for; the thread that prepares them is one batch ahead of the steps."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.times: list[float] = []

    def __getitems__(self, drawn: Sequence[tuple[int, int]]) -> Batch:
        self.times.append(time.perf_counter())
        return super().__getitems__(drawn)


class Round:
    """One network on one store: every competitor from the same first weights.

    Args:
        model: Section ``model``.
        side: Of the scans, pixels.
        steps: Steps a round.
        folder: Receives the store, the image folder and the checkpoints.
    """

    def __init__(self, model: Model, side: int, steps: int, folder: Path) -> None:
        self.model, self.side, self.steps, self.folder = model, side, steps, folder
        self.machine: Machine = prepare(load_section(Runtime), 2)
        self.store = make_store(folder / "store", side, BATCH * steps)
        rows = self.store.rows("train")
        self.images = folder / "images"
        rivals.write_images(self.images, self.store.read(rows), self.store.targets(rows))
        self.first_batch: list[float] = []

    def network(self) -> Classifier:
        """Fresh, always the same."""
        return build(resolve_model(self.model, self.store.shape, CLASSES))

    def plain(self) -> Classifier:
        """The same of torch's own layers alone."""
        return rivals.plain_pooling(self.network())

    def parts(self) -> tuple[Clocked, ScanBatches]:
        """What ours learns from and is validated on."""
        policy = build_policy(load_section(Augmentation).policy, 2, 1, load_section(Training).augment_share)
        train = Clocked([Part(self.store, self.store.rows("train"))], self.store.statistics, policy)
        return train, ScanBatches([Part(self.store, self.store.rows("val"))], self.store.statistics, None)

    def recipe(self) -> Recipe:
        """The shipped settings, for one epoch of plain length."""
        shipped = training_recipe(load_section(Training), load_section(Transfer))
        free = dataclasses.replace(shipped.thaw, mode="full", head_epochs=0)
        return dataclasses.replace(
            shipped, epochs=1, epoch_scans=0, batch_size=BATCH, lr=rivals.LR, thaw=free
        )

    def ours(self) -> float:
        """The training stage's own fit."""
        train, val = self.parts()
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=self.folder) as checkpoints:
            fit(self.network(), train, val, self.recipe(), self.machine, Path(checkpoints) / "fit")
        # Asked for again, the first batch has been handed over.
        self.first_batch.append(train.times[1] - start)
        return rivals.speed(train.times, BATCH)

    def monai(self) -> float:
        """MONAI's way, in half as many steps: each takes twice as long."""
        with rivals.usual_malloc(), rivals.unrepeatable():
            return rivals.monai(self.plain(), self.images, self.side, BATCH, self.steps // 2)

    def folder_of_images(self) -> float:
        """Lightning's way, likewise."""
        with rivals.usual_malloc(), rivals.unrepeatable():
            return rivals.image_folder(self.plain(), self.images, BATCH, self.steps // 2)

    def bare(self, *, fast: bool, own: bool = False) -> float:
        """Plain PyTorch; ``fast`` with bfloat16 and channels last, ``own`` pools as ours."""
        train, _ = self.parts()
        batch = train.__getitems__([(i, i) for i in range(BATCH)])
        network = self.network() if own else self.plain()
        bf16 = fast and self.machine.precision == "bf16"
        scans = batch.scans.contiguous()
        steps = self.steps if fast else self.steps // 2
        with rivals.unrepeatable():
            return rivals.bare(network, scans, batch.targets, steps, bf16=bf16, channels_last=fast)

    def probe(self, *, cached: bool) -> float:
        """Scans a second of a frozen backbone's epochs, its features computed before or each time."""
        network = self.network()
        train, val = self.parts()
        transfer = dataclasses.replace(load_section(Transfer), mode="head", cache_features=cached)
        recipe = dataclasses.replace(
            training_recipe(load_section(Training), transfer),
            epochs=4 if cached else 1,
            epoch_scans=0,
            lr=rivals.LR,
        )
        architecture = resolve_model(self.model, self.store.shape, CLASSES)
        section = load_section(Augmentation)
        stand_in = with_features(network, architecture, train, val, transfer, section, recipe, self.machine)
        with tempfile.TemporaryDirectory(dir=self.folder) as checkpoints:
            return fit(*stand_in, recipe, self.machine, Path(checkpoints) / "fit")[1]

    def compare_probe(self, rounds: int, name: str) -> Row:
        """Alternate frozen forward passes and kept features."""
        kept, forward = [], []
        for _ in range(rounds):
            kept.append(self.probe(cached=True))
            forward.append(self.probe(cached=False))
        ratios = [a / b for a, b in zip(kept, forward, strict=True)]
        what = f"{name}, {self.side} px, frozen: scans/s of an epoch on kept features against forward passes"
        return Row(what, median(kept), median(forward), median(ratios), ">= 20", rounds, spread(ratios))

    def there_and_back(self) -> dict[str, list[float]]:
        """Ours and the bare fast loops twice each: a machine that slows down slows all down alike."""
        way: list[tuple[str, Callable[[], float]]] = [
            ("bare fast", lambda: self.bare(fast=True)),
            ("ours", self.ours),
            ("bare own", lambda: self.bare(fast=True, own=True)),
        ]
        found: dict[str, list[float]] = {}
        for key, run in way + way[::-1]:
            found.setdefault(key, []).append(run())
        return found

    def compare(self, rounds: int, name: str) -> list[Row]:
        """Alternate the competitors, drop the first round, hold median ratios against the bars."""
        found: dict[str, list[float]] = {}
        for _ in range(rounds + 1):
            for key, both in self.there_and_back().items():
                found.setdefault(key, []).append(statistics.fmean(both))
            for key, run in (
                ("bare fp32", lambda: self.bare(fast=False)),
                ("monai", self.monai),
                ("folder", self.folder_of_images),
            ):
                found.setdefault(key, []).append(run())
        found = {key: values[1:] for key, values in found.items()}
        best = "bare fast" if median(found["bare fast"]) > median(found["bare fp32"]) else "bare fp32"
        questions = [
            (f"the best bare loop ({best})", best, ">= 0.95"),
            ("the bare fast loop with our gradient of the pooling", "bare own", ""),
            ("a bare fp32 loop", "bare fp32", ""),
            ("MONAI's CacheDataset and SupervisedTrainer", "monai", ""),
            ("Lightning over an ImageFolder", "folder", ">= 2"),
        ]
        rows = []
        for words, key, bar in questions:
            ratios = [a / b for a, b in zip(found["ours"], found[key], strict=True)]
            what = f"{name}, {self.side} px, batch {BATCH}: images/s, ours against {words}"
            rows.append(
                Row(
                    what,
                    median(found["ours"]),
                    median(found[key]),
                    median(ratios),
                    bar,
                    rounds,
                    spread(ratios),
                )
            )
        seconds = self.first_batch[2:]
        what = f"{name}, {self.side} px: seconds from the call of fit to the first batch handed over"
        rows.append(Row(what, median(seconds), 3.0, median(seconds), "<= 3", rounds, spread(seconds)))
        return rows


def main() -> None:
    """Quick: one network at one size."""
    quick = is_quick()
    shipped = load_section(Model)
    resnet = dataclasses.replace(shipped, name="resnet18", stem="standard", width=1.0, args={})
    cases = (
        [(shipped, "cnn", 128)]
        if quick
        else [(m, n, s) for m, n in ((shipped, "cnn"), (resnet, "ResNet-18")) for s in (128, 224)]
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model, name, side in cases:
            steps = 24 if model is shipped and not quick else 16
            game = Round(model, side, steps, Path(folder) / f"{name}-{side}")
            rows += game.compare(3 if quick else 5, name)
            rows.append(game.compare_probe(3 if quick else 5, name))
    publish("training", rows)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
