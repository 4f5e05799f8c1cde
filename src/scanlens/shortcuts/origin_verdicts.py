"""Does the network know where a scan comes from, and would that tell it the label?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from scanlens.estimate import Estimate
from scanlens.preprocess.store import Store
from scanlens.shortcuts import numbers
from scanlens.shortcuts.origins import Origin, predicted_from_features
from scanlens.shortcuts.verdicts import Resampling, estimates, joined_verdict, verdict_of
from scanlens.shortcuts.wording import TOGETHER_FROM, TOLD_FROM, origin_fact
from scanlens.types import FloatArray

_SAMPLE = 2000
"""Scans of the whole store that the association of a column with the label is taken from."""


def judge_origin(
    origin: Origin,
    features: FloatArray,
    store: Store,
    index: pd.DataFrame,
    reason: str,
    shared: Resampling,
) -> dict[str, Any]:
    """The verdict on one column: told from the features, and going with the label.

    Args:
        origin: The column's values of the scans that are looked at.
        features: Of these scans, ``(scan, feature)``.
        store: All scans: what the network learned from.
        index: Of the scans that are looked at.
        reason: Why no probe can tell; empty where they can.
        shared: How intervals are drawn.
    """
    patients = index["patient"].to_numpy(dtype=object)[origin.positions]
    told = predicted_from_features(features[origin.positions], origin.codes, patients)
    together = _association(origin, store, shared)
    seen = Estimate(None, reason=f"a {origin.column} has too few patients to be learned and tried")
    if told is not None:
        seen = estimates({"auc": numbers.auc(told, origin.codes)}, origin.codes, patients, shared)["auc"]
    reason = reason or seen.reason or together.reason
    if reason:
        seen, verdict = Estimate(seen.value, reason=reason), joined_verdict(["cannot tell"])
    else:
        verdict = joined_verdict([verdict_of(seen, TOLD_FROM), verdict_of(together, TOGETHER_FROM)])
    return origin_fact(origin.column, seen, together, verdict, origin.values)


def _association(origin: Origin, store: Store, shared: Resampling) -> Estimate:
    """Cramér's V of a column and the label over the whole store: the network learned from all of it."""
    table = store.index[store.index[origin.column].isin(origin.values)]
    if len(table) > _SAMPLE:
        table = table.sample(_SAMPLE, random_state=shared.seed)
    codes = np.asarray(pd.Categorical(table[origin.column], categories=origin.values).codes, np.int64)
    labels = store.targets(table.index.to_numpy())
    patients = table["patient"].to_numpy(dtype=object)
    return estimates({"v": numbers.association(codes, labels)}, labels, patients, shared)["v"]
