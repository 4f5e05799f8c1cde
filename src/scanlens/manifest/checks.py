"""Why a decoded scan is not accepted. Every reason is one line: its kind, a colon, the details."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scanlens.config.schema import Checks
from scanlens.manifest.columns import OK
from scanlens.types import Scan


def physical_extent(shape: Sequence[int], spacing: Sequence[float] | None) -> tuple[float, ...]:
    """Length of each spatial axis: in millimetres where the spacing is known, else in pixels.

    Args:
        shape: Pixels along each spatial axis.
        spacing: Millimetres a pixel along each; None, empty or without a usable number = unknown.
    """
    if spacing is None or len(spacing) != len(shape) or not all(0 < step < np.inf for step in spacing):
        return tuple(float(side) for side in shape)
    return tuple(side * step for side, step in zip(shape, spacing, strict=True))


def problem(scan: Scan, dims: int, checks: Checks) -> str | None:
    """Say why a scan cannot be used.

    Args:
        scan: The decoded scan.
        dims: 2 or 3, the spatial axes that the data set declares.
        checks: Smallest side in pixels and largest ratio of the (physical) sides.

    Returns:
        The reason, or None for a scan that can be used.
    """
    shape = scan.pixels.shape[1:]
    if len(shape) != dims:
        return f"dimensions: {len(shape)} spatial axes, but data.dims is {dims}"
    if min(shape) < checks.min_side:
        return f"too small: shortest side of {min(shape)} pixels, at least {checks.min_side} needed"
    extent = physical_extent(shape, scan.spacing)
    aspect = max(extent) / min(extent)
    if aspect > checks.max_aspect:
        return f"too long: sides of ratio {aspect:.1f}, at most {checks.max_aspect:g} allowed"
    lowest, highest = float(scan.pixels.min()), float(scan.pixels.max())
    if not np.isfinite([lowest, highest]).all():
        return "not finite: pixels that are no numbers or infinite"
    if lowest == highest:
        return f"blank: every pixel is {lowest:g}"
    return None


def contradictions(manifest: pd.DataFrame) -> pd.Series:
    """Find accepted scans of identical content under different labels: none of them can be trusted.

    Args:
        manifest: Columns path, label, sha256, status.

    Returns:
        The reason of each contradicted scan, naming another path; indexed like its row in ``manifest``.
    """
    accepted = manifest[manifest["status"] == OK]
    labels = accepted.groupby("sha256")["label"].transform("nunique")
    reasons = {}
    for _, group in accepted[labels > 1].groupby("sha256", sort=False):
        for row in group.itertuples():
            other = group[group["label"] != row.label].iloc[0]
            reasons[row.Index] = f"contradiction: same content as {other['path']}, labelled {other['label']}"
    return pd.Series(reasons, dtype=object)
