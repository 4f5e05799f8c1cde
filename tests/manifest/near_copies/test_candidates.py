"""The index finds a scan's crop, mirrored or negative, and says how it lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from scanlens.manifest.near_copies.candidates import BLOCK, FARTHEST, NEAREST, Candidate, find_candidates
from scanlens.manifest.near_copies.descriptors import LAYS, SPANS, WINDOWS
from scanlens.manifest.near_copies.thumbnails import SIDE

SCANS = BLOCK + 10
CROPPED, COPY = 3, SCANS
WINDOW = next(
    number for number, (rows, columns) in enumerate(WINDOWS) if SPANS[rows][1] == SPANS[columns][1] == 0.79
)


def scans() -> np.ndarray:
    """Different pictures, grey values 0 to 255."""
    rough = np.random.default_rng(0).normal(size=(SCANS, SIDE, SIDE))
    smooth = sum(gaussian_filter(rough, (0, width, width)) * width for width in (2, 4, 8, 16))
    low, high = np.percentile(smooth, [1, 99], axis=(1, 2), keepdims=True)
    return np.clip((smooth - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def crop(scan: np.ndarray) -> np.ndarray:
    """What ``WINDOW`` shows of a scan, as a thumbnail."""
    (top, height), (left, width) = (SPANS[span] for span in WINDOWS[WINDOW])
    rows, columns = (
        slice(round(top * SIDE), round((top + height) * SIDE)),
        slice(round(left * SIDE), round((left + width) * SIDE)),
    )
    return cv2.resize(scan[rows, columns], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def search(copy: np.ndarray, workers: int = 1) -> list[Candidate]:
    """All candidates where the copy is the last scan."""
    thumbnails = np.concatenate([scans(), copy[None]])
    blocks = list(find_candidates(thumbnails, np.arange(len(thumbnails)), workers))
    assert len(blocks) == 2
    return [candidate for block in blocks for candidate in block]


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("lay", [(False, False, False), (False, False, True), (True, True, False)], ids=str)
def test_a_crop_is_found_and_how_it_lies(lay: tuple[bool, bool, bool], negative: bool) -> None:
    transpose, rows, columns = lay
    copy = crop(scans()[CROPPED])
    # Undone in the opposite order of laying.
    copy = copy[:, ::-1] if columns else copy
    copy = copy[::-1] if rows else copy
    copy = copy.T if transpose else copy
    found = [c for c in search(255 - copy if negative else copy) if (c.scan, c.copy) == (CROPPED, COPY)]
    assert len(found) == 1
    assert (found[0].window, LAYS[found[0].lay], found[0].negative) == (WINDOW, lay, negative)


def test_few_candidates_each_nearest_first_and_never_itself() -> None:
    found = search(crop(scans()[CROPPED]))
    for scan in {candidate.scan for candidate in found}:
        own = [candidate for candidate in found if candidate.scan == scan]
        assert 1 <= len(own) <= NEAREST
        assert scan not in {candidate.copy for candidate in own}
        distances = [candidate.distance for candidate in own]
        assert distances == sorted(distances)
        assert distances[-1] <= FARTHEST


def test_threads_change_nothing() -> None:
    copy = crop(scans()[CROPPED])
    assert search(copy, 1) == search(copy, 2)


def test_rows_that_are_not_in_the_order_take_no_part() -> None:
    thumbnails = np.concatenate([scans(), scans()[CROPPED][None]])
    order = np.array([row for row in range(len(thumbnails)) if row != CROPPED])
    found = [c for block in find_candidates(thumbnails, order) for c in block]
    assert all(max(c.scan, c.copy) < len(order) for c in found)
    last = len(order) - 1
    assert not [c for c in found if last in (c.scan, c.copy) and c.distance < 1], "its twin is not searched"
