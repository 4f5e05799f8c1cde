"""A smaller data set that looks like the whole: in class proportion, by whole patients, seeded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from scanlens.errors import SettingsError
from scanlens.tasks import Task


def sample_scans(listing: pd.DataFrame, limit: int, seed: int, task: Task) -> pd.DataFrame:
    """Return at most ``limit`` usable rows of a listing, in the listing's order.

    Every class (and declared split of it) keeps its share and at least one scan. Patients are taken whole, in
    random order, while they fit; single scans of the others fill what is then still free. A scan whose
    patient is unknown counts as a patient of its own. The classes are the task's strata.

    Raises:
        SettingsError: The limit is below the number of classes (times declared splits).
    """
    usable = listing[listing["problem"] == ""]
    if limit >= len(usable):
        return usable.reset_index(drop=True)
    classes = task.strata(usable["label"])
    strata: list[tuple[str, str]] = list(zip(classes, usable["split"], strict=True))
    free = _quotas(Counter(strata), limit)
    patients: dict[str, list[int]] = {}
    for row, patient in enumerate(usable["patient"]):
        patients.setdefault(patient or f"row {row}", []).append(row)
    rng = np.random.default_rng(seed)
    taken: list[int] = []
    left: list[int] = []
    # By first appearance: the order of pseudonyms depends on a key.
    names = list(patients)
    for index in rng.permutation(len(names)):
        rows = patients[names[index]]
        needed = Counter(strata[row] for row in rows)
        if all(count <= free[stratum] for stratum, count in needed.items()):
            taken += rows
            for stratum, count in needed.items():
                free[stratum] -= count
        else:
            left += rows
    for row in rng.permutation(np.array(left, dtype=np.int64)):
        if free[strata[row]] > 0:
            free[strata[row]] -= 1
            taken.append(int(row))
    return usable.iloc[sorted(taken)].reset_index(drop=True)


def _quotas(counts: Mapping[tuple[str, str], int], limit: int) -> dict[tuple[str, str], int]:
    """Deal the limit out in proportion to the counts by largest remainder, at least one each."""
    if limit < len(counts):
        raise SettingsError(
            f"acquire.limit is {limit}, but there are {len(counts)} classes and declared splits to fill.",
            f"Set acquire.limit to at least {len(counts)}.",
        )
    total = sum(counts.values())
    shares = {stratum: limit * count / total for stratum, count in counts.items()}
    quotas = {stratum: max(1, math.floor(share)) for stratum, share in shares.items()}
    for _ in range(limit - sum(quotas.values())):
        quotas[max(sorted(shares), key=lambda stratum: shares[stratum] - quotas[stratum])] += 1
    for _ in range(sum(quotas.values()) - limit):  # the ones given to tiny strata come from the fullest
        several = [stratum for stratum in sorted(quotas) if quotas[stratum] > 1]
        quotas[max(several, key=lambda stratum: quotas[stratum] - shares[stratum])] -= 1
    return quotas
