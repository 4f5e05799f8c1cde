"""Settings and hardware to one machine description."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scanlens.errors import SettingsError
from scanlens.scaling.cores import available_cores
from scanlens.scaling.device import Machine, prepare
from tests.helpers.tiny import runtime


@pytest.fixture(autouse=True)
def _restore() -> Any:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic, warn_only=True)


def set_hardware(monkeypatch: pytest.MonkeyPatch, *, gpu: bool, bf16: bool, count: int = 1) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count if gpu else 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)


@pytest.mark.parametrize(
    ("gpu", "setting", "device"),
    [(True, "auto", "cuda"), (True, "cpu", "cpu"), (True, "cuda", "cuda"), (False, "auto", "cpu")],
)
def test_device(monkeypatch: pytest.MonkeyPatch, gpu: bool, setting: Any, device: str) -> None:
    set_hardware(monkeypatch, gpu=gpu, bf16=False)
    assert prepare(runtime(device=setting), 2).device == device


def test_a_demanded_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    set_hardware(monkeypatch, gpu=False, bf16=False)
    with pytest.raises(SettingsError, match=r"no GPU.*runtime=cpu"):
        prepare(runtime(device="cuda"), 2)
    set_hardware(monkeypatch, gpu=True, bf16=False, count=2)
    with pytest.raises(SettingsError, match=r"devices is 3.*2 GPUs"):
        prepare(runtime(device="cuda", devices=3), 2)


@pytest.mark.parametrize(
    ("gpu", "precision", "fast", "dims", "expected"),
    [
        (True, "auto", True, 2, "bf16"),
        (True, "auto", False, 2, "32"),
        (True, "auto", True, 3, "32"),
        (False, "auto", True, 2, "32"),
        (False, "bf16", False, 3, "bf16"),
        (True, "32", True, 2, "32"),
    ],
)
def test_precision(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, precision: Any, fast: bool, dims: int, expected: str
) -> None:
    set_hardware(monkeypatch, gpu=gpu, bf16=fast)
    assert prepare(runtime(device="auto", precision=precision), dims).precision == expected


def test_half_precision_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="fp16 needs a GPU"):
        prepare(runtime(precision="fp16"), 2)
    set_hardware(monkeypatch, gpu=True, bf16=False)
    assert prepare(runtime(device="auto", precision="fp16"), 2).precision == "fp16"


def test_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    set_hardware(monkeypatch, gpu=True, bf16=False, count=4)
    machine = prepare(runtime(device="auto", devices="auto", nodes=2), 2)
    assert (machine.devices, machine.nodes) == (4, 2)
    set_hardware(monkeypatch, gpu=False, bf16=False)
    assert prepare(runtime(devices="auto"), 2).devices == 1
    two = prepare(runtime(devices=2, threads="auto"), 2)
    assert (two.devices, two.threads) == (2, max(1, available_cores() // 2))
    # A launcher knows better than the settings.
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    machine = prepare(runtime(), 2)
    assert (machine.devices, machine.nodes) == (2, 4)


def test_compile_is_handed_on() -> None:
    assert prepare(runtime(compile=True), 2).compile
    assert not prepare(runtime(), 2).compile


def test_threads_and_repeatability() -> None:
    torch.use_deterministic_algorithms(False)
    machine = prepare(runtime(threads=1, batch_size=7), 2)
    assert machine == Machine("cpu", "32", 1, 7)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
