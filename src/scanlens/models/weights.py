"""Weights in and out as safetensors: no pickle, no code."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from scanlens.atomic import replacing
from scanlens.errors import SettingsError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs keep the state dict beside their counters."""


def save_weights(network: nn.Module, target: Path) -> str:
    """Write a network's state, by way of a temporary name.

    Returns:
        SHA-256 of the file.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with replacing(target) as temporary:
        # Not save_file: it makes the file readable by its owner alone, and bundles are mounted by others.
        temporary.write_bytes(save(state))
    return hashlib.sha256(target.read_bytes()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(source: Path) -> dict[str, Tensor]:
    """A state dict from ``.safetensors``, or from ``.pt``/``.pth`` read as tensors only.

    Raises:
        SettingsError: Where the file is missing or holds anything but tensors.
    """
    if not source.is_file():
        raise SettingsError(f"{source}: no such weights file.", "Check transfer.file.")
    try:
        if source.suffix == ".safetensors":
            return load_file(source)
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError) as error:
        reason = (str(error) or "empty").splitlines()[0]
        raise SettingsError(
            f"{source}: not readable as weights ({reason}).", "Copy or download the file again."
        ) from error
    except Exception as error:  # torch raises pickle.UnpicklingError, which must not be imported to be named
        raise SettingsError(
            f"{source}: holds more than tensors, or none, and was not opened.",
            "Save network.state_dict() alone, best as safetensors.",
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise SettingsError(f"{source}: holds no state dict of tensors.", "Save network.state_dict().")
    return state
