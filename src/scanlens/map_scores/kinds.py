"""The kinds of map that are scored: of any network and any scans, or computed beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from scanlens.errors import ScanlensError
from scanlens.maps.probability import EVIDENCE_MAP, GRAD_CAM, PROBABILITY_MAP, map_kinds
from scanlens.models.ensemble import Network
from scanlens.types import FloatArray

MapFunction: TypeAlias = Callable[[Network, Tensor], Tensor]
"""From a network and its input ``(batch, channel, *spatial)`` to maps ``(batch, class, *grid)``, any number
of cells. It is called without gradients and may switch them on."""


class MapKinds:
    """Every kind of map by name.

    Args:
        temperature: The calibration's, for the probability maps.
        linear: Whether logits are sums over cells, as :func:`scanlens.models.ensemble.is_linear` says; only
            then there are evidence maps.
        further: More kinds beside these and the raw Grad-CAM: a function, or maps
            ``(scan, class, *grid)`` of all scans that may be scored. Arrays have lesion scores and curves;
            repeatability and the randomised network need a function.
    """

    def __init__(
        self,
        temperature: float,
        further: Mapping[str, MapFunction | FloatArray] | None = None,
        *,
        linear: bool = True,
    ) -> None:
        self._temperature = temperature
        self._linear = linear
        further = further or {}
        self._functions = {name: make for name, make in further.items() if callable(make)}
        self._arrays = {name: np.asarray(given) for name, given in further.items() if not callable(given)}

    @property
    def computed(self) -> list[str]:
        """Kinds that can be drawn of any network and any scans."""
        evidence = [EVIDENCE_MAP] if self._linear else []
        return [PROBABILITY_MAP, *evidence, GRAD_CAM, *self._functions]

    @property
    def names(self) -> list[str]:
        """All kinds."""
        return [*self.computed, *self._arrays]

    def compute(self, network: Network, inputs: Tensor) -> dict[str, FloatArray]:
        """Maps ``(batch, class, *grid)`` of the computed kinds: :meth:`ordered` without the orders."""
        return self.ordered(network, inputs)[0]

    def ordered(
        self, network: Network, inputs: Tensor
    ) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Maps of the computed kinds, and what ranks their cells where the maps themselves do not.

        Args:
            network: In evaluation mode.
            inputs: Standardised scans ``(batch, channel, *spatial)``.

        Returns:
            Maps ``(batch, class, *grid)`` by kind. Orders of that shape: of the probability map its log-odds,
            for its cells are often 1 to the last digit; other kinds rank their cells themselves.

        Raises:
            ScanlensError: A map is not finite.
        """
        with torch.no_grad():
            _, local, rest, cams = (_numbers(part) for part in network.explain(inputs))
            own = map_kinds(local, rest, cams, self._temperature, linear=self._linear)
            maps = {
                **own.maps,
                **{name: _numbers(make(network, inputs)) for name, make in self._functions.items()},
            }
        for name, values in maps.items():
            if not np.isfinite(values).all():
                raise ScanlensError(f"Maps of kind {name} hold values that are not finite: nothing to score.")
        return maps, dict(own.orders)

    def given(self, positions: np.ndarray) -> dict[str, FloatArray]:
        """Maps of the kinds that were computed beforehand, at these positions of their first axis."""
        return {name: maps[positions] for name, maps in self._arrays.items()}


def of_class(maps: Mapping[str, FloatArray], classes: np.ndarray) -> dict[str, FloatArray]:
    """Of maps ``(batch, class, *grid)`` by kind the one of each scan's class, ``(batch, *grid)``."""
    scans = np.arange(len(classes))
    return {name: values[scans, classes] for name, values in maps.items()}


def _numbers(maps: Tensor) -> FloatArray:
    numbers: FloatArray = maps.detach().float().cpu().numpy()
    return numbers
