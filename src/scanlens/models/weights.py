"""Weights in and out as safetensors: no pickle, no code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from scanlens.atomic import replacing
from scanlens.errors import SettingsError

_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


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


def read_weights(source: Path, part: str | None = None) -> dict[str, Tensor]:
    """A state dict from ``.safetensors``, or from ``.pt``/``.pth`` read as tensors only.

    Args:
        source: The file.
        part: Which of several networks in it: the key that one stands under, or what its names begin with.

    Raises:
        SettingsError: Where the file is missing, holds anything but tensors, or several networks of which
            none is chosen.
    """
    if source.is_dir():
        held = sorted(path.name for path in source.iterdir() if path.suffix in _SUFFIXES)
        raise SettingsError(
            f"{source}: a folder, not a weights file.",
            f"Set transfer.file to one of its files: {', '.join(held)}." if held else "Check transfer.file.",
        )
    if not source.is_file():
        raise SettingsError(f"{source}: no such weights file.", "Check transfer.file.")
    try:
        if source.suffix == ".safetensors":
            content = load_file(source)
        else:
            content = torch.load(source, map_location="cpu", weights_only=True)
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
    return _network_in(source, content, part)


def _network_in(source: Path, content: Any, part: str | None) -> dict[str, Tensor]:
    """The one state dict of a file's content, or the chosen one."""
    if _is_state(content):
        if part is None:
            return content
        start = f"{part}."
        state = {name.removeprefix(start): value for name, value in content.items() if name.startswith(start)}
        if not state:
            known = sorted({name.split(".")[0] for name in content})
            raise SettingsError(
                f"{source}: transfer.weights is {part}, with which no name in it begins.",
                f"They begin with: {', '.join(known)}.",
            )
        return state
    entries = content.items() if isinstance(content, dict) else ()
    found = {str(key): state for key, state in entries if _is_state(state)}
    if not found:
        raise SettingsError(f"{source}: holds no state dict of tensors.", "Save network.state_dict().")
    # A few tensors beside a network, such as those of a scaler, are no other network.
    least = max(map(len, found.values())) / 2
    found = {key: state for key, state in found.items() if len(state) >= least}
    if part is None and len(found) == 1:
        return next(iter(found.values()))
    if part not in found:
        raise SettingsError(
            f"{source}: holds {len(found)} networks" + (f", none of them {part}." if part else "."),
            f"Choose one: transfer.weights={' | '.join(found)}",
        )
    return found[part]


def _is_state(content: Any) -> TypeGuard[dict[str, Tensor]]:
    return (
        isinstance(content, dict) and bool(content) and all(isinstance(t, Tensor) for t in content.values())
    )
