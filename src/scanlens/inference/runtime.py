"""What computes a bundle's logits and local logits: ONNX Runtime where it is installed, else torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from scanlens.errors import BundleError, SettingsError
from scanlens.inference.bundle import ONNX, WEIGHTS, Bundle
from scanlens.preprocess.intensity import standardise
from scanlens.types import FloatArray

if TYPE_CHECKING:
    from scanlens.models.ensemble import Network

_RuntimeName = Literal["auto", "onnx", "torch"]
LogitsFunction = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""From scans in [0, 1], ``(n, channel, *spatial)``, to logits ``(n, class)`` and local logits
``(n, class, *grid)``, float32."""


def _onnx(bundle: Bundle, threads: int) -> LogitsFunction:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(bundle.folder / ONNX), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors have no other class in common
        raise BundleError(
            f"{bundle.folder / ONNX}: ONNX Runtime refuses it.", "Use --runtime torch."
        ) from error
    name = session.get_inputs()[0].name

    def run(scans: FloatArray) -> tuple[FloatArray, FloatArray]:
        standardised = np.ascontiguousarray(standardise(scans, bundle.statistics), np.float32)
        logits, local = session.run(None, {name: standardised})
        return logits, local

    return run


def load_network(bundle: Bundle) -> Network:
    """The bundle's network, in evaluation mode on the processor; no code of the bundle runs.

    Raises:
        BundleError: Where weights and architecture don't fit each other.
    """
    from scanlens.models.architecture import Architecture
    from scanlens.models.ensemble import rebuild
    from scanlens.models.weights import read_weights

    try:
        return rebuild(
            Architecture.from_json(bundle.architecture),
            bundle.description.get("members", 1),
            read_weights(bundle.folder / WEIGHTS),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SettingsError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BundleError(f"{bundle.folder}: architecture and weights do not fit ({reason}).") from error


def _torch(bundle: Bundle, threads: int) -> LogitsFunction:
    import torch

    from scanlens.models.predict import to_input

    torch.set_num_threads(threads)
    network = load_network(bundle)

    def run(scans: FloatArray) -> tuple[FloatArray, FloatArray]:
        with torch.inference_mode():
            evidence = network.explain(to_input(scans, bundle.statistics, "cpu"))
        return evidence.logits.numpy(), evidence.local.numpy()

    return run


def choose_runtime(bundle: Bundle, runtime: _RuntimeName, threads: int) -> tuple[str, LogitsFunction]:
    """The runtime's name and its function.

    Args:
        bundle: Opened.
        runtime: ``auto`` takes ONNX Runtime where bundle and machine have it.
        threads: Arithmetic threads.

    Raises:
        BundleError: Where the bundle holds no ONNX model, or the runtime asked for is not installed.
    """
    has_model = ONNX in bundle.description["files"]
    has_onnx = importlib.util.find_spec("onnxruntime") is not None
    if runtime == "onnx" and not has_model:
        raise BundleError(
            f"{bundle.folder}: holds no {ONNX}.", "Package with packaging.onnx=true or use --runtime torch."
        )
    if runtime == "onnx" and not has_onnx:
        raise BundleError("onnxruntime is not installed.", "Run: pip install onnxruntime")
    if runtime != "torch" and has_model and has_onnx:
        return "onnx", _onnx(bundle, threads)
    if importlib.util.find_spec("torch") is None:
        raise BundleError(
            f"{bundle.folder}: neither ONNX Runtime nor torch can run it here.",
            "Package with packaging.onnx=true, or install torch.",
        )
    return "torch", _torch(bundle, threads)
