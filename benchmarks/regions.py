"""Which thresholds make a region worth looking at? The trained network's maps of the validation split.

Run it after ``make repro``, or after ``dvc repro explanation`` on data with lesion masks. For each threshold,
each least probability of the whole scan and each smallest size: regions a scan, how many healthy scans have
one, how many lesions a region of their own class touches, and how many the first region touches, there and
moved at random. No times: one run. The test split takes no part.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax

from benchmarks.table import RESULTS, is_quick
from scanlens.atomic import write_text
from scanlens.config.load import load_section
from scanlens.config.schema import Explanation, Runtime
from scanlens.evaluation.calibration import read_temperature
from scanlens.maps.geometry import ScanGeometry, geometry_reader
from scanlens.maps.masks import mask_reader
from scanlens.maps.probability import probability_maps, upsample
from scanlens.maps.regions import Region, scan_regions, suspicious_labels
from scanlens.models.predict import local_logits
from scanlens.models.saved import load_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import prepare
from scanlens.sources.acquired import read_source
from scanlens.types import FloatArray

DATA = Path("data")
THRESHOLDS = (0.5, 0.9, 0.99)
LEAST_PROBABILITIES = (0.0, 0.1, 0.5)
LEAST_CELLS = (0.25, 1.0, 4.0)
MOVES = 20


class Case(NamedTuple):
    """One validation scan.

    Attributes:
        label: Its class.
        maps: Probability maps ``(class, *grid)``.
        probabilities: Calibrated, one a class.
        mask: Where its lesion is, at the store's size; None without one.
        geometry: The scan's.
    """

    label: str
    maps: FloatArray
    probabilities: FloatArray
    mask: npt.NDArray[np.bool_] | None
    geometry: ScanGeometry


def validation_cases() -> list[Case]:
    """Every validation scan through the trained network."""
    store = Store.open(DATA / "03_preprocessed")
    network, model = load_model(DATA / "06_models" / "trained")
    root = read_source(DATA / "01_raw" / "acquired")[0]
    masks, geometry = (
        reader(store, DATA / "03_preprocessed", root) for reader in (mask_reader, geometry_reader)
    )
    machine = prepare(load_section(Runtime), len(store.shape) - 1)
    temperature = read_temperature(DATA / "07_reports" / "calibration.json")
    rows = store.rows("val")
    cases = []
    for batch in local_logits(network, store, rows, model["statistics"], machine.batch_size, machine.device):
        probabilities = softmax(batch.logits / temperature, axis=1)
        maps = probability_maps(batch.local, temperature)
        for row, own, values in zip(batch.rows, probabilities, maps, strict=True):
            entry = store.index.iloc[row]
            scan_id = str(entry.scan_id)
            cases.append(Case(str(entry.label), values, own, masks(scan_id), geometry(scan_id)))
    return cases


def region_mask(region: Region, case: Case, labels: list[str], threshold: float) -> npt.NDArray[np.bool_]:
    """The region's pixels: within its box what is above the threshold (a neighbour's tip at most besides)."""
    values = upsample(case.maps[labels.index(region.label)], case.geometry.size)
    box = tuple(slice(low, high) for low, high in zip(region.low, region.high, strict=True))
    mask = np.zeros(values.shape, bool)
    mask[box] = values[box] >= threshold
    return mask


def moved(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """The same region somewhere else, wrapped around."""
    return np.roll(mask, [int(rng.integers(side)) for side in mask.shape], tuple(range(mask.ndim)))


def judge(
    cases: list[Case], labels: list[str], threshold: float, probability: float, cells: float
) -> dict[str, float]:
    """One row of the table."""
    rng = np.random.default_rng(0)
    ill = set(suspicious_labels(labels))
    counts: list[int] = []
    healthy: list[bool] = []
    touched: list[bool] = []
    first: list[bool] = []
    chance: list[float] = []
    for case in cases:
        regions = scan_regions(
            case.maps, labels, list(case.probabilities), case.geometry,
            threshold=threshold, least_probability=probability, least_cells=cells,
        )  # fmt: skip
        counts.append(len(regions))
        if case.label not in ill:
            healthy.append(bool(regions))
        elif case.mask is not None:
            own = [region_mask(r, case, labels, threshold) for r in regions if r.label == case.label]
            touched.append(any(bool((mask & case.mask).any()) for mask in own))
            best = [region_mask(r, case, labels, threshold) for r in regions[:1]]
            first.append(any(bool((mask & case.mask).any()) for mask in best))
            hits = [bool((moved(mask, rng) & case.mask).any()) for mask in best for _ in range(MOVES)]
            chance.append(float(np.mean(hits)) if hits else 0.0)
    means = [float(np.mean(values)) for values in (counts, healthy, touched, first, chance)]
    names = ("regions_a_scan", "healthy_with_one", "lesions_touched", "by_the_first", "first_moved_at_random")
    return {"threshold": threshold, "least_probability": probability, "least_cells": cells} | dict(
        zip(names, means, strict=True)
    )


def main() -> None:
    """Quick: the shipped smallest size alone."""
    labels = Store.open(DATA / "03_preprocessed").labels
    cells = (load_section(Explanation).regions.least_cells,) if is_quick() else LEAST_CELLS
    cases = validation_cases()
    grid = itertools.product(LEAST_PROBABILITIES, THRESHOLDS, cells)
    table = pd.DataFrame([judge(cases, labels, t, p, size) for p, t, size in grid])
    grid_size = " x ".join(map(str, cases[0].maps.shape[1:]))
    print(f"{len(cases)} validation scans, maps of {grid_size} cells")
    print(table.round(2).to_string(index=False))
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / "regions.json", table.to_json(orient="records", indent=2) + "\n")


if __name__ == "__main__":
    main()
