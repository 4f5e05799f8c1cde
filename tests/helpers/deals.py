"""Tables of scans for the tests of the splits, some of them with a known best split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd


def scans_of(patients: int, seed: int, classes: str = "abc", most: int = 4) -> pd.DataFrame:
    """Draw patients with 1 to ``most`` scans, mostly of one class, every class present."""
    generator = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        favourite = classes[patient % len(classes)]
        for _ in range(generator.integers(1, most + 1)):
            label = favourite if generator.random() < 0.8 else str(generator.choice(list(classes)))
            rows.append((f"p{patient}", label))
    return table_of(rows)


def table_of(rows: list[tuple[str, str]]) -> pd.DataFrame:
    """Make the table that splits are dealt from out of (patient, label) pairs; every scan is different."""
    table = pd.DataFrame(rows, columns=["patient", "label"])
    number = np.arange(len(table)).astype(str)
    contents = [hashlib.sha256(f"content {name}".encode()).hexdigest() for name in number]
    return table.assign(
        path="scan-" + number, sha256=contents, pixel_sha256="", split="", site="", date="", problem=""
    )


def planted(fractions: Mapping[str, float], seed: int) -> pd.DataFrame:
    """Draw a table that some split by patient divides exactly as the fractions say, in every class.

    Each split gets its exact share of each class (multiples of 20 scans); its scans are shuffled and cut
    into patients of random size. Who knows only the patients has to find that division, or as good a one.
    """
    generator = np.random.default_rng(seed)
    sizes = 20 * generator.integers(1, 6, int(generator.integers(2, 6)))
    most = int(generator.choice([2, 5, 10]))
    rows: list[tuple[str, str]] = []
    patients = 0
    for fraction in fractions.values():
        pool = [f"c{number}" for number, size in enumerate(sizes) for _ in range(round(size * fraction))]
        generator.shuffle(pool)
        while pool:
            taken = int(generator.integers(1, most + 1))
            rows += [(f"p{patients}", label) for label in pool[:taken]]
            pool, patients = pool[taken:], patients + 1
    return table_of([rows[place] for place in generator.permutation(len(rows))])


def ratio_gap(labels: pd.Series, part: pd.Series) -> float:
    """Largest difference between a class's share of a part (a mask of rows) and of all scans."""
    shares = labels[part].value_counts(normalize=True)
    whole = labels.value_counts(normalize=True)
    return float((shares.reindex(whole.index, fill_value=0) - whole).abs().max())


def splits_per(scans: pd.DataFrame, splits: pd.Series, column: str) -> int:
    """Largest number of splits that share one value of a column."""
    return int(splits.groupby(scans[column]).nunique().max())
