"""The overlays folder: pictures of the chosen scans, and the gallery's card for each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanlens.explanation.gallery import Card
from scanlens.explanation.overlays import make_picture, maps_png, outline_png, overlay_png, scan_png
from scanlens.explanation.scores import LesionScore
from scanlens.types import FloatArray, ImageArray

FOLDER = "overlays"


class Album:
    """Draws scans into a folder that takes its name when it is complete.

    Args:
        output: Folder that receives ``overlays/``.
        labels: Names of the classes.
        side: Longest side of a picture in pixels.
    """

    def __init__(self, output: Path, labels: list[str], side: int) -> None:
        self._final = output / FOLDER
        self._folder = output / f"{FOLDER}.partial"
        self._labels = labels
        self._side = side
        self.picture_shape = (side, side)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()

    def draw(
        self,
        prediction: dict[str, Any],
        image: ImageArray,
        maps: FloatArray,
        mask: npt.NDArray[np.bool_] | None,
        score: LesionScore | None,
    ) -> Card:
        """Write the pictures of one scan: itself, its overlay, a strip of all maps, the lesion's border.

        Args:
            prediction: The scan's row of the predictions.
            image: The preprocessed scan in [0, 1], ``(channel, *spatial)``.
            maps: Its probability maps ``(class, *grid)``.
            mask: Its lesion mask ``(*spatial)``, or None.
            score: What the card says of the mask.
        """
        scan_id, predicted = prediction["scan_id"], self._labels.index(prediction["predicted"])
        probabilities = [float(prediction[f"probability_{label}"]) for label in self._labels]
        picture = make_picture(image, maps, mask, predicted, self._side)
        self.picture_shape = (picture.scan.shape[0], picture.scan.shape[1])
        caption = f"{self._labels[predicted]} {probabilities[predicted]:.2f}"
        if picture.slice is not None:
            caption += f", slice {picture.slice + 1}/{image.shape[1]}"
        outline = outline_png(picture)
        return Card(
            scan_id=scan_id,
            label=self._labels.index(prediction["label"]),
            predicted=predicted,
            probabilities=probabilities,
            uncertainty=float(prediction["uncertainty"]),
            scan=self._write(f"{scan_id}-scan.png", scan_png(picture)),
            maps=self._write(f"{scan_id}-maps.png", maps_png(picture)),
            overlay=self._write(f"{scan_id}.png", overlay_png(picture, predicted, caption)),
            outline="" if outline is None else self._write(f"{scan_id}-lesion.png", outline),
            slice=picture.slice,
            score=score,
        )

    def close(self) -> None:
        """Put the folder in the place of an earlier one."""
        shutil.rmtree(self._final, ignore_errors=True)
        self._folder.replace(self._final)

    def _write(self, name: str, data: bytes) -> str:
        (self._folder / name).write_bytes(data)
        return f"{FOLDER}/{name}"
