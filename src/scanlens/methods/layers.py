"""A layer of a network by its name."""

from __future__ import annotations

import difflib

from torch import nn

from scanlens.errors import SettingsError
from scanlens.models.ensemble import Ensemble, Network

_FEW = 12
"""Layers that an error names."""


def find_layer(network: Network, name: str | None) -> tuple[str, nn.Module]:
    """A layer by its name.

    Args:
        network: Of an ensemble the first member is looked into, unless the name says ``members.K.``.
        name: As ``scanlens model`` and ``network.named_modules()`` have it, with or without ``backbone.`` in
            front; None for the backbone's output, which probability maps are made of.

    Returns:
        Its full name, and the layer.

    Raises:
        SettingsError: There is no such layer; the message names the closest ones.
    """
    modules = {found: module for found, module in network.named_modules() if found}
    prefix = "members.0." if isinstance(network, Ensemble) else ""
    wanted = "backbone" if name is None else name
    for candidate in (wanted, prefix + wanted, f"{prefix}backbone.{wanted}"):
        if candidate in modules:
            return candidate, modules[candidate]
    known = [found.removeprefix(prefix) for found in modules if found.startswith(f"{prefix}backbone")]
    close = difflib.get_close_matches(wanted, known, n=_FEW, cutoff=0.5) or known[:_FEW]
    more = f" and {len(known) - len(close)} more" if len(known) > len(close) else ""
    raise SettingsError(
        f"--layer: no layer {wanted!r} in this network.",
        f"There are {', '.join(close)}{more} (`scanlens model NAME` shows all).",
    )
