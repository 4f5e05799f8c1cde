"""The data-quality page: one HTML file that shows what was refused and why, and what the rest is like."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.atomic import write_text
from scanlens.manifest.columns import OK
from scanlens.manifest.gate.giveaways import Shortcut
from scanlens.manifest.gate.leakage import Leak
from scanlens.manifest.histograms import distributions
from scanlens.manifest.report import summarise
from scanlens.manifest.splits.deal import TOLERANCE
from scanlens.pages.render import render
from scanlens.types import SPLITS

PER_REASON = 60
"""Quarantined scans that the contact sheet shows of each kind of reason."""
PER_CLASS = 6
"""Accepted scans that are shown of each class and modality."""
PAIRS = 20
"""Leaks that are shown of each kind, by a pair of scans each."""
_LEAKS = {
    "patient": ("One patient in two splits", "The test split holds patients that training has seen."),
    "copy": ("The same pixels in two splits", "The test split holds scans that training has seen."),
    "near_copy": (
        "Near copies in two splits",
        "Flipped, cropped, re-encoded or re-exposed: the test split holds what training has seen.",
    ),
    "contradiction": ("The same pixels, or nearly, under different labels", "At most one can be right."),
}

_Thumbnails = npt.NDArray[np.uint8]


def write_quality(
    manifest: pd.DataFrame,
    leaks: Sequence[Leak],
    shortcuts: Sequence[Shortcut],
    warnings: Sequence[str],
    thumbnails: _Thumbnails,
    output: Path,
) -> None:
    """Write the page. It needs no script and loads nothing; every word from outside is escaped.

    Args:
        manifest: The columns of :data:`scanlens.manifest.columns.COLUMNS`.
        leaks: What splits share, and contradictions.
        shortcuts: Metadata that give the label away.
        warnings: Sentences to put on top.
        thumbnails: uint8, ``(row, height, width)`` in the manifest's order; those of scans that were not
            read (0 channels) are not looked at.
        output: The HTML file.
    """
    manifest = manifest.reset_index(drop=True)
    accepted = manifest[manifest["status"] == OK]
    sheet = _Sheet(manifest, thumbnails)
    page = render(
        "manifest/quality.html.j2",
        {"readable": readable},
        f=summarise(manifest),
        warnings=list(warnings),
        statuses=_statuses(manifest),
        refused=_refused(manifest, sheet),
        leaks=_leaks(leaks, sheet),
        shortcuts=list(shortcuts),
        classes=_classes(accepted),
        splits=_splits(accepted),
        intensities=intensities(accepted),
        accepted=_accepted(accepted, sheet),
        distributions=distributions(accepted),
        tolerance=f"{100 * TOLERANCE:g}",
    )
    write_text(output, page)


def readable(text: str) -> str:
    r"""A name as it can be printed: control characters, direction marks and lone surrogates as ``\x..``.

    File names may hold anything; some of it turns the text around them or cannot be written as UTF-8.

    Example:
        >>> print(readable("scan\u202e\n.png"))
        scan\u202e\n.png
    """
    return "".join(
        letter if unicodedata.category(letter)[0] not in "CZ" or letter == " " else ascii(letter)[1:-1]
        for letter in text
    )


class _Sheet:
    """Pictures of scans by row and by path."""

    def __init__(self, manifest: pd.DataFrame, thumbnails: _Thumbnails) -> None:
        self._manifest = manifest
        self._thumbnails = thumbnails
        paths = manifest["path"].drop_duplicates()
        self._row_of = dict(zip(paths, paths.index, strict=True))

    def tile(self, row: int) -> dict[str, Any]:
        """What the page shows of one scan: picture (None if unread), path, suffix, label, split, reason."""
        facts = self._manifest.loc[row]
        picture = None
        if facts["channels"]:
            encoded = cv2.imencode(".png", self._thumbnails[row])[1]
            picture = base64.b64encode(encoded.tobytes()).decode()
        return {
            "picture": picture,
            "suffix": PurePosixPath(facts["path"]).suffix[:8] or "file",
            "reason": facts["status"].partition(":")[2].strip(),
            **{name: facts[name] for name in ("path", "label", "split")},
        }

    def tile_of(self, path: str) -> dict[str, Any] | None:
        """The tile of a scan by its path; None for one that the manifest does not list."""
        return self.tile(self._row_of[path]) if path in self._row_of else None


def _statuses(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Each kind of status with its count, its share and an example; accepted first, then by count."""
    kinds = manifest["status"].str.split(":").str[0]
    rows = [
        {
            "kind": kind,
            "count": len(group),
            "share": 100 * len(group) / len(manifest),
            "path": group["path"].iloc[0],
            "example": group["status"].iloc[0].partition(":")[2].strip(),
        }
        for kind, group in manifest.groupby(kinds)
    ]
    return sorted(rows, key=lambda row: (row["kind"] != OK, -row["count"], row["kind"]))


def _refused(manifest: pd.DataFrame, sheet: _Sheet) -> list[dict[str, Any]]:
    """The quarantined scans by kind of reason, as many of each as the contact sheet shows."""
    bad = manifest[manifest["status"] != OK]
    groups = [
        {
            "kind": kind,
            "count": len(group),
            "tiles": [sheet.tile(row) for row in group.index[:PER_REASON]],
            "more": max(len(group) - PER_REASON, 0),
        }
        for kind, group in bad.groupby(bad["status"].str.split(":").str[0])
    ]
    return sorted(groups, key=lambda group: (-group["count"], group["kind"]))


def intensities(accepted: pd.DataFrame) -> list[dict[str, Any]]:
    """Values of the accepted scans by modality: what lies far from its like was stored or scaled otherwise.

    Args:
        accepted: Accepted rows of a manifest.

    Returns:
        A row a modality, by name: ``modality``, ``scans``, and ``lowest`` and ``highest``, each the least,
        the median and the greatest over its scans.

    Example:
        >>> accepted = pd.DataFrame({"modality": ["CT", "CT"], "intensity": [[-1024.0, 3071.0], [0.0, 1.0]]})
        >>> (row,) = intensities(accepted)  # the second scan is in other units
        >>> row["lowest"], row["highest"]
        ([-1024.0, -512.0, 0.0], [1.0, 1536.0, 3071.0])
    """
    known = accepted[accepted["intensity"].map(len) == 2]
    rows = []
    for modality, group in known.groupby("modality"):
        values = np.array(group["intensity"].tolist())
        lowest, highest = np.quantile(values, [0, 0.5, 1], axis=0).T.tolist()
        rows.append({"modality": str(modality), "scans": len(group), "lowest": lowest, "highest": highest})
    return rows


def _accepted(accepted: pd.DataFrame, sheet: _Sheet) -> list[dict[str, Any]]:
    """Some accepted scans of each modality and class, spread evenly over the listing."""
    groups = []
    for (modality, label), group in accepted.groupby(["modality", "label"]):
        chosen = np.linspace(0, len(group) - 1, min(len(group), PER_CLASS)).astype(int)
        tiles = []
        for row, ends in zip(group.index[chosen], group["intensity"].iloc[chosen], strict=True):
            tiles.append({**sheet.tile(row), "range": " to ".join(f"{value:.4g}" for value in ends)})
        groups.append({"modality": modality, "label": label, "count": len(group), "tiles": tiles})
    return groups


def _leaks(leaks: Sequence[Leak], sheet: _Sheet) -> list[dict[str, Any]]:
    """The leaks by kind, the first pairs of each with their pictures."""
    groups = []
    for kind, (title, meaning) in _LEAKS.items():
        pairs = [leak for leak in leaks if leak.kind == kind]
        if not pairs:
            continue
        shown = [
            {
                "scans": [
                    sheet.tile_of(path) or {"path": path, "picture": None} for path in (one.first, one.second)
                ],
                "detail": one.detail,
            }
            for one in pairs[:PAIRS]
        ]
        more = len(pairs) - len(shown)
        groups.append({"title": title, "meaning": meaning, "count": len(pairs), "pairs": shown, "more": more})
    return groups


def _classes(accepted: pd.DataFrame) -> list[dict[str, Any]]:
    """Each class with its count in each split and in all, its share there, and whether that is off."""
    rows = []
    sizes = {split: int((accepted["split"] == split).sum()) for split in SPLITS}
    for label, group in accepted.groupby("label"):
        overall = len(group) / len(accepted)
        cells: dict[str, dict[str, float]] = {}
        for split in SPLITS:
            count = int((group["split"] == split).sum())
            share = count / sizes[split] if sizes[split] else 0.0
            off = bool(sizes[split]) and abs(share - overall) > max(TOLERANCE, 1 / sizes[split])
            cells[split] = {"count": count, "share": 100 * share, "off": off}
        cells["all"] = {"count": len(group), "share": 100 * overall, "off": False}
        rows.append({"label": label, "cells": cells})
    return rows


def _splits(accepted: pd.DataFrame) -> list[dict[str, Any]]:
    """Scans, patients and sites of each split."""
    rows = []
    for split in (*SPLITS, "all"):
        part = accepted if split == "all" else accepted[accepted["split"] == split]
        sites = part.loc[part["site"] != "", "site"].value_counts().sort_index()
        rows.append(
            {
                "split": split,
                "scans": len(part),
                "share": 100 * len(part) / max(len(accepted), 1),
                "patients": int(part["patient"].nunique()),
                "sites": {str(site): int(count) for site, count in sites.items()},
            }
        )
    return rows
