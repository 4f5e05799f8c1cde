"""This machine: device, precision, threads. The only place that asks the hardware."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from scanlens.config.schema import Runtime
from scanlens.errors import SettingsError
from scanlens.ranks import launched
from scanlens.scaling.cores import available_cores
from scanlens.scaling.heap import keep_feature_maps

Precision = Literal["32", "bf16", "fp16"]


@dataclass(frozen=True)
class Machine:
    """What a stage runs on, every ``auto`` resolved.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: Of training: ``32``, ``bf16`` or ``fp16`` (both by autocast). Evaluation and inference
            always compute in float32: their probabilities must not depend on the machine.
        threads: Arithmetic threads of one process.
        batch_size: Scans a forward pass outside training.
        compile: Whether training compiles the network.
        devices: Training processes a node.
        nodes: Machines that train together.
    """

    device: Literal["cpu", "cuda"]
    precision: Precision
    threads: int
    batch_size: int
    compile: bool = False
    devices: int = 1
    nodes: int = 1


def _best_precision(device: str, dims: int) -> Precision:
    """bfloat16 for images on a GPU that multiplies it natively, else float32.

    Never on a processor: there it saves a quarter of the default run, was never better in three pairs of
    trainings (``docs/results.md``), and what a run gives would hang on the processor's make.
    """
    if device == "cuda" and dims == 2 and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "32"


def _processes(runtime: Runtime, device: str) -> tuple[int, int]:
    """Training processes a node and nodes: those that a launcher started, else as set."""
    if (started := launched()) is not None:
        return started
    if runtime.devices != "auto":
        devices = int(runtime.devices)
    else:
        devices = torch.cuda.device_count() if device == "cuda" else 1
    if device == "cuda" and devices > torch.cuda.device_count():
        raise SettingsError(
            f"runtime.devices is {devices}, but torch sees {torch.cuda.device_count()} GPUs.",
            "Use runtime.devices=auto.",
        )
    return devices, runtime.nodes


def prepare(runtime: Runtime, dims: int) -> Machine:
    """Resolve the runtime settings and make torch repeatable.

    Args:
        runtime: Section ``runtime``.
        dims: 2 for images, 3 for volumes.

    Raises:
        SettingsError: Where GPUs are demanded that are not there.
    """
    has_gpu = torch.cuda.is_available()
    if runtime.device == "cuda" and not has_gpu:
        raise SettingsError(
            "runtime.device is cuda, but torch sees no GPU.", "Use runtime=auto or runtime=cpu."
        )
    device: Literal["cpu", "cuda"] = "cuda" if has_gpu and runtime.device != "cpu" else "cpu"
    devices, nodes = _processes(runtime, device)
    # Processes of one machine share its cores.
    share = max(1, available_cores() // devices)
    threads = share if runtime.threads == "auto" else int(runtime.threads)
    torch.set_num_threads(threads)
    if device == "cpu":
        keep_feature_maps()
    # cuBLAS is repeatable only with a fixed workspace; it must be set before the first call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # With it comes that memory is cleared which is about to be written: time for nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    precision: Precision
    precision = _best_precision(device, dims) if runtime.precision == "auto" else runtime.precision
    if precision == "fp16" and device == "cpu":
        raise SettingsError("runtime.precision=fp16 needs a GPU.", "Use bf16 or 32.")
    return Machine(device, precision, threads, runtime.batch_size, runtime.compile, devices, nodes)
