"""Batch inference: files in, one row per scan out, failures in a table of their own."""

from __future__ import annotations

import csv
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial, singledispatch
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import pandas as pd
from tqdm import tqdm

from scanlens.errors import SettingsError
from scanlens.evaluation.calibration import calibrated_probabilities
from scanlens.evaluation.conformal import prediction_sets
from scanlens.evaluation.sets import ABSTAINED, abstains, column
from scanlens.evaluation.uncertainty import uncertainty
from scanlens.inference.bundle import Bundle
from scanlens.inference.output import output_folder
from scanlens.inference.reading import Reader, Ready
from scanlens.inference.runtime import LogitsFunction
from scanlens.maps.probability import probability_maps
from scanlens.pictures.diverging import number_picture, number_png
from scanlens.pictures.overlays import make_picture, overlay_png
from scanlens.pictures.shown import shown
from scanlens.scaling.cores import available_cores
from scanlens.scaling.engine import Engine, Failed, Limits, map_ordered
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.listing.written import FAILURES, MAPS, PREDICTIONS, is_written
from scanlens.sources.locate import base_folder
from scanlens.tasks import Classes, Number, Task, not_registered
from scanlens.types import FloatArray, ImageArray

# Companions of scans that people keep in the same folder; they are no failures.
_NOT_SCANS = {".csv", ".parquet", ".json", ".txt", ".md", ".html", ".yaml", ".yml", ".xlsx"}
_FEW = 4
"""Scans that are read in this process: starting others takes longer than reading these."""

_Drawn: TypeAlias = Callable[[ImageArray], tuple[FloatArray, bytes]]
"""From a scan as shown to its map and the PNG of its overlay."""


def list_inputs(path: Path, *, dims: int = 2) -> tuple[Path, pd.DataFrame]:
    """The folder that references are relative to, and the scans in it, sorted.

    Args:
        path: A file, or a folder that is searched with all below it. Hidden files and tables are passed
            over, and so is what an earlier prediction or explanation wrote; archives, and with ``dims=3``
            the series of DICOM files, become the scans in them.
        dims: 2 for images, 3 for volumes.

    Returns:
        The folder; ``path`` and ``problem`` as :func:`scanlens.sources.listing.tree.list_tree` gives them.

    Raises:
        SettingsError: Where there is nothing at ``path``, or a picture of ours.
    """
    if not path.exists():
        raise SettingsError(f"{path}: no such file or folder.", "Check --input.")
    if path.is_file() and is_written(path):
        raise SettingsError(f"{path}: scanlens wrote it, it is no scan.", "Check --input.")

    def skip(entry: Path) -> bool:
        return entry.suffix.lower() in _NOT_SCANS and not entry.is_dir()

    found = list_tree(path, dims=dims, skip=skip)
    if found.empty:
        raise SettingsError(f"{path}: holds no scans.", "Check --input.")
    return base_folder(path), found


def read_inputs(
    root: Path, scans: pd.DataFrame, bundle: Bundle, workers: int | None, doing: str, *, located: bool = False
) -> Iterator[tuple[str, Ready | Failed]]:
    """Yield every input by its reference, preprocessed as at training, or why it can't be; in order.

    Args:
        root: Folder that references are relative to.
        scans: From :func:`list_inputs`.
        bundle: Opened.
        workers: Processes that read; 0 reads in this one, without limits. None: one a core, and this one
            where there are no more than four scans.
        doing: What the progress bar says.
        located: Whether the scans come with their geometry.
    """
    problems: dict[str, str] = dict(zip(scans["path"].tolist(), scans["problem"].tolist(), strict=True))
    wanted = [reference for reference, unusable in problems.items() if not unusable]
    if workers is None:
        workers = available_cores() if len(wanted) > _FEW else 0
    read = map_ordered(
        Reader(root, bundle.dims, bundle.checks, bundle.preprocessor, located),
        wanted,
        engine=Engine("local", workers, None),
        limits=Limits(bundle.checks.timeout_s, bundle.checks.max_memory_mib),
        total=len(wanted),
    )
    for reference, unusable in tqdm(problems.items(), desc=doing, unit="scan", file=sys.stderr):
        yield reference, Failed(unusable) if unusable else next(read)


class _Rows(ABC):
    """Writes predictions batch by batch: memory does not grow with the number of scans."""

    def __init__(
        self, file: IO[str], bundle: Bundle, run: LogitsFunction, maps: Path | None, side: int
    ) -> None:
        self.bundle, self.run, self.maps, self.side = bundle, run, maps, side
        self.writer = csv.writer(file, lineterminator="\n")
        self.count = 0
        outputs = bundle.task.outputs(bundle.labels)
        self.writer.writerow(["path", "scan_id", *outputs, *self.further(), "map", "bundle"])

    def further(self) -> list[str]:
        """Columns beside those that every bundle of the task gives."""
        return []

    @abstractmethod
    def predicted(self, logits: FloatArray, local: FloatArray) -> Iterator[tuple[list[str], _Drawn]]:
        """The cells of each scan of a batch, and how its map and overlay are made."""

    def write(self, batch: list[Ready]) -> None:
        """Predict a batch and append its rows (and maps)."""
        logits, local = self.run(np.stack([item.pixels for item in batch]))
        for item, (cells, drawn) in zip(batch, self.predicted(logits, local), strict=True):
            picture = self._draw(item, drawn) if self.maps else ""
            self.writer.writerow([item.reference, item.scan_id, *cells, picture, self.bundle.bundle_id])
            self.count += 1

    def _draw(self, item: Ready, drawn: _Drawn) -> str:
        """Write a scan's map and its overlay; their path."""
        assert self.maps is not None
        # The number keeps two scans of one content apart, the bundle this run's maps and an earlier's.
        stem = f"{self.count:06d}-{item.scan_id}-{self.bundle.bundle_id}"
        values, png = drawn(shown(item.pixels, self.bundle.preprocessor.colour))
        np.save(self.maps / f"{stem}.npy", values)
        (self.maps / f"{stem}.png").write_bytes(png)
        return f"{MAPS}/{stem}.png"


class _ClassRows(_Rows):
    """Classes: probabilities, their sets, and the calibrated map of every class."""

    def further(self) -> list[str]:
        """How undecided the prediction is, and its set."""
        threshold = self.bundle.set_threshold
        sets = [] if threshold is None else [*map(column, self.bundle.labels), ABSTAINED]
        return ["uncertainty", *sets]

    def predicted(self, logits: FloatArray, local: FloatArray) -> Iterator[tuple[list[str], _Drawn]]:
        """The likeliest class, probabilities, uncertainty and set."""
        labels, threshold = self.bundle.labels, self.bundle.set_threshold
        probabilities = calibrated_probabilities(logits, self.bundle.temperature)
        spread = uncertainty(probabilities)
        sets = np.zeros((len(logits), 0)) if threshold is None else prediction_sets(probabilities, threshold)
        for row, undecided, inside, own in zip(probabilities, spread, sets, local, strict=True):
            label = int(row.argmax())
            # Whether each class is in the set, and whether a person has to decide.
            members = [*inside.astype(int), int(abstains(inside))] if len(inside) else []
            cells = [labels[label], *(f"{value:.6f}" for value in (*row, undecided)), *map(str, members)]
            yield cells, partial(self._overlay, own, label, float(row[label]))

    def _overlay(
        self, local: FloatArray, label: int, probability: float, image: ImageArray
    ) -> tuple[FloatArray, bytes]:
        """The map of every class (float16), and the overlay of the predicted one."""
        values = probability_maps(local[np.newaxis], self.bundle.temperature)[0]
        picture = make_picture(image, values[label], None, self.side)
        caption = f"{self.bundle.labels[label]} {probability:.2f}"
        return values.astype(np.float16), overlay_png(picture, caption)


class _NumberRows(_Rows):
    """A number, and the interval that was measured on the validation split."""

    def predicted(self, logits: FloatArray, local: FloatArray) -> Iterator[tuple[list[str], _Drawn]]:
        """The number and the ends of its interval."""
        width = self.bundle.half_width
        for value, own in zip(logits[:, 0].astype(np.float64), local[:, 0], strict=True):
            ends = ["", ""] if width is None else [f"{value - width:.6g}", f"{value + width:.6g}"]
            yield [f"{value:.6g}", *ends], partial(self._overlay, own, float(value))

    def _overlay(self, local: FloatArray, value: float, image: ImageArray) -> tuple[FloatArray, bytes]:
        """The value each cell argues for (float32), and its overlay."""
        scale = self.bundle.scale
        picture = number_picture(image, local, None, *scale, self.side)
        return local.astype(np.float32), number_png(picture, f"{self.bundle.labels[0]} {value:.4g}", *scale)


@singledispatch
def _rows_of(task: Task) -> type[_Rows]:
    """What writes the predictions of a task."""
    raise not_registered("scanlens predict", task)


@_rows_of.register
def _(task: Classes) -> type[_Rows]:
    return _ClassRows


@_rows_of.register
def _(task: Number) -> type[_Rows]:
    return _NumberRows


def _opened(path: Path) -> IO[str]:
    """A new text file, as the csv module wants it."""
    return path.open("w", newline="", encoding="utf-8")


def predict_batch(
    bundle: Bundle,
    run: LogitsFunction,
    path: Path,
    output: Path,
    *,
    batch_size: int,
    maps: bool,
    side: int = 320,
    workers: int | None = None,
) -> tuple[int, int]:
    """Predict every scan below ``path``.

    More than a few scans are read in processes of their own, under the limits of the bundle's checks: a
    file that crashes its decoder, never ends or asks for all memory is a failure among the others. A script
    that calls this does so below ``if __name__ == "__main__":``, or with ``workers=0``: processes import it.

    Args:
        bundle: Opened.
        run: From :func:`scanlens.inference.runtime.choose_runtime`.
        path: File or folder.
        output: Receives ``predictions.csv``, ``failures.csv`` and ``maps/`` when all is done; until then an
            earlier run's stay as they are.
        batch_size: Scans a forward pass.
        maps: Whether to write maps.
        side: Longest side of an overlay in pixels.
        workers: Processes that read; 0 reads in this one, without limits. None: one a core, and this one
            where there are no more than four scans.

    Returns:
        Numbers of predictions and of failures.

    Raises:
        SettingsError: Where there is nothing to predict, or ``output`` is somebody else's (see
            :func:`scanlens.inference.output.output_folder`).
    """
    root, scans = list_inputs(path, dims=bundle.dims)
    with (
        output_folder(output, (FAILURES, PREDICTIONS), maps=maps) as work,
        _opened(work / PREDICTIONS) as good,
        _opened(work / FAILURES) as bad,
    ):
        rows = _rows_of(bundle.task)(good, bundle, run, work / MAPS if maps else None, side)
        failed = csv.writer(bad, lineterminator="\n")
        failed.writerow(["path", "reason"])
        batch: list[Ready] = []
        for reference, item in read_inputs(root, scans, bundle, workers, "predict"):
            if isinstance(item, Failed):
                failed.writerow([reference, item.reason])
                continue
            batch.append(item)
            if len(batch) == batch_size:
                rows.write(batch)
                batch = []
        if batch:
            rows.write(batch)
    return rows.count, len(scans) - rows.count
