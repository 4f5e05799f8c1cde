"""The predictions table: one row per scan, in the order the logits came."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scanlens.errors import ScanlensError
from scanlens.evaluation.calibration import calibrated_probabilities
from scanlens.evaluation.uncertainty import uncertainty
from scanlens.types import SPLITS, FloatArray

PREDICTION_COLUMNS = ("scan_id", "patient", "split", "site", "label")
"""What the index must hold; the table starts with them."""


def build_predictions(
    logits: FloatArray, index: pd.DataFrame, labels: list[str], temperature: float
) -> pd.DataFrame:
    """Join the scans with what the network says of them.

    Args:
        logits: ``(scan, class)``, finite.
        index: One row per logit row, with :data:`PREDICTION_COLUMNS`.
        labels: Class names in the logits' order.
        temperature: Of the calibration.

    Returns:
        :data:`PREDICTION_COLUMNS`, ``predicted`` (label of the largest logit), ``logit_<label>``...,
        ``probability_<label>``... (calibrated, [0, 1]) and ``uncertainty`` (:func:`uncertainty`, [0, 1]).

    Raises:
        ScanlensError: The parts do not fit together.

    Example:
        >>> index = pd.DataFrame([["a1", "p1", "test", "", "normal"]], columns=PREDICTION_COLUMNS)
        >>> row = build_predictions(np.log([[1.0, 3.0]]), index, ["normal", "nodule"], 1.0).iloc[0]
        >>> row["label"], row["predicted"], f"{row['probability_nodule']:.2f}", f"{row['uncertainty']:.2f}"
        ('normal', 'nodule', '0.75', '0.81')
    """
    check_parts(logits, index, labels)
    scores = np.asarray(logits, dtype=np.float64)
    probabilities = calibrated_probabilities(scores, temperature)
    table = index[list(PREDICTION_COLUMNS)].fillna("").astype(str).reset_index(drop=True)
    table["predicted"] = np.asarray(labels, dtype=object)[scores.argmax(axis=1)]
    table["predicted"] = table["predicted"].astype(table["label"].dtype)
    columns: dict[str, FloatArray] = {f"logit_{label}": scores[:, k] for k, label in enumerate(labels)}
    columns |= {f"probability_{label}": probabilities[:, k] for k, label in enumerate(labels)}
    columns["uncertainty"] = uncertainty(probabilities)
    return pd.concat([table, pd.DataFrame(columns)], axis=1)


def targets_of(index: pd.DataFrame, labels: list[str]) -> np.ndarray:
    """Class indices ``(scan,)`` int64 of the label column.

    Example:
        >>> index = pd.DataFrame({"label": ["nodule", "normal", "nodule"]})
        >>> targets_of(index, ["normal", "nodule"]).tolist()
        [1, 0, 1]
    """
    position = {label: k for k, label in enumerate(labels)}
    return np.array([position[label] for label in index["label"].astype(str)], dtype=np.int64)


def check_parts(logits: FloatArray, index: pd.DataFrame, labels: list[str]) -> None:
    """Refuse what does not fit together, in one line.

    Raises:
        ScanlensError: Shapes, columns, labels, splits or scan_ids are wrong, or a logit is not finite.

    Example:
        >>> index = pd.DataFrame([["a1", "p1", "test", "", "effusion"]], columns=PREDICTION_COLUMNS)
        >>> check_parts(np.zeros((1, 2)), index, ["normal", "nodule"])
        Traceback (most recent call last):
        ...
        scanlens.errors.ScanlensError: evaluation: labels ['effusion'] are not among the model's ['normal',
        'nodule']. Train again.
    """
    missing = [name for name in PREDICTION_COLUMNS if name not in index.columns]
    if missing:
        raise ScanlensError(f"evaluation: the index lacks the columns {', '.join(missing)}.")
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ScanlensError(f"evaluation: expected two or more distinct labels, got {labels}.")
    if np.shape(logits) != (len(index), len(labels)):
        raise ScanlensError(
            f"evaluation: expected logits of shape ({len(index)}, {len(labels)}), one row per scan and one "
            f"column a label, got {np.shape(logits)}."
        )
    if not len(index):
        raise ScanlensError("evaluation: there is no scan to evaluate.", "Look into manifest.split.")
    unknown = sorted(set(index["label"].astype(str)) - set(labels))
    if unknown:
        raise ScanlensError(
            f"evaluation: labels {unknown} are not among the model's {labels}.", "Train again."
        )
    strange = sorted(set(index["split"].astype(str)) - set(SPLITS))
    if strange:
        raise ScanlensError(f"evaluation: unknown splits {strange}, expected some of {list(SPLITS)}.")
    twice = index["scan_id"][index["scan_id"].duplicated()]
    if len(twice):
        raise ScanlensError(
            f"evaluation: scan {twice.iloc[0]} is in the index twice.", "Run preprocess again."
        )
    broken = ~np.isfinite(np.asarray(logits, dtype=np.float64)).all(axis=1)
    if broken.any():
        raise ScanlensError(
            f"evaluation: the network gave NaN or infinite logits for {int(broken.sum())} of {len(index)} "
            f"scans, first {index['scan_id'].iloc[int(broken.argmax())]}.",
            "Train again with a lower training.lr or runtime.precision=32.",
        )
