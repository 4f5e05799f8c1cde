"""Metadata that give the label away: where it was made, how large it is, which tags its header has.

Where every sick scan comes from one hospital, a network learns the hospital. DeGrave et al. showed it for
COVID-19 radiographs, whose two classes came from two collections. So for every column a small model predicts
the label from that column alone; one that nearly succeeds, on patients it has not seen and by more than
chance explains, is a shortcut.

References:
    A. J. DeGrave, J. D. Janizek, S.-I. Lee, AI for radiographic COVID-19 detection selects shortcuts over
    signal, Nature Machine Intelligence 3, 2021.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.types import IntArray

MAX_SCANS = 5000
"""More are not looked at: a seeded sample of each class stands for them."""
_FOLDS = 5
_NUMERIC_FROM = 10
"""A numeric column of more different values is cut at thresholds; one of fewer is taken value by value."""
_DEPTH = 3
_CHANCE = 0.01
"""Probability, over all columns and classes together, of calling chance a shortcut."""
_SEED = 0

_Probabilities = npt.NDArray[np.float64]
_Feature = npt.NDArray[Any]
"""Integers are categories, floats are numbers (NaN = absent)."""


@dataclass(frozen=True)
class Shortcut:
    """A column that gives the label away.

    Attributes:
        column: Its name.
        accuracy: Balanced accuracy in [0, 1], cross-validated by patient.
        label: The class it tells from the rest; empty for the whole label.
        scans: Scans it was tried on.
    """

    column: str
    accuracy: float
    label: str
    scans: int


def find_shortcuts(
    table: pd.DataFrame, labels: pd.Series, patients: pd.Series, minimum: float
) -> list[Shortcut]:
    """Find the columns that predict the label.

    Classes with fewer than two patients are left out; without two classes there is no verdict.

    Args:
        table: One row per scan, one column per piece of metadata, text or numbers; "", None and NaN = absent,
            which may tell the label too.
        labels: Class of each row.
        patients: Patient of each row; cross-validation keeps a patient in one fold.
        minimum: Balanced accuracy from which a column is a shortcut, e.g. 0.95.

    Returns:
        The worst first: whole labels, then single classes (for more than two classes, and only where the
        column does not give the whole label away).

    Example:
        >>> labels = pd.Series(["normal", "nodule"] * 20)
        >>> table = pd.DataFrame({"site": labels.map({"normal": "A", "nodule": "B"}), "bits": 12})
        >>> patients = pd.Series([f"p{number}" for number in range(40)])
        >>> find_shortcuts(table, labels, patients, 0.95)
        [Shortcut(column='site', accuracy=1.0, label='', scans=40)]
    """
    rows = _sample(labels.to_numpy(), patients.to_numpy())
    classes, truth = np.unique(labels.to_numpy()[rows].astype(str), return_inverse=True)
    if len(classes) < 2:
        return []
    people = pd.factorize(patients.to_numpy()[rows])[0]
    folds = _folds(truth, people)
    questions = 1 if len(classes) == 2 else 1 + len(classes)
    bound = _CHANCE / max(1, len(table.columns) * questions)
    found = []
    for name in table.columns:
        features = list(_features(table[name].iloc[rows]))
        for label in ["", *classes] if len(classes) > 2 else [""]:
            target = truth if not label else (classes[truth] == label).astype(np.int64)
            accuracy = max(_accuracy(feature, target, people, folds, minimum, bound) for feature in features)
            if accuracy >= minimum:
                found.append(Shortcut(str(name), accuracy, str(label), len(rows)))
                if not label:
                    break
    return sorted(found, key=lambda shortcut: (shortcut.label != "", -shortcut.accuracy, shortcut.column))


def _sample(labels: npt.NDArray[np.object_], patients: npt.NDArray[np.object_]) -> IntArray:
    """Positions looked at: those of classes with two patients or more, at most so many of each class."""
    rng = np.random.default_rng(_SEED)
    frame = pd.DataFrame({"label": labels, "patient": patients})
    classes = [
        group.index.to_numpy() for _, group in frame.groupby("label") if group["patient"].nunique() > 1
    ]
    most = max(2, MAX_SCANS // max(1, len(classes)))
    chosen = [rng.choice(rows, most, replace=False) if len(rows) > most else rows for rows in classes]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def _folds(truth: IntArray, people: IntArray) -> list[tuple[IntArray, IntArray]]:
    """Training and test positions, patients whole, classes in their shares."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(np.unique(people[truth == number])) for number in np.unique(truth))
    splitter = StratifiedGroupKFold(min(_FOLDS, max(2, fewest)), shuffle=True, random_state=_SEED)
    with warnings.catch_warnings():
        # A class of fewer scans than folds is no fault here: its scans are still predicted once each.
        warnings.simplefilter("ignore", UserWarning)
        return list(splitter.split(np.zeros(len(truth)), truth, people))


def _features(column: pd.Series) -> Iterator[_Feature]:
    """What of a column may tell the label: that there is a value, and the value."""
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    absent = (text == "").to_numpy()
    if absent.any():
        yield absent.astype(np.int64)
    numbers = pd.to_numeric(text.where(~absent), errors="coerce").to_numpy(dtype=float)
    finite = np.isfinite(numbers)
    if finite.any() and (finite | absent).all() and len(np.unique(numbers[finite])) > _NUMERIC_FROM:
        yield numbers
    else:
        yield pd.factorize(text)[0].astype(np.int64)


def _accuracy(
    feature: _Feature,
    target: IntArray,
    people: IntArray,
    folds: list[tuple[IntArray, IntArray]],
    minimum: float,
    bound: float,
) -> float:
    """Balanced accuracy over all folds; 0 for one below the minimum or that chance explains."""
    predict = _by_threshold if feature.dtype.kind == "f" else _by_category
    probability = np.zeros((len(target), int(target.max()) + 1))
    for train, test in folds:
        probability[test] = predict(feature[train], target[train], feature[test], probability.shape[1])
    given = probability[np.arange(len(target)), target]
    accuracy = float(np.mean([given[target == number].mean() for number in np.unique(target)]))
    if accuracy < minimum:
        return 0.0
    return accuracy if _by_chance(probability, target, people) < bound else 0.0


def _by_category(seen: _Feature, target: IntArray, asked: _Feature, classes: int) -> _Probabilities:
    """The class that has the largest share of its scans in a category.

    Shares of each class, not counts: the rarest class weighs as much as the most frequent. Classes of equal
    shares get equal probabilities, so that a category never seen tells nothing.
    """
    table = np.zeros((int(max(seen.max(), asked.max())) + 1, classes))
    np.add.at(table, (seen, target), 1.0)
    table /= np.maximum(np.bincount(target, minlength=classes), 1)
    best = np.isclose(table, table.max(axis=1, keepdims=True), rtol=1e-9, atol=0)
    return (best / best.sum(axis=1, keepdims=True))[asked]


def _by_threshold(seen: _Feature, target: IntArray, asked: _Feature, classes: int) -> _Probabilities:
    """A tree of a few thresholds; absent numbers go to a side of their own."""
    from sklearn.tree import DecisionTreeClassifier

    depth = max(_DEPTH, int(np.ceil(np.log2(classes))) + 1)
    leaf = max(2, len(seen) // 200)
    tree = DecisionTreeClassifier(
        max_depth=depth, min_samples_leaf=leaf, class_weight="balanced", random_state=_SEED
    )
    # float32 inside: larger numbers (identifiers) would overflow.
    limit = float(np.finfo(np.float32).max) / 2
    tree.fit(seen.clip(-limit, limit)[:, None], target)
    chosen = tree.predict(asked.clip(-limit, limit)[:, None])
    return np.asarray(np.eye(classes)[chosen])


def _by_chance(probability: _Probabilities, target: IntArray, people: IntArray) -> float:
    """Largest p-value over the classes that predictions and labels are unrelated (Fisher's exact test).

    A patient counts once a label: his scans are no independent evidence.
    """
    from scipy.stats import fisher_exact

    frame = pd.DataFrame({"person": people, "target": target})
    worst = 0.0
    for number in np.unique(target):
        frame["said"] = probability[:, number]
        units = frame.groupby(["person", "target"], as_index=False)["said"].mean()
        said, true = units["said"].to_numpy() > 0.5, units["target"].to_numpy() == number
        cells = [
            [int((said & true).sum()), int((said & ~true).sum())],
            [int((~said & true).sum()), int((~said & ~true).sum())],
        ]
        worst = max(worst, float(fisher_exact(cells, alternative="greater").pvalue))
    return worst
