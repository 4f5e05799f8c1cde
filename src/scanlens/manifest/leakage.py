"""What two splits share, and whether that stops the run.

A patient, a copy or a near copy in two splits makes a test result mean less than it says: the model has seen
the answer. Equal pixels under two labels make at least one label wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import pandas as pd

from scanlens.config.schema import Leakage
from scanlens.errors import ScanlensError
from scanlens.manifest.checks import disputes
from scanlens.manifest.columns import OK
from scanlens.manifest.duplicates import Pair
from scanlens.manifest.shortcuts import Shortcut
from scanlens.types import SPLITS

Kind = Literal["patient", "copy", "near_copy", "contradiction"]
LIST = "data/07_reports/leaks.csv"
"""Where the pipeline writes :func:`leaks_table`."""
CONTRADICTION = "contradiction"
"""First word of the status of a scan that was quarantined for a contradiction."""

_SHOWN = 10
_ALL_BUT_EQUAL = 0.99
"""Correlation from which near copies must not differ in label; of neighbouring slices it is lower."""


class LeakageError(ScanlensError):
    """Scans leak between splits, labels contradict each other, or metadata give the label away."""


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

    kind: Kind
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
    """
    table = manifest[["path", "patient", "label", "split", "status"]].reset_index(drop=True)
    content = manifest["pixel_sha256"].where(manifest["pixel_sha256"] != "", manifest["sha256"])
    table["content"] = content.to_numpy()
    # Quarantined contradictions are in no split, but are told of.
    known = table["status"].str.partition(":")[0].isin([OK, CONTRADICTION])
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
    kind: Kind, table: pd.DataFrame, by: str, value: str, order: Callable[[Sequence[str]], list[str]]
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
    kind: Kind,
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
    """The leaks as a table with the columns kind, first, second, detail and scans."""
    columns = ["kind", "first", "second", "detail", "scans"]
    return pd.DataFrame([[getattr(leak, name) for name in columns] for leak in leaks], columns=columns)


def judge(leaks: Sequence[Leak], shortcuts: Sequence[Shortcut], config: Leakage) -> list[str]:
    """Decide whether the run goes on.

    Args:
        leaks: From :func:`find_leaks`.
        shortcuts: From :func:`scanlens.manifest.shortcuts.find_shortcuts`. One that gives away one class
            alone is a warning, whatever the setting.
        config: Section ``manifest.leakage``.

    Returns:
        One sentence for each kind of leak that the settings accept.

    Raises:
        LeakageError: With counts, the first ten pairs, where the list of all is, and what to do.
    """
    refused: list[str] = []
    warned: list[str] = []
    remedies: list[str] = []
    shown: list[Leak] = []
    for kind, setting in _settings(config).items():
        found = [leak for leak in leaks if leak.kind == kind]
        if not found:
            continue
        if setting == "refuse":
            refused.append(_SENTENCES[kind](found))
            remedies.append(_REMEDIES[kind])
            shown += found
        else:
            after = " They are quarantined." if setting == "quarantine" else ""
            warned.append(_SENTENCES[kind](found) + after)
    for shortcut in shortcuts:
        if config.shortcuts == "refuse" and not shortcut.label:
            refused.append(_shortcut_sentence(shortcut))
        else:
            warned.append(_shortcut_sentence(shortcut))
    if config.shortcuts == "refuse" and any(not shortcut.label for shortcut in shortcuts):
        remedies.append(_SHORTCUT_REMEDY)
    if refused:
        raise LeakageError(_text(refused, shown), "\n".join(["What to do:", *_bullets(remedies)]))
    return warned


def _settings(config: Leakage) -> dict[Kind, str]:
    return {
        "patient": config.patients,
        "copy": config.copies,
        "near_copy": config.near_copies,
        "contradiction": config.contradictions,
    }


def _text(refused: list[str], shown: list[Leak]) -> str:
    lines = ["The manifest is refused:", *_bullets(refused)]
    if shown:
        lines.append(f"First {min(_SHOWN, len(shown))} of {len(shown)} (all of them: {LIST}):")
        lines += [f"  {leak.kind}: {leak.first} and {leak.second} ({leak.detail})" for leak in _mixed(shown)]
    return "\n".join(lines) + "\n"


def _mixed(leaks: list[Leak]) -> list[Leak]:
    """The first few of every kind, so that the most frequent kind does not hide the others."""
    kinds = list(dict.fromkeys(leak.kind for leak in leaks))
    queues = [[leak for leak in leaks if leak.kind == kind] for kind in kinds]
    chosen: list[Leak] = []
    for rank in range(_SHOWN):
        chosen += [queue[rank] for queue in queues if rank < len(queue)]
    return sorted(chosen[:_SHOWN], key=lambda leak: kinds.index(leak.kind))


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _patients(leaks: list[Leak]) -> str:
    scans = sum(leak.scans for leak in leaks)
    verb = "is" if len(leaks) == 1 else "are"
    return f"{_count(len(leaks), 'patient')} {verb} in two splits or more ({_count(scans, 'scan')})."


def _copies(leaks: list[Leak]) -> str:
    scans = sum(leak.scans for leak in leaks)
    verb = "spans" if len(leaks) == 1 else "span"
    groups = _count(len(leaks), "group")
    return f"{groups} of scans with the same pixels {verb} two splits or more ({_count(scans, 'scan')})."


def _near_copies(leaks: list[Leak]) -> str:
    scans = len({path for leak in leaks for path in (leak.first, leak.second)})
    verb = "spans" if len(leaks) == 1 else "span"
    pairs = _count(len(leaks), "pair")
    return (
        f"{pairs} of near copies (flipped, cropped, re-encoded or re-exposed) {verb} two splits "
        f"({_count(scans, 'scan')})."
    )


def _contradictions(leaks: list[Leak]) -> str:
    same = [leak for leak in leaks if leak.correlation is None]
    near = [leak for leak in leaks if leak.correlation is not None]
    parts = [_count(len(same), "group") + " of scans with the same pixels"] if same else []
    parts += [_count(len(near), "pair") + " of near copies"] if near else []
    verb = "carries" if len(leaks) == 1 else "carry"
    return f"{' and '.join(parts)} {verb} different labels."


def _shortcut_sentence(shortcut: Shortcut) -> str:
    what = f"class {shortcut.label}" if shortcut.label else "the label"
    return (
        f"{shortcut.column} alone tells {what} with balanced accuracy {shortcut.accuracy:.3f} "
        f"({_count(shortcut.scans, 'scan')}): a model may learn what goes with it in place of the disease."
    )


_SENTENCES: Mapping[Kind, Callable[[list[Leak]], str]] = MappingProxyType(
    {
        "patient": _patients,
        "copy": _copies,
        "near_copy": _near_copies,
        "contradiction": _contradictions,
    }
)
_GROUPED = (
    "manifest.split.method=grouped keeps them together (where the data declares a split of its own, also "
    "data.columns.split=null)"
)
_REMEDIES: Mapping[Kind, str] = MappingProxyType(
    {
        "patient": f"patient: {_GROUPED}; manifest.leakage.patients=warn accepts them.",
        "copy": (
            f"copy: {_GROUPED}; manifest.leakage.copies=quarantine leaves out the copy that is learned "
            "from; manifest.leakage.copies=warn accepts them."
        ),
        "near_copy": (
            f"near_copy: {_GROUPED}; a higher manifest.leakage.near_correlation asks for closer likeness; "
            "manifest.leakage.near_copies=quarantine leaves out the copy that is learned from; "
            "manifest.leakage.near_copies=warn accepts them."
        ),
        "contradiction": (
            "contradiction: correct the labels; manifest.leakage.contradictions=quarantine leaves these "
            "scans out."
        ),
    }
)
_SHORTCUT_REMEDY = (
    "shortcut: collect each class from the same sources, devices and settings, or leave out the scans that "
    "only one class has; manifest.leakage.shortcuts=warn accepts it."
)
