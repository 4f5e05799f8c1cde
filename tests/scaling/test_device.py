"""Settings and hardware to one machine description."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scanlens.errors import SettingsError
from scanlens.scaling.device import Machine, prepare
from tests.helpers.tiny import runtime


@pytest.fixture(autouse=True)
def _restore() -> Any:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic, warn_only=True)


def set_hardware(monkeypatch: pytest.MonkeyPatch, *, gpu: bool, bf16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": bf16})


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


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(
    ("precision", "fast", "dims", "bf16"),
    [
        ("auto", True, 2, True),
        ("auto", False, 2, False),
        ("auto", True, 3, False),
        ("bf16", False, 3, True),
        ("32", True, 2, False),
    ],
)
def test_precision(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, precision: Any, fast: bool, dims: int, bf16: bool
) -> None:
    set_hardware(monkeypatch, gpu=gpu, bf16=fast)
    assert prepare(runtime(device="auto", precision=precision), dims).bf16 is bf16


def test_threads_and_repeatability() -> None:
    torch.use_deterministic_algorithms(False)
    machine = prepare(runtime(threads=1, batch_size=7), 2)
    assert machine == Machine("cpu", False, 1, 7)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
