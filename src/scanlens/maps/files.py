"""The map arrays on disk: memory-mapped, filled batch by batch, renamed when complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanlens.errors import ScanlensError
from scanlens.types import FloatArray

MAPS = "maps-00000.npy"
"""float32 ``(scan, class, *grid)``: calibrated probability at each cell, rows as in ``index.parquet``.
Where a number is predicted ``(scan, *grid)``: what each cell argues for."""
GRADCAM = "gradcam-00000.npy"
"""float32 ``(scan, class, *coarser)``: raw Grad-CAM at the cells of the last feature map, in units of the
logit, rows as in ``index.parquet``."""


class MapFiles:
    """Writes :data:`MAPS` and :data:`GRADCAM` of a known set of scans, in whatever order they come.

    Args:
        folder: Receives the two files.
        rows: Store rows of the scans, in the order of the files' first axis.
    """

    def __init__(self, folder: Path, rows: npt.NDArray[np.integer]) -> None:
        self._folder = folder
        self._positions = {int(row): position for position, row in enumerate(rows)}
        self._seen = np.zeros(len(rows), bool)
        self._files: dict[str, np.memmap] = {}

    def put(
        self, rows: npt.NDArray[np.integer], maps: FloatArray, cams: FloatArray
    ) -> npt.NDArray[np.integer]:
        """Store one batch, ``(n, class, *grid)`` each, and give back its positions in the files."""
        if not self._files:
            for name, values in ((MAPS, maps), (GRADCAM, cams)):
                partial, shape = self._folder / f"{name}.partial", (len(self._seen), *values.shape[1:])
                self._files[name] = np.lib.format.open_memmap(
                    partial, mode="w+", dtype=np.float32, shape=shape
                )
        positions = np.array([self._positions[int(row)] for row in rows], dtype=np.int64)
        self._files[MAPS][positions] = maps
        self._files[GRADCAM][positions] = cams
        self._seen[positions] = True
        return positions

    def close(self) -> tuple[int, ...]:
        """Give the files their names and return the grid.

        Raises:
            ScanlensError: Some scan has no map yet.
        """
        if not self._seen.all() or not self._files:
            raise ScanlensError(f"Maps came for {int(self._seen.sum())} of {len(self._seen)} test scans.")
        grid = tuple(self._files[MAPS].shape[2:])
        for name in list(self._files):
            self._files.pop(name).flush()
            (self._folder / f"{name}.partial").replace(self._folder / name)
        return grid
