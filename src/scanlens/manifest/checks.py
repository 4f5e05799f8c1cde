"""Why a decoded scan is not accepted, and what is odd about a set of accepted ones.

Every reason is one line: its kind, a colon, the details.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scanlens.config.schema import Checks
from scanlens.manifest.columns import OK
from scanlens.tasks import Task
from scanlens.types import ImageArray, Scan

_MAX_SPACING_RATIO = 2.0
"""Largest ratio of the 95th to the 5th percentile of the spacing that is not worth a warning."""
_MAX_SIZE_RATIO = 4.0
"""A longest side of so many times the median one, or of so small a part of it, is extreme."""
_FEW_SCANS = 5
"""Fewer scans of a class in val or test are worth a warning."""
_FEW_PATIENTS = 10
"""Fewer patients in val or test are worth a warning."""
_MIXTURES = (
    ("modality", "modalities", "Name those wanted in manifest.checks.modalities."),
    ("channels", "numbers of channels", "preprocess.channels makes them one."),
    ("photometric", "photometric interpretations", "Do they go with the label or the site?"),
)


def physical_extent(shape: Sequence[int], spacing: Sequence[float] | None) -> tuple[float, ...]:
    """Length of each spatial axis: in millimetres where the spacing is known, else in pixels.

    Args:
        shape: Pixels along each spatial axis.
        spacing: Millimetres a pixel along each; None, empty or without a usable number = unknown.

    Example:
        >>> physical_extent((200, 100), (0.5, 1.0)), physical_extent((200, 100), None)
        ((100.0, 100.0), (200.0, 100.0))
    """
    if spacing is None or len(spacing) != len(shape) or not all(0 < step < np.inf for step in spacing):
        return tuple(float(side) for side in shape)
    return tuple(side * step for side, step in zip(shape, spacing, strict=True))


def problem(scan: Scan, dims: int, checks: Checks) -> str | None:
    """Say why a scan cannot be used.

    Args:
        scan: The decoded scan.
        dims: 2 or 3, the spatial axes that the data set declares.
        checks: Smallest side in pixels, largest ratio of the (physical) sides, largest share of saturated
            pixels, largest wobble of the slices' directions, and the modalities that are accepted.

    Returns:
        The reason, or None for a scan that can be used.

    Example:
        >>> checks = Checks(8, 1 << 20, 10.0, 0.98, 0.005, None, 60.0, 768)  # sides of at least 8
        >>> ramp = np.arange(100, dtype=np.float32).reshape(1, 10, 10)
        >>> problem(Scan(ramp), 2, checks) is None, problem(Scan(ramp * 0), 2, checks)
        (True, 'blank: every pixel is 0')
        >>> problem(Scan(ramp, spacing=(0.5, 6.0)), 2, checks)
        'too long: sides of ratio 12.0, at most 10 allowed'
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
    if scan.wobble > checks.max_wobble:
        return (
            f"wobbling: direction cosines of its slices differ by {scan.wobble:.4f}, "
            f"at most {checks.max_wobble:g} allowed (manifest.checks.max_wobble)"
        )
    lowest, highest = float(scan.pixels.min()), float(scan.pixels.max())
    if not np.isfinite([lowest, highest]).all():
        return "not finite: pixels that are no numbers or infinite"
    if lowest == highest:
        return f"blank: every pixel is {lowest:g}"
    if checks.modalities is not None and scan.modality not in checks.modalities:
        return f"modality: {scan.modality}, accepted are {', '.join(checks.modalities)}"
    share = saturated_share(scan.pixels)
    if share == 1 > checks.max_saturated:
        return "saturated: every pixel is at the darkest or the brightest value, as in a mask"
    if share > checks.max_saturated:
        return (
            f"saturated: {100 * share:.1f} % of the picture is at the darkest or the brightest value, "
            f"at most {100 * checks.max_saturated:g} % allowed"
        )
    return None


def saturated_share(pixels: ImageArray) -> float:
    """Share of a picture that is at its own darkest or brightest value and so says nothing but that.

    A black background is normal and counts: only what little is left beside it can be too little. A line
    along the first axis of a volume counts when the whole of it is at one of these values, as an organ that
    fills a tenth of the picture fills far less of the volume (the binary shapes of AdrenalMNIST3D are 99 %
    zeros, but 9 in 10 of their pictures' pixels at most).

    Args:
        pixels: float32, ``(channel, [depth,] height, width)``, finite.

    Returns:
        A share of ``height * width``.

    Example:
        >>> saturated_share(np.array([[[0.0, 0.0], [0.3, 1.0]]], np.float32))  # all but 0.3
        0.75
        >>> saturated_share(np.array([[[[0.0, 0.0]], [[0.3, 0.0]]]], np.float32))  # a volume's lines
        0.5
    """
    along = tuple(range(pixels.ndim - 2))
    dark = (pixels == pixels.min()).all(axis=along)
    bright = (pixels == pixels.max()).all(axis=along)
    return float((dark | bright).mean())


def contradictions(manifest: pd.DataFrame, tolerance: float | None = None) -> pd.Series:
    """Find accepted scans of identical pixels under different labels: none of them can be trusted.

    Args:
        manifest: Columns path, label, sha256, pixel_sha256 (empty: the file's bytes count), status.
        tolerance: Where labels are numbers: how far apart two that agree may be.

    Returns:
        The reason of each contradicted scan, naming another path; indexed like its row in ``manifest``.

    Example:
        >>> rows = [["a.png", "normal", "h1", "", "ok"], ["b.png", "nodule", "h1", "", "ok"]]
        >>> manifest = pd.DataFrame(rows, columns=["path", "label", "sha256", "pixel_sha256", "status"])
        >>> contradictions(manifest)[0]
        'contradiction: same content as b.png, labelled nodule'
        >>> len(contradictions(manifest.assign(label="nodule")))
        0
    """
    accepted = manifest[manifest["status"] == OK]
    content = accepted["pixel_sha256"].where(accepted["pixel_sha256"] != "", accepted["sha256"])
    disputed = disputes(accepted["label"], content, tolerance)
    reasons = {}
    for _, group in accepted[disputed].groupby(content[disputed], sort=False):
        for row in group.itertuples():
            # Of numbers the one farthest off: the nearest may agree.
            others = group if tolerance is None else group.iloc[[_farthest(group["label"], str(row.label))]]
            other = others[others["label"] != row.label].iloc[0]
            reasons[row.Index] = f"contradiction: same content as {other['path']}, labelled {other['label']}"
    return pd.Series(reasons, dtype=object)


def disputes(labels: pd.Series, content: pd.Series, tolerance: float | None) -> pd.Series:
    """Whether the labels of each scan's content disagree.

    Args:
        labels: Text.
        content: What is the same for the same pixels.
        tolerance: None where labels are classes; else how far apart numbers that agree may be.

    Example:
        >>> content = pd.Series(["h1", "h1", "h2"])
        >>> disputes(pd.Series(["normal", "nodule", "nodule"]), content, None).tolist()
        [True, True, False]
        >>> disputes(pd.Series(["61", "61.5", "70"]), content, 1.0).tolist()
        [False, False, False]
    """
    if tolerance is None:
        return labels.groupby(content).transform("nunique") > 1
    by_content = labels.astype(float).groupby(content)
    return (by_content.transform("max") - by_content.transform("min")) > tolerance


def _farthest(labels: pd.Series, label: str) -> int:
    return int((labels.astype(float) - float(label)).abs().to_numpy().argmax())


def set_problems(manifest: pd.DataFrame, task: Task) -> list[str]:
    """Say what about the accepted scans as a set may mislead a network or whoever reads its results.

    Args:
        manifest: The columns of :data:`scanlens.manifest.columns.COLUMNS`.
        task: What the labels are.

    Returns:
        Sentences: mixed modalities, channels, photometric interpretations and spacings, extreme sizes, and
        splits with few patients or few scans of a class.
    """
    accepted = manifest[manifest["status"] == OK]
    if accepted.empty:
        return []
    found = [
        f"{what} are mixed: {_counts(accepted[column])}. {remedy}"
        for column, what, remedy in _MIXTURES
        if accepted[column].nunique() > 1
    ]
    if task.has_classes:
        several = accepted.groupby("patient", sort=False)["label"].nunique()
        if divided := int((several > 1).sum()):
            example = accepted.loc[accepted["patient"] == several.index[several > 1][0], "path"].iloc[0]
            found.append(f"{divided} patients have scans of several classes, the first that of {example}.")
    return found + _mixed_spacing(accepted) + _extreme_sizes(accepted) + _few(accepted, task)


def _counts(values: pd.Series) -> str:
    """``CR (120), DX (30)``: how many scans have each value, the most frequent first, six at most."""
    counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    named = ", ".join(f"{value or 'unknown'} ({count})" for value, count in counts.head(6).items())
    return f"{named} and {len(counts) - 6} more" if len(counts) > 6 else named


def _mixed_spacing(accepted: pd.DataFrame) -> list[str]:
    known = accepted["spacing"].map(len) > 0
    if not known.any():
        return []
    found = []
    if not known.all():
        found.append(
            f"{int((~known).sum())} of {len(accepted)} scans say nothing of their pixel spacing: "
            "sizes in millimetres are unknown for these."
        )
    for axes, spacing in accepted.loc[known, "spacing"].groupby(accepted["spacing"].map(len)):
        for axis, steps in enumerate(np.array(spacing.tolist()).T):
            low, high = np.percentile(steps, [5, 95])
            if high > _MAX_SPACING_RATIO * low:
                name = ("depth", "height", "width")[axis - axes]
                found.append(
                    f"the pixel spacing along the {name} is mixed: 90 % of the scans are between {low:.3g} "
                    f"and {high:.3g} mm. Set preprocess.spacing to bring them to one scale."
                )
    return found


def _extreme_sizes(accepted: pd.DataFrame) -> list[str]:
    longest = accepted["shape"].map(max)
    ratio = longest / longest.median()
    extreme = longest[(ratio > _MAX_SIZE_RATIO) | (ratio < 1 / _MAX_SIZE_RATIO)]
    if extreme.empty:
        return []
    return [
        f"{len(extreme)} scans are over {_MAX_SIZE_RATIO:g} times longer or shorter than the median of "
        f"{longest.median():g} pixels (from {extreme.min()} to {extreme.max()}): are they of the same kind?"
    ]


def _few(accepted: pd.DataFrame, task: Task) -> list[str]:
    found = []
    for split in ("val", "test"):
        scans = accepted[accepted["split"] == split]
        if scans.empty:
            continue
        patients = scans["patient"].nunique()
        if patients < _FEW_PATIENTS:
            found.append(f"{split} has {patients} patients only: its metrics will be uncertain.")
        if not task.has_classes:
            continue
        found += [
            f"{split} has {count} scans only of class {label}: its metrics will be uncertain."
            for label, count in scans["label"].value_counts().sort_index().items()
            if count < _FEW_SCANS
        ]
    return found
