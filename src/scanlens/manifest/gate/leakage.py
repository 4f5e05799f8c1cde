"""What two splits share; :mod:`scanlens.manifest.gate.verdict` says whether that stops the run.

A patient, a copy or a near copy in two splits makes a test result mean less than it says: the model has seen
the answer. Equal pixels under two labels make at least one label wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from scanlens.manifest.checks import disputes
from scanlens.manifest.columns import OK
from scanlens.manifest.near_copies.find import Pair
from scanlens.types import SPLITS

LeakKind = Literal["patient", "copy", "near_copy", "contradiction"]
_CONTRADICTION = "contradiction"
"""First word of the status of a scan that was quarantined for a contradiction."""

_ALL_BUT_EQUAL = 0.99
"""Correlation from which near copies must not differ in label; of neighbouring slices it is lower."""


@dataclass(frozen=True)
class Leak:
    """One thing that two splits share, or one contradiction, with two scans that show it.

    Attributes:
        kind: ``patient``: of one patient. ``copy``: of the same pixels. ``near_copy``: nearly the same.
            ``contradiction``: (nearly) the same pixels under different labels.
        first: Path of a scan.
        second: Path of another, in another split or under another label.
        detail: The splits or labels concerned, and the correlation of near copies.
        scans: Scans concerned in all, e.g. all of the patient's.
        correlation: Of near copies; None for equal pixels and patients.
    """

    kind: LeakKind
    first: str
    second: str
    detail: str
    scans: int = 2
    correlation: float | None = None


def find_leaks(manifest: pd.DataFrame, pairs: Sequence[Pair], tolerance: float | None = None) -> list[Leak]:
    """Find what splits share: one leak a patient, a group of copies, or a pair of near copies.

    Args:
        manifest: The finished manifest, splits assigned.
        pairs: Near copies, by position in ``manifest``.
        tolerance: Where labels are numbers: how far apart two that agree may be.

    Returns:
        By kind; within a kind in the order of the manifest.

    Example:
        >>> rows = [["a.png", "p1", "train", "h1"], ["b.png", "p1", "test", "h2"]]
        >>> manifest = pd.DataFrame(rows, columns=["path", "patient", "split", "pixel_sha256"])
        >>> manifest = manifest.assign(label="nodule", sha256="", status="ok")
        >>> for leak in find_leaks(manifest, [Pair(0, 1, 0.97)]):
        ...     print(leak.kind, leak.first, leak.second, leak.detail)
        patient a.png b.png train | test
        near_copy a.png b.png train | test, correlation 0.970
    """
    table = manifest[["path", "patient", "label", "split", "status"]].reset_index(drop=True)
    content = manifest["pixel_sha256"].where(manifest["pixel_sha256"] != "", manifest["sha256"])
    table["content"] = content.to_numpy()
    # Quarantined contradictions are in no split, but are told of.
    known = table["status"].str.partition(":")[0].isin([OK, _CONTRADICTION])
    dealt = table[(table["status"] == OK) & (table["split"] != "")]
    labelled = table[known]
    same_pixels = labelled[labelled["content"] != ""]
    disputed = same_pixels[disputes(same_pixels["label"], same_pixels["content"], tolerance)]
    return [
        *_shared("patient", dealt, "patient", "split", _in_order),
        *_shared("copy", dealt[dealt["content"] != ""], "content", "split", _in_order),
        *_near(dealt, pairs, "near_copy", "split", _in_order),
        *_shared("contradiction", disputed, "content", "label", sorted),
        *_near(labelled, contradicting(manifest, pairs, tolerance), "contradiction", "label", sorted),
    ]


def contradicting(
    manifest: pd.DataFrame, pairs: Sequence[Pair], tolerance: float | None = None
) -> list[Pair]:
    """Near copies whose different labels cannot both be right.

    Two scans of one patient may look alike on the day before the finding appears, and two neighbouring
    slices at its edge: so only pairs of different patients that are all but equal count.

    Args:
        manifest: Columns patient and label.
        pairs: Near copies, by row.
        tolerance: Where labels are numbers: how far apart two that agree may be.

    Example:
        >>> manifest = pd.DataFrame({"patient": ["p1", "p2", "p1"], "label": ["normal", "nodule", "nodule"]})
        >>> contradicting(manifest, [Pair(0, 1, 0.995), Pair(0, 2, 0.995), Pair(0, 1, 0.96)])
        [Pair(first=0, second=1, correlation=0.995)]
    """
    patients, labels = manifest["patient"].to_numpy(), manifest["label"].to_numpy()
    return [
        pair
        for pair in pairs
        if pair.correlation >= _ALL_BUT_EQUAL
        and patients[pair.first] != patients[pair.second]
        and _unlike(labels[pair.first], labels[pair.second], tolerance)
    ]


def _unlike(first: str, second: str, tolerance: float | None) -> bool:
    return first != second if tolerance is None else abs(float(first) - float(second)) > tolerance


def _in_order(splits: Sequence[str]) -> list[str]:
    return [split for split in SPLITS if split in splits]


def _shared(
    kind: LeakKind, table: pd.DataFrame, by: str, value: str, order: Callable[[Sequence[str]], list[str]]
) -> list[Leak]:
    """One leak for each group of ``by`` with several ``value``: its first scan and the first unlike it."""
    several = table.groupby(by)[value].transform("nunique") > 1
    leaks = []
    for _, group in table[several].groupby(by, sort=False):
        first = group.iloc[0]
        second = group[group[value] != first[value]].iloc[0]
        values = " | ".join(order(group[value].unique().tolist()))
        leaks.append(Leak(kind, first["path"], second["path"], values, len(group)))
    return leaks


def _near(
    table: pd.DataFrame,
    pairs: Sequence[Pair],
    kind: LeakKind,
    value: str,
    order: Callable[[Sequence[str]], list[str]],
) -> list[Leak]:
    """One leak for each pair of near copies of different ``value`` whose pixels are not equal."""
    columns = ["path", "content", value]
    known = dict(zip(table.index, table[columns].itertuples(index=False, name=None), strict=True))
    leaks = []
    for pair in pairs:
        if pair.first not in known or pair.second not in known:
            continue
        (first, content, one), (second, others_content, other) = known[pair.first], known[pair.second]
        if one == other or (content != "" and content == others_content):
            continue
        detail = f"{' | '.join(order([one, other]))}, correlation {pair.correlation:.3f}"
        leaks.append(Leak(kind, first, second, detail, 2, pair.correlation))
    return leaks


def leaks_table(leaks: Sequence[Leak]) -> pd.DataFrame:
    """The leaks as a table with the columns kind, first, second, detail and scans.

    Example:
        >>> leaks_table([Leak("patient", "a.png", "b.png", "train | test", 3)])
              kind  first second        detail  scans
        0  patient  a.png  b.png  train | test      3
    """
    columns = ["kind", "first", "second", "detail", "scans"]
    return pd.DataFrame([[getattr(leak, name) for name in columns] for leak in leaks], columns=columns)
