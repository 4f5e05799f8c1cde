"""The overlays folder: pictures of the chosen scans, and the gallery's card for each."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.explanation.cards import Card, Example, Mark
from scanlens.maps.pointing import LesionScore
from scanlens.pictures.overlays import (
    make_picture,
    overlay_png,
    scan_pixels,
    scan_png,
    size_within,
    to_indices,
)
from scanlens.pictures.slices import animation, outlines, sheet_png
from scanlens.types import FloatArray, ImageArray

if TYPE_CHECKING:
    from scanlens.maps.regions import Region

OVERLAYS = "overlays"
THUMBNAIL = 112
"""Longest side of a training scan's picture in pixels."""
MAX_PLACES = 64
"""Cells along an axis of a map inside the page; finer maps are averaged down to it."""


class Album:
    """Draws scans into a folder that takes its name when it is complete.

    Args:
        output: Folder that receives ``overlays/``.
        labels: Names of the classes.
        side: Longest side of a picture in pixels.
    """

    def __init__(self, output: Path, labels: list[str], side: int) -> None:
        self._final = output / OVERLAYS
        self._folder = output / f"{OVERLAYS}.partial"
        self._labels = labels
        self._side = side
        self._examples: set[str] = set()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)

    def draw(
        self,
        prediction: dict[str, Any],
        image: ImageArray,
        maps: FloatArray,
        mask: npt.NDArray[np.bool_] | None,
        score: LesionScore | None,
        *,
        prediction_set: Sequence[str] | None = None,
        abstained: bool = False,
        regions: Sequence[Region] = (),
        neighbours: Sequence[Example] = (),
    ) -> Card:
        """Write the pictures of one scan: itself, its overlay, and of a volume its slices, still and moving.

        Args:
            prediction: The scan's row of the predictions.
            image: The preprocessed scan in [0, 1], ``(channel, *spatial)``.
            maps: Its probability maps ``(class, *grid)``.
            mask: Its lesion mask ``(*spatial)``, or None.
            score: What the card says of the mask.
            prediction_set: Classes of the calibrated set; None where none was made.
            abstained: Whether the network passes the scan on to a person.
            regions: Its suspicious regions, in pixels of the store.
            neighbours: Its nearest training scans, from :meth:`example`.
        """
        scan_id, predicted = prediction["scan_id"], self._labels.index(prediction["predicted"])
        probabilities = [float(prediction[f"probability_{label}"]) for label in self._labels]
        picture = make_picture(image, maps[predicted], mask, self._side)
        volume = picture.slice is not None
        caption = f"{self._labels[predicted]} {probabilities[predicted]:.2f}"
        if volume:
            caption += f", slice {(picture.slice or 0) + 1}/{image.shape[1]}"
        still = image[:, picture.slice] if volume else image
        # In the volume's own pixels: the page enlarges it, and frames are dear to write.
        moving = min(self._side, max(image.shape[-2:]))
        return Card(
            scan_id=scan_id,
            label=self._labels.index(prediction["label"]),
            predicted=predicted,
            probabilities=probabilities,
            uncertainty=float(prediction["uncertainty"]),
            scan=self._write(f"{scan_id}-scan.png", self._own_size(still)),
            overlay=self._write(f"{scan_id}.png", overlay_png(picture, caption)),
            maps=to_indices(_bounded(maps)),
            outline=outlines(mask, volume),
            slice=picture.slice,
            score=score,
            sheet=self._write(f"{scan_id}-slices.png", sheet_png(image, self._side)) if volume else "",
            animation=(
                self._write(f"{scan_id}.webp", animation(image, maps[predicted], mask, moving))
                if volume
                else ""
            ),
            prediction_set=(
                None if prediction_set is None else [self._labels.index(label) for label in prediction_set]
            ),
            abstained=abstained,
            regions=[self._mark(region, image.shape[1:]) for region in regions],
            neighbours=neighbours,
        )

    def example(self, scan_id: str, label: str, distance: float, image: ImageArray) -> Example:
        """Write the picture of a training scan, once, and give what a card says of it.

        Args:
            scan_id: The training scan.
            label: Its label.
            distance: Cosine distance from the card's scan.
            image: The preprocessed scan in [0, 1], ``(channel, *spatial)``; of a volume the middle slice
                is drawn.
        """
        name = f"train-{scan_id}.png"
        if scan_id not in self._examples:
            still = image[:, image.shape[1] // 2] if image.ndim == 4 else image
            height, width = size_within(still.shape[1:], min(THUMBNAIL, max(still.shape[1:])))
            self._write(name, scan_png(scan_pixels(still, height, width)))
            self._examples.add(scan_id)
        return Example(scan_id, self._labels.index(label), distance, f"{OVERLAYS}/{name}")

    def close(self) -> None:
        """Put the folder in the place of an earlier one."""
        shutil.rmtree(self._final, ignore_errors=True)
        self._folder.replace(self._final)

    def _mark(self, region: Region, size: tuple[int, ...]) -> Mark:
        (top, left), (bottom, right), (height, width) = region.low[-2:], region.high[-2:], size[-2:]
        return Mark(
            label=self._labels.index(region.label),
            peak=region.peak,
            mean=region.mean,
            box=(top / height, left / width, bottom / height, right / width),
            area=region.share,
            area_mm2=region.area_mm2,
            volume_mm3=region.volume_mm3,
            slices=(region.low[0], region.high[0] - 1) if len(size) == 3 else None,
        )

    def _own_size(self, image: ImageArray) -> bytes:
        """PNG of ``(channel, height, width)`` in its own pixels, or fewer: enlarging would add only bytes."""
        height, width = size_within(image.shape[1:], min(self._side, max(image.shape[1:])))
        return scan_png(scan_pixels(image, height, width))

    def _write(self, name: str, data: bytes) -> str:
        (self._folder / name).write_bytes(data)
        return f"{OVERLAYS}/{name}"


def _bounded(maps: FloatArray) -> FloatArray:
    """Maps ``(class, *grid)`` of at most :data:`MAX_PLACES` rows and columns, averaged."""
    rows, width = maps.shape[-2:]
    size = min(rows, MAX_PLACES), min(width, MAX_PLACES)
    if size == (rows, width):
        return maps
    planes = np.asarray(maps, np.float32).reshape(-1, rows, width)
    small = [cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA) for plane in planes]
    return np.asarray(small, np.float32).reshape(*maps.shape[:-2], *size)
