"""Which scans must stay together: those of one patient, of one content, and near copies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scanlens.types import IntArray

Links = Iterable[tuple[int, int]]
"""Pairs of places in a table of scans, from 0: those of near copies."""

SHARED = ("patient", "sha256", "pixel_sha256")
"""Scans with the same value in one of these columns belong together; an empty value says nothing."""


def patient_groups(scans: pd.DataFrame, links: Links = ()) -> IntArray:
    """Number the groups that must stay together: the same value in a column of :data:`SHARED`, or a link.

    Groups are closed under chains: a with b for the patient and b with c for the pixels puts a with c.

    Args:
        scans: The columns of :data:`SHARED`.
        links: Pairs of places in ``scans`` (not of index labels) that belong together.

    Returns:
        ``(scan,)`` group numbers in order of first appearance.

    Example:
        >>> rows = [["a", "h1", ""], ["b", "h2", ""], ["b", "h1", ""], ["", "h3", ""]]
        >>> scans = pd.DataFrame(rows, columns=SHARED)
        >>> patient_groups(scans).tolist(), patient_groups(scans, links=[(0, 3)]).tolist()
        ([0, 0, 0, 1], [0, 0, 0, 0])
    """
    edges = [np.array(list(links), dtype=np.int64).reshape(-1, 2).T]
    nodes = len(scans)
    for column in SHARED:
        # A node a value: n scans of one patient are n edges, not n².
        values, distinct = pd.factorize(scans[column].where(scans[column] != ""))
        known = np.flatnonzero(values >= 0)
        edges.append(np.stack([known, values[known] + nodes]))
        nodes += len(distinct)
    start, end = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(start), dtype=np.int8), (start, end)), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    groups, _ = pd.factorize(component[: len(scans)])
    return groups.astype(np.int64)


def group_names(scans: pd.DataFrame, links: Links = ()) -> pd.Series:
    """Name each group of :func:`patient_groups` by its first scan_id, indexed like ``scans``.

    Args:
        scans: Column scan_id beside those of :data:`SHARED`.
        links: See :func:`patient_groups`.

    Example:
        >>> scans = pd.DataFrame({"scan_id": ["c3", "a1", "b2"], "patient": ["p", "p", "q"]})
        >>> group_names(scans.assign(sha256="", pixel_sha256="")).tolist()
        ['a1', 'a1', 'b2']
    """
    return scans["scan_id"].groupby(patient_groups(scans, links)).transform("min")
