"""Where memory ends: fewer scans at a time on a GPU, a clear line on a processor, the checkpoint kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from scanlens.errors import ScanlensError, shortage
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training.datamodule import ScanBatches
from scanlens.training.fit import fit
from scanlens.training.recipe import Recipe
from tests.helpers.tiny import model

Batches = Callable[..., ScanBatches]


class Narrow(nn.Module):
    """A backbone that learns from a few scans at a time; more are too many, as a GPU would say.

    Args:
        backbone: What works.
        most: Scans that fit.
        error: What too many raise.
        calls: Training batches before memory gets short.
    """

    def __init__(self, backbone: nn.Module, most: int, error: Exception, calls: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.most, self.error, self.calls = most, error, calls

    def forward(self, scans: Tensor) -> Tensor:
        # Not self.training: what has no weights is in evaluation mode throughout.
        if torch.is_grad_enabled():
            self.calls -= 1
            if self.calls < 0 and len(scans) > self.most:
                raise self.error
        maps: Tensor = self.backbone(scans)
        return maps


def dense(store: Store, seed: int = 1) -> Classifier:
    """No batch norm, no dropout: the parts of a batch learn what it would."""
    return build(resolve_model(model(name="dense", width=1.0, hidden=[8], dropout=0.0), store.shape, 2), seed)


def run(network: Classifier, batches: Batches, folder: Path, **changes: Any) -> pd.DataFrame:
    default: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 8,
        "lr": 0.02,
        "weight_decay": 0.0,
        "epoch_scans": 0,
    }
    recipe = Recipe(**{**default, "seed": 3, **changes})
    history, _ = fit(network, batches("train"), batches("val"), recipe, Machine("cpu", "32", 1, 4), folder)
    return history


@pytest.mark.parametrize("calls", [0, 3], ids=["at once", "amid an epoch"])
def test_batches_that_do_not_fit_are_worked_on_in_parts(
    store: Store, batches: Batches, tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: int
) -> None:
    plain = dense(store)
    expected = run(plain, batches, tmp_path / "plain")
    narrow = dense(store)
    narrow.backbone = Narrow(narrow.backbone, 2, torch.OutOfMemoryError("CUDA out of memory."), calls)
    history = run(narrow, batches, tmp_path / "narrow")
    said = capsys.readouterr().out
    assert "batches of 8 are now worked on in 2 parts" in said
    assert "batches of 8 are now worked on in 4 parts" in said
    # The same batches, so the same network, to rounding.
    for name, tensor in plain.head.state_dict().items():
        assert torch.allclose(tensor, narrow.head.state_dict()[name], atol=1e-5), name
    assert np.allclose(history["train_loss"], expected["train_loss"], atol=1e-5)
    assert np.allclose(history["lr"], expected["lr"])


def test_no_part_is_small_enough(store: Store, batches: Batches, tmp_path: Path) -> None:
    narrow = dense(store)
    narrow.backbone = Narrow(narrow.backbone, 0, torch.OutOfMemoryError("CUDA out of memory."), 3)
    with pytest.raises(ScanlensError, match=r"Out of memory at training\.batch_size=8 in 8 parts"):
        run(narrow, batches, tmp_path / "narrow")
    assert (tmp_path / "narrow" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")],
    ids=str,
)
def test_a_processor_has_no_more(store: Store, batches: Batches, tmp_path: Path, error: Exception) -> None:
    narrow = dense(store)
    narrow.backbone = Narrow(narrow.backbone, 2, error, 3)
    with pytest.raises(ScanlensError, match=r"Out of memory at training\.batch_size=8\. Lower"):
        run(narrow, batches, tmp_path / "narrow")
    assert (tmp_path / "narrow" / "last.ckpt").is_file()


def test_the_real_allocator_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert shortage(caught.value) == "memory"
    assert shortage(RuntimeError("shape mismatch")) is None


def test_other_errors_pass(store: Store, batches: Batches, tmp_path: Path) -> None:
    narrow = dense(store)
    narrow.backbone = Narrow(narrow.backbone, 0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(narrow, batches, tmp_path / "narrow")
