"""A tiny training as a stage: ``python -m tests.helpers.staged_fit FOLDER HOW`` ends it in a given way."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from pipelines.stage import stage
from scanlens.scaling.device import Machine
from scanlens.training import run as training_run
from tests.helpers.tiny import augmentation, model, training, transfer

LEFT = 200 << 20
"""Bytes of address space that remain where memory is to give out."""


def full_at_the_end() -> None:
    """Let the system refuse to make files grow once the fit is done, whose checkpoints know more to say."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    save = training_run.save_model

    def save_model(*arguments: Any) -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        return save(*arguments)

    training_run.save_model = save_model


def main(how: str) -> None:
    """Train in the working directory, and be hindered."""

    def listener(metrics: dict[str, float], epoch: int) -> None:
        if epoch == 1 and how.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[how])

    wide = model(width=16.0) if how.startswith("memory") else model()
    folders = {name: Path(name) for name in ("store", "bank", "synthetic", "pretrained")}
    with stage("training", Path("report.json")) as run:
        output = run.folder(Path("out"))
        if how.startswith("memory"):
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + LEFT, used + LEFT))
        if how == "disk":
            full_at_the_end()
        facts = training_run.train(
            folders, wide, transfer(), training(epochs=3), augmentation(),
            Machine("cpu", "32", 1, 4), output, listener,
        )  # fmt: skip
        run.report(facts, "done")


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    main(sys.argv[2])
