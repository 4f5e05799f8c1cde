"""What the machine did, told to a listener once an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import psutil
import pytest

from scanlens.models.classifier import Classifier
from scanlens.training.recipe import Thaw

Fit = Callable[..., tuple[Classifier, pd.DataFrame]]


def test_every_group_has_its_rate(run_fit: Fit) -> None:
    heard: list[dict[str, Any]] = []
    thaw = Thaw(backbone_lr_scale=0.1)
    run_fit(listener=lambda metrics, epoch: heard.append(metrics), epochs=2, thaw=thaw)
    assert len(heard) == 2
    for metrics in heard:
        rates = {name: value for name, value in metrics.items() if name.startswith("lr_")}
        backbone = [value for name, value in rates.items() if name.startswith("lr_backbone")]
        assert backbone
        for value in backbone:
            assert value == pytest.approx(0.1 * rates["lr_head"], rel=1e-6)


def test_numbers_are_of_this_process(run_fit: Fit) -> None:
    heard: list[dict[str, Any]] = []
    run_fit(listener=lambda metrics, epoch: heard.append(metrics), epochs=2)
    memory = psutil.Process().memory_info().rss / (1 << 20)
    for metrics in heard:
        assert memory / 2 < metrics["ram_mib"] < memory * 2
        assert metrics["gradient_norm"] > 0
        assert metrics["cpu_percent"] >= 0
        # 16 scans an epoch.
        assert metrics["scans_per_second"] * metrics["epoch_seconds"] == pytest.approx(16)


def test_a_fit_says_early_how_long_it_will_take(run_fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run_fit(epochs=1, epoch_scans=100)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("about ")]
    assert len(said) == 1
    assert "at most 1 epochs on this machine" in said[0]
    run_fit(folder="short", epochs=2)
    assert "about " not in capsys.readouterr().out, "16 scans are over before anything can be said"
