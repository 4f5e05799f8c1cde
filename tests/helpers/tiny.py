"""Small settings, stores and bundles that the tests of several packages share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from scanlens.atomic import write_json
from scanlens.config.schema import (
    Augmentation,
    Averaging,
    Checks,
    Leakage,
    Loss,
    Manifest,
    Mixing,
    Model,
    Optimiser,
    Packaging,
    Penalties,
    Penalty,
    Policy,
    Preprocess,
    Pretraining,
    Runtime,
    Schedule,
    SplitConfig,
    Tracking,
    Training,
    Transfer,
)
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.statistics import training_statistics
from scanlens.preprocess.store import Store, StoreWriter

LABELS = ("dark", "bright")

PREPROCESSOR = Preprocessor((16, 16), 1, "pad", "minmax", (0.5, 99.5), None, 2)


def checks(**changes: Any) -> Checks:
    """Section ``manifest.checks``: small scans pass."""
    default = {
        "min_side": 8, "max_pixels": 1 << 20, "max_aspect": 4.0, "max_saturated": 0.98, "max_wobble": 0.005,
        "modalities": None, "timeout_s": 60.0, "max_memory_mib": 1024,
    }  # fmt: skip
    return Checks(**{**default, **changes})  # type: ignore[arg-type]


CHECKS = checks(min_side=4)


def split(**changes: Any) -> SplitConfig:
    """Section ``manifest.split``: by patient."""
    default = {
        "method": "grouped", "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}, "folds": None, "fold": 0,
        "site": None, "seed": 7,
    }  # fmt: skip
    return SplitConfig(**{**default, **changes})  # type: ignore[arg-type]


def leakage(**changes: Any) -> Leakage:
    """Section ``manifest.leakage``: every leak is refused, contradictions are quarantined."""
    default = {
        "patients": "refuse", "copies": "refuse", "near_copies": "refuse", "contradictions": "quarantine",
        "shortcuts": "warn", "near_correlation": 0.96, "shortcut_accuracy": 0.95,
    }  # fmt: skip
    return Leakage(**{**default, **changes})  # type: ignore[arg-type]


def manifest_section(**changes: Any) -> Manifest:
    """Section ``manifest``; keywords go to the part of it that knows them."""
    parts = {"split": split, "checks": checks, "leakage": leakage}
    made = {}
    for name, make in parts.items():
        known = {key: changes.pop(key) for key in list(changes) if hasattr(make(), key)}
        made[name] = make(**known)
    return Manifest(**{"burned_in": "flag", **made, **changes})  # type: ignore[arg-type]


def preprocess_section(**changes: Any) -> Preprocess:
    """Section ``preprocess``: everything ``auto``, shards of four."""
    default = {
        "size": "auto", "spacing": None, "crop": "auto", "slices": 1, "channels": "auto", "aspect": "pad",
        "intensity": "auto", "percentiles": [0.5, 99.5], "windows": None, "range": "zscore", "shard_rows": 4,
    }  # fmt: skip
    return Preprocess(**{**default, **changes})  # type: ignore[arg-type]


def model(**changes: Any) -> Model:
    """Section ``model``: the plain network, narrow."""
    default = {
        "name": "cnn", "library": "auto", "stem": "auto", "width": 0.25, "dropout": 0.1, "head": "auto",
        "pooling": "average", "hidden": [], "activation": "relu", "args": {},
    }  # fmt: skip
    return Model(**{**default, **changes})  # type: ignore[arg-type]


def transfer(**changes: Any) -> Transfer:
    """Section ``transfer``: from scratch."""
    default = {
        "source": "none", "weights": None, "file": None, "mode": "full", "head_epochs": 0, "block_epochs": 1,
        "backbone_lr_scale": 1.0, "layer_decay": 1.0, "freeze_norm": False, "cache_features": True,
        "views": 2,
    }  # fmt: skip
    return Transfer(**{**default, **changes})  # type: ignore[arg-type]


def training(**changes: Any) -> Training:
    """Section ``training``: two short epochs."""
    none = Penalty(0.0, 0.0)
    default = {
        "epochs": 2, "epoch_scans": 0, "batch_size": 4, "accumulate": 1, "lr": 0.01, "weight_decay": 0.01,
        "optimiser": Optimiser("adamw", 0.9), "schedule": Schedule("one_cycle", 0.25, 0.01),
        "loss": Loss("auto", 0.0, 2.0, "none"), "penalties": Penalties(none, none),
        "averaging": Averaging("none", 0.9, 0.5), "mixing": Mixing(0.0, 0.0, 1.0), "sampling": "plain",
        "patience": 10, "gradient_clip": 1.0, "augment": True, "augment_share": 1.0,
        "use_bank": False, "use_synthetic": False, "folds": 1, "seed": 0,
    }  # fmt: skip
    return Training(**{**default, **changes})  # type: ignore[arg-type]


def pretraining(**changes: Any) -> Pretraining:
    """Section ``pretraining``: one short supervised epoch."""
    default = {
        "method": "supervised", "epochs": 1, "epoch_scans": 0, "batch_size": 4, "lr": 0.01,
        "weight_decay": 0.01, "projection": 16, "policy": augmentation().policy, "seed": 0,
    }  # fmt: skip
    return Pretraining(**{**default, **changes})  # type: ignore[arg-type]


def augmentation() -> Augmentation:
    """Section ``augmentation``: brightness and noise."""
    zero = dict.fromkeys(
        ("rotate_deg", "translate", "scale", "contrast", "gamma", "blur", "horizontal_flip"), 0.0
    )
    return Augmentation(Policy(**zero, brightness=0.1, noise=0.02), balance=True, max_factor=2.0, seed=0)


def runtime(**changes: Any) -> Runtime:
    """Section ``runtime``: one thread of the processor in full precision."""
    default = {"device": "cpu", "precision": "32", "compile": False, "devices": 1, "nodes": 1, "threads": 1,
               "workers": 1, "batch_size": 4,
               "engine": "local", "address": None}  # fmt: skip
    return Runtime(**{**default, **changes})  # type: ignore[arg-type]


def tracking(folder: Path, **changes: Any) -> Tracking:
    """Section ``tracking``: an SQLite store in ``folder``."""
    default = {
        "enabled": True,
        "uri": f"sqlite:///{folder / 'mlflow.db'}",
        "experiment": "tests",
        "register": True,
        "timeout_s": 1.0,
    }
    return Tracking(**{**default, **changes})  # type: ignore[arg-type]


def write_store(
    folder: Path,
    *,
    shape: tuple[int, ...] = (1, 16, 16),
    labels: tuple[str, ...] = LABELS,
    train: int = 6,
    other: int = 2,
    seed: int = 0,
    noise: float = 0.1,
) -> Store:
    """A store of noisy even scans, the brighter the later their label, mixed in order, with statistics.

    Args:
        folder: Receives the store.
        shape: ``(channel, *spatial)``.
        labels: Classes.
        train: Training scans a class.
        other: Validation scans a class, and test scans a class.
        seed: Of the noise.
        noise: Standard deviation.
    """
    rng = np.random.default_rng(seed)
    rows = [
        (label, split) for label in labels for split in ["train"] * train + ["val"] * other + ["test"] * other
    ]
    rows = [rows[place] for place in rng.permutation(len(rows))]
    index = pd.DataFrame(rows, columns=["label", "split"])
    index["scan_id"] = [f"{number:016x}" for number in range(len(rows))]
    index["patient"] = [f"p{number}" for number in range(len(rows))]
    index["site"], index["path"] = "", ""
    with StoreWriter(folder, shape, list(labels), 8) as writer:
        for label, _ in rows:
            level = (1 + labels.index(label)) / (1 + len(labels))
            writer.append(np.clip(rng.normal(level, noise, shape), 0, 1).astype(np.float32))
        writer.close(index)
    store = Store.open(folder)
    write_json(folder / "statistics.json", training_statistics(store))
    return store


def write_bundle(
    folder: Path,
    labels: tuple[str, ...] = LABELS,
    *,
    onnx: bool = True,
    preprocessor: Preprocessor = PREPROCESSOR,
) -> Path:
    """Train for an epoch and package; returns the bundle's folder.

    Args:
        folder: Receives ``store``, ``trained``, ``manifest``, ``reports`` and ``bundle``.
        labels: Classes.
        onnx: Whether the bundle holds an ONNX file.
        preprocessor: Its results are the network's input.
    """
    from scanlens.packaging.run import package
    from scanlens.scaling.device import Machine
    from scanlens.training.run import train

    shape = (preprocessor.channels, *preprocessor.size)
    store = write_store(folder / "store", shape=shape, labels=labels, train=8)
    write_json(folder / "store" / "preprocessor.json", preprocessor.to_json())
    train(
        {"store": folder / "store", "pretrained": folder / "pretrained"},
        model(),
        transfer(),
        training(epochs=3, epoch_scans=64, batch_size=8),
        augmentation(),
        Machine("cpu", "32", 1, 4),
        folder / "trained",
    )
    splits = pd.crosstab(store.index["split"], store.index["label"])
    counts = {split: {str(k): int(v) for k, v in row.items()} for split, row in splits.iterrows()}
    facts = {"data_hash": "d" * 64, "split_hash": "e" * 64, "splits": counts}
    write_json(folder / "manifest" / "manifest.json", facts)
    scores = {"auc_macro": {"value": 0.9, "low": 0.8, "high": 1.0}, "ece": {"value": None}}
    write_json(folder / "reports" / "evaluation.json", {"test": scores, "warnings": ["few test scans"]})
    calibration = {"method": "temperature", "temperature": 1.7, "set_threshold": 0.4, "confidence": 0.9}
    write_json(folder / "reports" / "calibration.json", calibration)
    (folder / "bundle").mkdir()
    package(
        Packaging("tiny", onnx),
        CHECKS,
        {"task": "binary", "dims": preprocessor.dims},
        folder / "manifest",
        folder / "store",
        folder / "trained",
        folder / "reports",
        folder / "bundle",
    )
    return folder / "bundle"


def write_scan(path: Path, seed: int = 0, shape: tuple[int, ...] = (20, 24)) -> Path:
    """A PNG of noise on a ramp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 100, shape)
    image = (noise + np.linspace(0, 155, shape[1])).astype(np.uint8)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def edit_bundle(folder: Path, **changes: Any) -> None:
    """Replace keys of a bundle's description as one who means harm would: its id fits again."""
    from scanlens.inference.bundle import WEIGHTS, identity

    content = {**json.loads((folder / "bundle.json").read_text(encoding="utf-8")), **changes}
    bundle_id = identity(content, content["files"][WEIGHTS])
    write_json(folder / "bundle.json", {**content, "bundle_id": bundle_id})


def edit_json(path: Path, **changes: Any) -> None:
    """Replace keys of a JSON file; None removes one."""
    content = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    write_json(path, {key: value for key, value in content.items() if value is not None})
