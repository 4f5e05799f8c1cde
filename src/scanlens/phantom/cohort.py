"""The built-in data: a cohort of phantom chest radiographs, drawn and written as DICOM files.

Nothing is downloaded and nobody's data is in it. The same settings and seed give the same bytes on
every machine: see :mod:`scanlens.phantom.arithmetic`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from scanlens.atomic import replacing
from scanlens.config.data import PHANTOM_LABELS as LABELS
from scanlens.config.schema import Phantom
from scanlens.errors import ScanlensError
from scanlens.phantom.anatomy import draw_anatomy
from scanlens.phantom.arithmetic import uniform
from scanlens.phantom.dicom import draw_header, draw_person, phantom_dataset, write_dataset
from scanlens.phantom.exposure import SITES
from scanlens.phantom.image import PhantomImage, apply_recipe, draw_recipe
from scanlens.scaling.engine import IN_PROCESS, Engine, Failed, map_ordered

TABLE_COLUMNS = ("path", "label", "patient", "site", "mask")
"""Columns of ``labels.csv``; paths are relative to the data root, ``mask`` is empty for a normal scan."""

_MIXED_SHARE = 0.15
"""Share of the ill patients who have a healthy scan among their scans."""


@dataclass(frozen=True)
class Case:
    """One patient of the cohort.

    Attributes:
        number: From 1.
        label: The patient's class.
        site: Where all their scans are made.
    """

    number: int
    label: str
    site: str


def write_phantoms(config: Phantom, output: Path, seed: int, engine: Engine = IN_PROCESS) -> pd.DataFrame:
    """Draw the cohort and write it.

    Writes ``scans/*.dcm``, ``masks/*.png`` (8-bit, 255 on the lesion, same rows and columns as the scan)
    and ``labels.csv`` with :data:`TABLE_COLUMNS`, each under a temporary name first.

    Args:
        config: Number, sides, balance, difficulty and shortcut.
        output: The data root; made if missing.
        seed: Of everything random.
        engine: Where they are drawn.

    Returns:
        The label table, one row per scan, sorted by path.

    Raises:
        ScanlensError: A process that draws was killed.
    """
    cases = draw_cohort(np.random.default_rng([seed, 0]), config)
    for folder in ("scans", "masks"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    plan = [
        (case, label, turn) for case in cases for turn, label in enumerate(_labels_of(case, config, seed))
    ]
    names = [f"{number:05d}" for number in range(1, len(plan) + 1)]
    draw = partial(_write_scan, config, output.absolute(), seed)
    drawn = map_ordered(draw, zip(plan, names, strict=True), engine=engine, total=len(plan))
    rows = []
    for (case, label, _), name, mask in zip(
        plan, names, tqdm(drawn, total=len(plan), desc="acquire", unit="scan"), strict=True
    ):
        if isinstance(mask, Failed):
            raise ScanlensError(f"Phantom {name}: {mask.reason}.", "Run the same command again.")
        rows.append((f"scans/{name}.dcm", label, f"PHANTOM-{case.number:04d}", case.site, mask))
    table = pd.DataFrame(rows, columns=list(TABLE_COLUMNS), dtype=str)
    with replacing(output / "labels.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return table


def draw_cohort(rng: np.random.Generator, config: Phantom) -> list[Case]:
    """Deal labels and sites to the patients.

    Labels come in the numbers that ``balance`` asks for (largest remainder), each class at least once;
    within a class the sites take turns, so that the site says nothing about the label.
    """
    wanted = {label: config.balance.get(label, 0.0) for label in LABELS if config.balance.get(label, 0.0) > 0}
    total = sum(wanted.values())
    spare = config.patients - len(wanted)
    shares = {label: spare * weight / total for label, weight in wanted.items()}
    counts = {label: 1 + math.floor(share) for label, share in shares.items()}
    remainders = sorted(wanted, key=lambda label: (counts[label] - 1 - shares[label], LABELS.index(label)))
    for label in remainders[: config.patients - sum(counts.values())]:
        counts[label] += 1
    dealt: list[tuple[str, str]] = []
    names = list(SITES)
    for label, count in counts.items():
        first = int(rng.integers(len(names)))
        dealt += [(label, site) for site in islice(cycle(names), first, first + count)]
    order = rng.permutation(len(dealt))
    return [Case(number, *dealt[place]) for number, place in enumerate(order, start=1)]


def _labels_of(case: Case, config: Phantom, seed: int) -> list[str]:
    """The label of each scan of a patient: theirs, save a healthy scan before the illness of a few."""
    rng = np.random.default_rng([seed, 1, case.number])
    low, high = config.scans_per_patient
    labels = [case.label] * int(rng.integers(low, high + 1))
    if len(labels) > 1 and rng.random() < _MIXED_SHARE and config.balance.get("normal", 0.0) > 0:
        labels[0] = "normal"
    return labels


def _write_scan(config: Phantom, output: Path, seed: int, item: tuple[tuple[Case, str, int], str]) -> str:
    """Draw and write one scan and its mask; return the mask's path relative to ``output``, or ''."""
    (case, label, turn), name = item
    patient_rng = np.random.default_rng([seed, 2, case.number])
    anatomy = draw_anatomy(patient_rng)
    person = draw_person(patient_rng, case.number, anatomy.sex)
    rng = np.random.default_rng([seed, 3, case.number, turn])
    header = draw_header(rng, case.site)
    size = _draw_size(rng, config.sides)
    recipe = draw_recipe(
        rng, label, anatomy=anatomy, site=case.site, difficulty=config.difficulty, shortcut=config.shortcut
    )
    phantom = apply_recipe(recipe, size)
    entropy = f"scanlens phantom {seed} {case.number} {turn}"
    dataset = phantom_dataset(phantom.image, phantom.spacing, header, person, case.site, entropy)
    write_dataset(dataset, output / "scans" / f"{name}.dcm")
    return "" if label == "normal" else _write_mask(phantom, output, name)


def _draw_size(rng: np.random.Generator, limits: Sequence[int]) -> tuple[int, int]:
    """Draw (height, width) within ``limits``, near the proportions of a chest film."""
    height = int(rng.integers(limits[0], limits[1] + 1))
    width = int(np.clip(round(height * float(uniform(rng, 0.82, 1.1))), limits[0], limits[1]))
    return height, width


def _write_mask(phantom: PhantomImage, output: Path, name: str) -> str:
    with replacing(output / "masks" / f"{name}.png") as temporary:
        temporary.write_bytes(cv2.imencode(".png", phantom.mask.astype(np.uint8) * 255)[1].tobytes())
    return f"masks/{name}.png"
