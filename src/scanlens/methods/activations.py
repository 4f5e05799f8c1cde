"""What one layer of a network makes of a scan: the activation of every channel at every cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.methods.target import Reading, reading
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble, Network


class _Reached(Exception):
    """The layer has spoken; what follows it needs no computing."""


@contextmanager
def _recorded(layer: nn.Module) -> Iterator[list[Tensor]]:
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            outputs.append(output)
        raise _Reached

    handle = layer.register_forward_hook(keep)
    try:
        yield outputs
    except _Reached:
        pass
    finally:
        handle.remove()


def activations(network: Network, scans: Tensor, name: str, layer: nn.Module) -> Tensor:
    """The output of a layer; nothing behind it is computed.

    Args:
        network: In evaluation mode.
        scans: Standardised, ``(batch, channel, *spatial)``.
        name: For errors.
        layer: As :func:`scanlens.methods.layers.find_layer` gives it. Of a layer that is used several
            times the first use counts.

    Returns:
        ``(batch, channel, *grid)``, however the layer itself orders its axes; a gradient flows back to the
        scans where they ask for one.

    Raises:
        SettingsError: The layer's output has no cells, or is not a number at some.
    """
    with _recorded(layer) as outputs:
        network(scans)
    found = outputs[0] if outputs else None
    read = _reading(network, layer, scans, found)
    if found is None or read is None:
        gives = f"{tuple(found.shape[1:])} of a scan" if found is not None else "no tensor"
        raise SettingsError(
            f"--layer {name} gives {gives}: that has no cells.",
            "Choose a convolution or a block, or none for the backbone's output.",
        )
    if not torch.isfinite(found.detach()).all():
        raise SettingsError(f"--layer {name} gives values that are not finite.", "Train the network again.")
    return read(found)


def _reading(network: Network, layer: nn.Module, scans: Tensor, found: Tensor | None) -> Reading | None:
    """How the layer's output is read; the backbone's own is in order already."""
    own = network.networks()[0] if isinstance(network, Ensemble) else network
    if found is None:
        return None
    backbones = [module.backbone for module in network.modules() if isinstance(module, Classifier)]
    if any(layer is backbone for backbone in backbones):
        return lambda output: output
    return reading(own, found, len(scans), scans.shape[2:])
