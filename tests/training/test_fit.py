"""A fit is repeatable, can be killed and resumed to the byte, and says why where it can't go on."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from scanlens.config.schema import Averaging, Loss, Optimiser
from scanlens.errors import ScanlensError
from scanlens.models.classifier import Classifier
from scanlens.models.predict import predict
from scanlens.models.registry import build, resolve_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine, Precision
from scanlens.training import module, optimisers
from scanlens.training.datamodule import Batch, ScanBatches
from scanlens.training.fit import fit
from scanlens.training.recipe import Recipe, Thaw
from tests.helpers.tiny import model

Fit = Callable[..., tuple[Classifier, pd.DataFrame]]


DENSE: dict[str, Any] = {"network": {"name": "dense", "width": 1.0, "hidden": [8], "dropout": 0.0}}
"""The baseline on the pixels: no batch norm."""


class Killed(Exception):
    """Stands for a signal."""


def kill_after(epoch: int) -> Callable[[dict[str, float], int], None]:
    def listener(metrics: dict[str, float], current: int) -> None:
        if current == epoch:
            raise Killed

    return listener


def assert_same(one: Classifier, two: Classifier) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


def test_two_fits_are_byte_identical(run_fit: Fit) -> None:
    one, first = run_fit("one")
    two, second = run_fit("two")
    assert_same(one, two)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    other, _ = run_fit("three", seed=4)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_scans_are_changed_in_one_thread(run_fit: Fit) -> None:
    seen: list[int] = []

    def listen(metrics: dict[str, float], epoch: int) -> None:
        seen.append(cv2.getNumThreads())

    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        run_fit("one", listener=listen)
        assert set(seen) == {1}
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


RECIPES: list[dict[str, Any]] = [
    {},
    {"lr": 0.3, "thaw": Thaw(head_epochs=2, backbone_lr_scale=0.1)},
    {"thaw": Thaw(mode="gradual", head_epochs=1)},
    {"averaging": Averaging("ema", 0.9, 0.5)},
    {"averaging": Averaging("swa", 0.9, 0.5)},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_killed_fit_resumes_to_the_byte(run_fit: Fit, tmp_path: Path, recipe: dict[str, Any]) -> None:
    whole, expected = run_fit("whole", **recipe)
    # Killed twice, the second time in the last epoch.
    for epoch in (1, 3):
        with pytest.raises(Killed):
            run_fit("killed", kill_after(epoch), **recipe)
        assert (tmp_path / "killed").is_dir()
    resumed, history = run_fit("killed", **recipe)
    assert_same(whole, resumed)
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert not (tmp_path / "killed").exists()


def test_a_resumed_fit_repeats_no_finished_epoch(run_fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the last epochs were not the best ones."""
    epochs: list[int] = []

    def listener(metrics: dict[str, float], current: int) -> None:
        epochs.append(current)
        if current == 2 and epochs.count(2) == 1:
            raise Killed

    with pytest.raises(Killed):
        run_fit("killed", listener, opposed=True, epochs=6)
    _, history = run_fit("killed", listener, opposed=True, epochs=6)
    assert history["val_loss"].argmin() < 2, "the case is pointless if the last epochs are the best"
    # The epoch that was cut off was not kept yet; those before it were.
    printed = [
        int(line.split()[1].split("/")[0]) for line in capsys.readouterr().out.splitlines() if "/6" in line
    ]
    assert printed == [1, 2, 3, 3, 4, 5, 6]
    # The resumed run's listener hears of the kept epochs too: its tracked run has the whole curve.
    assert epochs == [0, 1, 2, *range(6)]


def test_a_fit_killed_after_its_last_epoch_still_ends(run_fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, expected = run_fit("whole")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            run_fit("killed")
    resumed, history = run_fit("killed")
    assert_same(whole, resumed)
    pd.testing.assert_frame_equal(history, expected, check_exact=True)


def test_the_network_is_left_at_its_best_epoch(run_fit: Fit, store: Store) -> None:
    network, history = run_fit(opposed=True, epochs=6)
    best = history["val_loss"].min()
    assert history["val_loss"].iloc[-1] > best, "the case is pointless if the last epoch is the best"
    rows = store.rows("val")
    logits = torch.from_numpy(predict(network, store, rows, store.statistics, 4, "cpu"))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(1 - store.targets(rows)))
    assert float(loss) == pytest.approx(best, abs=1e-5)


def test_the_history_has_a_row_an_epoch(run_fit: Fit) -> None:
    heard: list[tuple[int, dict[str, float]]] = []
    _, history = run_fit(listener=lambda metrics, epoch: heard.append((epoch, metrics)))
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert {"train_loss", "val_loss", "val_accuracy", "val_auc", "lr"} <= set(history.columns)
    assert [epoch for epoch, _ in heard] == [0, 1, 2, 3]
    assert [metrics["val_loss"] for _, metrics in heard] == history["val_loss"].tolist()
    # What the machine did is told, and no part of the result.
    assert {"scans_per_second", "epoch_seconds", "gradient_norm", "ram_mib"} <= set(heard[0][1])
    assert "ram_mib" not in history
    assert history.attrs["first_batch_s"] > 0


def test_a_stop_by_hand_keeps_the_checkpoint(run_fit: Fit, tmp_path: Path) -> None:
    """Lightning turns Ctrl-C into an exit with code 1; a stage must hear of it."""

    def stop(metrics: dict[str, float], epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_fit("stopped", stop)
    finally:
        # Lightning ignores any further Ctrl-C.
        signal.signal(signal.SIGINT, handler)
    assert (tmp_path / "stopped" / "last.ckpt").is_file()


def test_accumulated_batches_are_one_step(run_fit: Fit) -> None:
    """Two batches of four give the step of one of eight, for a network without batch norm or dropout."""
    whole, first = run_fit("whole", batch_size=8, **DENSE)
    halves, second = run_fit("halves", batch_size=4, accumulate=2, **DENSE)
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(tensor, halves.state_dict()[name], atol=1e-5), name
    assert np.allclose(first["train_loss"], second["train_loss"], atol=1e-5)


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "momentum"])
def test_the_gradient_is_clipped(
    store: Store,
    batches: Callable[..., ScanBatches],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: Precision,
    optimiser: str,
) -> None:
    """Also that of a fused optimiser under autocast, which Lightning would refuse to clip."""
    norms: list[float] = []

    def configure(*arguments: Any) -> tuple[torch.optim.Optimizer, LRScheduler]:
        made, schedule = optimisers.configure(*arguments)
        parameters = [p for group in made.param_groups for p in group["params"]]
        made.register_step_post_hook(
            lambda *_: norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in parameters])))
        )
        return made, schedule

    monkeypatch.setattr(module, "configure", configure)
    for clip in (0.0, 0.05):
        recipe = Recipe(
            epochs=1, batch_size=4, lr=0.01, weight_decay=0.0, epoch_scans=0, seed=0,
            optimiser=Optimiser(optimiser, 0.9), gradient_clip=clip,
        )  # fmt: skip
        network = build(resolve_model(model(), store.shape, 2), 1)
        machine = Machine("cpu", precision, 1, 4)
        fit(network, batches("train"), batches("val"), recipe, machine, tmp_path / "c")
    steps = len(norms) // 2
    assert steps == 4
    assert min(norms[:steps]) > 0.05
    assert norms[steps:] == pytest.approx([0.05] * steps, rel=1e-3)


def test_patience_ends_a_fit_that_gets_worse(run_fit: Fit) -> None:
    _, history = run_fit(opposed=True, epochs=12, patience=1)
    assert len(history) < 12
    assert history["val_loss"].argmin() == len(history) - 2


def test_a_loss_that_is_not_finite_is_an_error(run_fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(ScanlensError, match=r"loss is not finite.*training\.lr"):
        run_fit(lr=float("inf"), gradient_clip=0.0, epochs=2)
    # Nothing is left that a repeated run would resume.
    assert not (tmp_path / "checkpoints").exists()


def lose(monkeypatch: pytest.MonkeyPatch, epochs: range) -> None:
    """Validation outputs that are no numbers in some epochs."""
    step = module.ScanClassifier.validation_step

    def validation_step(self: module.ScanClassifier, batch: Batch, batch_idx: int) -> None:
        step(self, batch, batch_idx)
        if self.current_epoch in epochs:
            self._outputs[-1] *= float("nan")

    monkeypatch.setattr(module.ScanClassifier, "validation_step", validation_step)


def test_an_epoch_without_a_validation_loss_is_not_the_best(
    run_fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, plain = run_fit("whole", patience=4)
    assert plain["val_loss"].argmin() > 0, "the case is pointless if the first epoch is the best"
    lose(monkeypatch, range(1))
    network, history = run_fit("lost", patience=4)
    assert len(history) == 4
    assert np.isnan(history["val_loss"][0])
    assert_same(whole, network)


def test_no_validation_loss_at_all_is_an_error(
    run_fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, range(9))
    with pytest.raises(ScanlensError, match=r"validation loss is not finite.*training\.lr"):
        run_fit()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(("train", "val"), [("none", "val"), ("train", "none")])
def test_an_empty_split_is_an_error(
    store: Store, batches: Callable[..., ScanBatches], tmp_path: Path, train: str, val: str
) -> None:
    recipe = Recipe(epochs=1, batch_size=4, lr=0.1, weight_decay=0.0, epoch_scans=0, seed=0)
    network = build(resolve_model(model(), store.shape, 2))
    with pytest.raises(ScanlensError, match="split is empty"):
        fit(network, batches(train), batches(val), recipe, Machine("cpu", "32", 1, 4), tmp_path / "c")


def test_a_frozen_backbone_keeps_every_number(run_fit: Fit, store: Store) -> None:
    fresh = build(resolve_model(model(dropout=0.3), store.shape, 2), 1)
    network, _ = run_fit(thaw=Thaw(mode="head"), epochs=2)
    for name, tensor in fresh.backbone.state_dict().items():
        assert torch.equal(tensor, network.backbone.state_dict()[name]), name
    assert not torch.equal(fresh.head.weight, network.head.weight)


def test_class_weights_reach_the_loss(run_fit: Fit, store: Store) -> None:
    # Equal classes weigh one each: the same fit.
    assert np.ptp(np.bincount(store.targets(store.rows("train")))) == 0
    plain, _ = run_fit("plain", epochs=1)
    weighed, _ = run_fit("weighed", epochs=1, loss=Loss("auto", 0.0, 2.0, "inverse"))
    for name, tensor in plain.state_dict().items():
        assert torch.allclose(tensor, weighed.state_dict()[name], atol=1e-5), name
    smoothed, _ = run_fit("smoothed", epochs=1, loss=Loss("auto", 0.2, 2.0, "none"))
    assert not torch.equal(plain.head.weight, smoothed.head.weight)
