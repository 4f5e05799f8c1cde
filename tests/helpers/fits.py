"""Fits in processes of their own, which can be killed: ``python -m tests.helpers.fits FOLDER RUNS.json``.

Every run is a fork of this process, so that the libraries are imported once. A run ends by itself, by SIGKILL
at the batch or the checkpoint it names, or with an error, whose text it leaves in ``error.txt``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scanlens.config.schema import Averaging, Mixing, Schedule
from scanlens.models.registry import build, resolve_model
from scanlens.models.weights import save_weights
from scanlens.preprocess.store import Store
from scanlens.ranks import is_first
from scanlens.scaling.device import Machine
from scanlens.training.checkpoints import LAST
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.fit import fit
from scanlens.training.recipe import Recipe, Thaw
from tests.helpers.tiny import model, write_store

TYPES = {"averaging": Averaging, "mixing": Mixing, "schedule": Schedule, "thaw": Thaw}


class Deadly(ScanBatches):
    """Training batches that kill the process at the n-th of them."""

    fatal = 0
    read = 0

    def __getitems__(self, drawn: Sequence[Any]) -> Any:
        self.read += 1
        if self.read == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitems__(drawn)


def die_while_saving(number: int) -> None:
    """Let the n-th checkpoint be written by half before the process is killed."""
    save, saved = torch.save, 0

    def half(content: Any, file: Any) -> None:
        nonlocal saved
        saved += 1
        save(content, file)
        if saved == number:
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half


def die_behind_the_last(number: int) -> None:
    """Kill the process when the checkpoint of the n-th epoch is there."""
    replace, renamed = Path.replace, 0

    def deadly(self: Path, target: Path) -> Path:
        nonlocal renamed
        result = replace(self, target)
        renamed += target.name == LAST
        if renamed == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = deadly  # type: ignore[assignment,method-assign]


def run(folder: Path, store: Store, settings: dict[str, Any]) -> None:
    """One fit; what it learnt is in ``model.safetensors`` and ``history.csv``."""
    kill = settings.get("kill", {})
    if "save" in kill:
        die_while_saving(kill["save"])
    if "epoch" in kill:
        die_behind_the_last(kill["epoch"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(1)
    changes = {k: TYPES[k](**v) if k in TYPES else v for k, v in settings.get("recipe", {}).items()}
    default = {"epochs": 3, "batch_size": 4, "lr": 0.02, "weight_decay": 0.01, "epoch_scans": 48, "seed": 3}
    recipe = Recipe(**{**default, **changes})
    network = build(resolve_model(model(**{"dropout": 0.3, **settings.get("model", {})}), store.shape, 2), 1)
    train = Deadly([Part(store, store.rows("train"))], store.statistics, None)
    train.fatal = kill.get("batch", 0)
    val = ScanBatches([Part(store, store.rows("val"))], store.statistics, None)
    if settings.get("opposed"):
        val.targets = 1 - val.targets
    machine = Machine("cpu", "32", 1, 4, **settings.get("machine", {}))
    own = folder / settings["name"]
    history, _ = fit(network, train, val, recipe, machine, own / "checkpoints")
    if not is_first():
        return
    save_weights(network, own / "model.safetensors")
    history.to_csv(own / "history.csv", index=False)


def main(folder: Path, runs: list[dict[str, Any]]) -> list[int]:
    """Do all runs, one after the other.

    Returns:
        How each ended: the number of the signal that killed it, else 0.
    """
    store = Store.open(folder / "store")
    signals = []
    for settings in runs:
        (folder / settings["name"]).mkdir(exist_ok=True)
        child = os.fork()
        if child == 0:
            try:
                run(folder, store, settings)
            except Exception as error:
                (folder / settings["name"] / "error.txt").write_text(f"{type(error).__name__}: {error}")
                raise
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)
        _, status = os.waitpid(child, 0)
        signals.append(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    return signals


def write_tiny_store(folder: Path) -> None:
    """Eight training scans a class; classes that overlap, so that no epoch is perfect."""
    write_store(folder / "store", train=8, other=4, noise=0.4)


if __name__ == "__main__":
    result = main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
    (Path(sys.argv[1]) / "signals.json").write_text(json.dumps(result))
