"""Means over scans with intervals from a bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from scanlens.config.schema import MapScores
from scanlens.estimate import Estimate
from scanlens.evaluation.intervals import bootstrap_intervals
from scanlens.types import FloatArray

WeightedMeans: TypeAlias = Callable[[FloatArray], dict[str, FloatArray]]
"""From weights ``(resample, scan)`` to a number for each resample."""


class Estimator:
    """Estimates for one set of scans.

    Args:
        patients: ``(scan,)`` pseudonyms; "" is unknown and counts as a patient of its own.
        settings: Resamples, confidence and seed.
    """

    def __init__(self, patients: np.ndarray, settings: MapScores) -> None:
        self._patients = np.asarray(patients)
        self._settings = settings

    def of(self, indices: np.ndarray) -> Estimator:
        """The same for some of the scans."""
        return Estimator(self._patients[indices], self._settings)

    def means(self, values: Mapping[str, FloatArray]) -> dict[str, Estimate]:
        """Mean of each column of numbers.

        Args:
            values: ``(scan,)`` or ``(scan, draw)`` by name. Draws (random networks) are resampled too,
                beside the patients: Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics.
        """
        columns = {name: np.asarray(column, np.float64) for name, column in values.items()}
        draws = {name: np.random.default_rng(self._settings.seed) for name in columns}

        def weighted(weights: FloatArray) -> dict[str, FloatArray]:
            total = weights.sum(axis=1)
            means = {}
            for name, column in columns.items():
                own = (weights @ column).T / total
                if column.ndim == 2:
                    count = column.shape[1]
                    shares = draws[name].multinomial(count, np.full(count, 1 / count), size=len(weights))
                    own = (own * shares.T / count).sum(axis=0)
                means[name] = own
            return means

        return self._estimates(
            {name: column.mean() for name, column in columns.items() if column.size}, weighted
        )

    def ratio(self, above: FloatArray, below: FloatArray) -> Estimate:
        """Ratio of two means, ``(scan,)`` each."""
        return self._estimates(
            {"ratio": float(np.mean(above) / np.mean(below))},
            lambda weights: {"ratio": (weights @ above) / (weights @ below)},
        )["ratio"]

    def curve(self, points: FloatArray) -> dict[str, list[float | None]]:
        """Mean curve of ``(scan, point)``, with an interval at each point."""
        found = self.means({str(point): column for point, column in enumerate(np.asarray(points).T)})
        return {
            key: [estimate.bounds()[key] for estimate in found.values()] for key in ("value", "low", "high")
        }

    def _estimates(self, values: Mapping[str, float], metrics: WeightedMeans) -> dict[str, Estimate]:
        if not values:
            return {}
        found = bootstrap_intervals(
            metrics,
            np.zeros(len(self._patients), np.int64),
            self._patients,
            resamples=self._settings.resamples,
            confidence=self._settings.confidence,
            seed=self._settings.seed,
        )
        return {name: found.estimate(name, value) for name, value in values.items()}
