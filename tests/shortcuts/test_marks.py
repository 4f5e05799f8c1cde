from __future__ import annotations

import cv2
import numpy as np
import pytest

from scanlens.shortcuts.marks import find_marks, patches, without_marks

SIDE = 128


def ground(seed: int = 0) -> np.ndarray:
    """A soft bright body on a dark ground, with noise."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    soft = 0.7 * np.exp(-(((rows - 70) / 45) ** 4) - ((columns - 64) / 40) ** 4) + 0.05
    return np.clip(soft + np.random.default_rng(seed).normal(0, 0.01, soft.shape), 0, 1).astype(np.float32)


def lettered(place: tuple[int, int], text: str = "R", size: float = 0.4) -> np.ndarray:
    stencil = np.zeros((SIDE, SIDE), np.uint8)
    cv2.putText(stencil, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA)
    cover = stencil.astype(np.float32) / 255
    return ground() * (1 - cover) + 0.95 * cover


@pytest.mark.parametrize(("place", "text"), [((8, 20), "R"), ((108, 18), "L"), ((6, 120), "AP 12")])
def test_letters_and_lines_in_the_corners_are_found(place: tuple[int, int], text: str) -> None:
    image = lettered(place, text)
    boxes = find_marks(image[None])
    assert len(boxes) == 1
    inside = np.zeros((SIDE, SIDE), bool)
    inside[boxes[0]] = True
    drawn = np.abs(image - ground()) > 0.2
    assert (drawn & inside).sum() >= 0.95 * drawn.sum()
    assert inside.mean() < 0.06


def test_a_mark_of_one_channel_counts() -> None:
    image = np.stack([ground(), ground(1), lettered((8, 20))])
    assert len(find_marks(image)) == 1


def test_plain_scans_lesions_in_the_middle_and_small_scans_have_no_marks() -> None:
    assert find_marks(ground()[None]) == []
    lesion = ground()
    cv2.circle(lesion, (60, 66), 4, 1.0, -1)
    assert find_marks(lesion[None]) == []
    assert find_marks(lettered((8, 20))[None, ::4, ::4]) == []


def test_patches_are_of_one_size_and_what_they_hide_is_gone() -> None:
    large, small = lettered((10, 26), size=0.6), lettered((10, 26), size=0.35)
    hidden = [patches(find_marks(image[None]), (SIDE, SIDE)) for image in (large, small)]
    assert hidden[0].sum() == pytest.approx(hidden[1].sum(), rel=0.15)
    healed = without_marks(large[None], hidden[0])
    np.testing.assert_array_equal(healed[0][~hidden[0]], large[~hidden[0]])
    assert np.abs(healed[0] - ground())[hidden[0]].max() < 0.25
    assert find_marks(healed) == []
