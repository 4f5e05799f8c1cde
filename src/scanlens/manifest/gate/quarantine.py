"""Accepted scans that go into quarantine because of another one: contradictions, copies across splits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from scanlens.config.schema import Leakage
from scanlens.manifest.columns import OK
from scanlens.manifest.gate.leakage import contradicting
from scanlens.manifest.near_copies.find import Pair
from scanlens.types import SPLITS


def near_contradictions(
    manifest: pd.DataFrame, pairs: Sequence[Pair], tolerance: float | None = None
) -> dict[int, str]:
    """Near copies under different labels: neither label can be trusted.

    Args:
        manifest: Columns path, patient, label.
        pairs: Near copies, by row.
        tolerance: Where labels are numbers: how far apart two that agree may be.

    Returns:
        Reason by row.

    Example:
        >>> rows = [["a.png", "p1", "normal"], ["b.png", "p2", "nodule"]]
        >>> manifest = pd.DataFrame(rows, columns=["path", "patient", "label"])
        >>> near_contradictions(manifest, [Pair(0, 1, 0.995)])[1]
        'contradiction: near copy of a.png, labelled normal'
    """
    paths, labels = manifest["path"].to_numpy(), manifest["label"].to_numpy()
    reasons = {}
    for pair in contradicting(manifest, pairs, tolerance):
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            reasons[one] = f"contradiction: near copy of {paths[other]}, labelled {labels[other]}"
    return reasons


def copies_across_splits(manifest: pd.DataFrame, pairs: Sequence[Pair], config: Leakage) -> dict[int, str]:
    """Copies that a split declared by the data has on both sides.

    The test split stays whole and val comes next: the copy in the split that learns goes.

    Args:
        manifest: Columns path, split, status, sha256, pixel_sha256; splits assigned.
        pairs: Near copies, by row.
        config: ``copies`` and ``near_copies``: ``quarantine`` asks for it.

    Returns:
        Reason by row.

    Example:
        >>> rows = [["a.png", "train", "ok", "h1", ""], ["b.png", "test", "ok", "h1", ""]]
        >>> manifest = pd.DataFrame(rows, columns=["path", "split", "status", "sha256", "pixel_sha256"])
        >>> config = Leakage("refuse", "quarantine", "refuse", "refuse", "refuse", 0.95, 0.95)
        >>> copies_across_splits(manifest, [], config)
        {0: 'copy: the same pixels as b.png in test'}
    """
    accepted = manifest[(manifest["status"] == OK) & (manifest["split"] != "")].reset_index(names="row")
    rank = accepted["split"].map(SPLITS.index)
    reasons: dict[int, str] = {}
    content = accepted["pixel_sha256"].where(accepted["pixel_sha256"] != "", accepted["sha256"])
    if config.copies == "quarantine":
        best = rank.groupby(content).transform("max")
        for row, kept in accepted.index[rank < best].map(lambda place: (place, best[place])):
            twin = accepted[(content == content[row]) & (rank == kept)].iloc[0]
            reasons[int(accepted["row"][row])] = f"copy: the same pixels as {twin['path']} in {twin['split']}"
    if config.near_copies == "quarantine":
        place = dict(zip(accepted["row"], accepted.index, strict=True))
        across = []
        for pair in pairs:
            if {pair.first, pair.second} <= place.keys():
                lower, higher = sorted((place[pair.first], place[pair.second]), key=lambda one: rank[one])
                # Equal pixels are the other setting's.
                if rank[lower] < rank[higher] and content[lower] != content[higher]:
                    across.append((lower, higher))
        # The copies in test first: a scan that goes itself must take no other along.
        for lower, higher in sorted(across, key=lambda one: -rank[one[1]]):
            if int(accepted["row"][higher]) not in reasons:
                reason = f"near copy: of {accepted['path'][higher]} in {accepted['split'][higher]}"
                reasons.setdefault(int(accepted["row"][lower]), reason)
    return reasons
