"""Batch inference: files in, one row a scan out, failures in a table of their own."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from scanlens.atomic import replacing
from scanlens.errors import SettingsError, UnreadableScan
from scanlens.evaluation.calibration import calibrated_probabilities
from scanlens.evaluation.uncertainty import uncertainty
from scanlens.explanation.maps import probability_maps
from scanlens.explanation.overlays import make_picture, overlay_png
from scanlens.inference.bundle import Bundle
from scanlens.inference.runtime import LocalLogits
from scanlens.manifest.checks import problem
from scanlens.sources.locate import locate, printable
from scanlens.sources.medmnist import list_rows
from scanlens.sources.read import content_sha256, read_scan
from scanlens.types import FloatArray, ImageArray

# Companions of scans that people keep in the same folder; they are no failures.
NOT_SCANS = {".csv", ".parquet", ".json", ".txt", ".md", ".html", ".yaml", ".yml", ".xlsx"}


@dataclass(frozen=True)
class Ready:
    """A preprocessed scan on its way to the network."""

    reference: str
    scan_id: str
    pixels: ImageArray


def list_inputs(path: Path, output: Path | None = None) -> tuple[Path, list[str]]:
    """The folder that references are relative to, and the scans in it, sorted.

    Args:
        path: A file, or a folder that is searched with all below it. Hidden files and tables are passed
            over; links to folders are not followed.
        output: A folder that is passed over: an earlier run's maps are no scans.

    Raises:
        SettingsError: Where there is nothing at ``path``.
    """
    if not path.exists():
        raise SettingsError(f"{path}: no such file or folder.", "Check --input.")
    if not path.is_dir():
        found = [path.name]
        root = path.parent
    else:
        root = path
        found = []
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if output is not None:
                folders[:] = [name for name in folders if (Path(folder) / name).resolve() != output.resolve()]
            names = [n for n in files if not n.startswith(".") and Path(n).suffix.lower() not in NOT_SCANS]
            found += [(Path(folder) / name).relative_to(path).as_posix() for name in names]
    references: list[str] = []
    for name in sorted(found):
        references += _rows(root, name) if name.lower().endswith(".npz") else [name]
    if not references:
        raise SettingsError(f"{path}: holds no scans.", "Check --input.")
    return root, references


def _rows(root: Path, name: str) -> list[str]:
    """The images of an archive; one that can't be opened stays a single scan, which then fails by name."""
    prefix = name.removesuffix(Path(name).name)
    try:
        return [prefix + reference for reference in list_rows(locate(root, name))]
    except UnreadableScan:
        return [name]


def _ready(root: Path, references: list[str], bundle: Bundle, failures: Any) -> Iterator[Ready]:
    for reference in tqdm(references, desc="predict", unit="scan", file=sys.stderr):
        try:
            scan = read_scan(root, reference, dims=bundle.dims, max_pixels=bundle.checks.max_pixels)
            if reason := problem(scan, bundle.dims, bundle.checks):
                raise UnreadableScan(reference, reason)
            pixels = bundle.preprocessor.apply(scan, reference)
            yield Ready(reference, content_sha256(root, reference)[:16], pixels)
        except UnreadableScan as error:
            failures.writerow([printable(reference)[0], error.reason])


class _Rows:
    """Writes predictions batch by batch: memory does not grow with the number of scans."""

    def __init__(self, file: IO[str], bundle: Bundle, run: LocalLogits, maps: Path | None, side: int) -> None:
        self.bundle, self.run, self.maps, self.side = bundle, run, maps, side
        self.writer = csv.writer(file, lineterminator="\n")
        probabilities = [f"probability_{label}" for label in bundle.labels]
        self.writer.writerow(["path", "scan_id", "label", *probabilities, "uncertainty", "map", "bundle"])
        self.count = 0

    def write(self, batch: list[Ready]) -> None:
        """Predict a batch and append its rows (and maps)."""
        local = self.run(np.stack([item.pixels for item in batch]))
        logits = local.reshape(*local.shape[:2], -1).mean(-1, dtype=np.float64)
        probabilities = calibrated_probabilities(logits, self.bundle.temperature)
        spread = uncertainty(probabilities)
        for item, row, certainty, own in zip(batch, probabilities, spread, local, strict=True):
            label = int(row.argmax())
            picture = self._draw(item, own, label, float(row[label])) if self.maps else ""
            numbers = [f"{value:.6f}" for value in row]
            name = self.bundle.labels[label]
            self.writer.writerow(
                [
                    printable(item.reference)[0],
                    item.scan_id,
                    name,
                    *numbers,
                    f"{certainty:.6f}",
                    picture,
                    self.bundle.bundle_id,
                ]
            )
            self.count += 1

    def _draw(self, item: Ready, local: FloatArray, label: int, probability: float) -> str:
        """Write the calibrated map of every class (float16) and the overlay of the predicted one."""
        assert self.maps is not None
        values = probability_maps(local[np.newaxis], self.bundle.temperature)[0]
        picture = make_picture(item.pixels, values, None, label, self.side)
        caption = f"{self.bundle.labels[label]} {probability:.2f}"
        # The running number keeps two scans of one content apart.
        stem = f"{self.count:06d}-{item.scan_id}"
        np.save(self.maps / f"{stem}.npy", values.astype(np.float16))
        (self.maps / f"{stem}.png").write_bytes(overlay_png(picture, label, caption))
        return f"maps/{stem}.png"


def _opened(path: Path) -> IO[str]:
    """A new text file, as the csv module wants it."""
    try:
        return path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"{path.parent}: can't be written ({error.strerror}).", "See --output."
        ) from error


def predict_batch(
    bundle: Bundle,
    run: LocalLogits,
    path: Path,
    output: Path,
    *,
    batch_size: int,
    maps: bool,
    side: int = 320,
) -> tuple[int, int]:
    """Predict every scan below ``path``.

    Args:
        bundle: Opened.
        run: From :func:`scanlens.inference.runtime.choose`.
        path: File or folder.
        output: Receives ``predictions.csv``, ``failures.csv`` and ``maps/``; the tables appear when all is
            done.
        batch_size: Scans a forward pass.
        maps: Whether to write maps.
        side: Longest side of an overlay in pixels.

    Returns:
        Numbers of predictions and of failures.
    """
    root, references = list_inputs(path, output)
    pictures = output / "maps" if maps else None
    try:
        shutil.rmtree(output / "maps", ignore_errors=True)
        (pictures or output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{output}: can't be written ({error.strerror}).", "Check --output.") from error
    with (
        replacing(output / "predictions.csv") as predictions,
        replacing(output / "failures.csv") as failures,
        _opened(predictions) as good,
        _opened(failures) as bad,
    ):
        rows = _Rows(good, bundle, run, pictures, side)
        failed = csv.writer(bad, lineterminator="\n")
        failed.writerow(["path", "reason"])
        batch: list[Ready] = []
        for item in _ready(root, references, bundle, failed):
            batch.append(item)
            if len(batch) == batch_size:
                rows.write(batch)
                batch = []
        if batch:
            rows.write(batch)
    return rows.count, len(references) - rows.count
