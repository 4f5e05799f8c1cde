"""OpenCV's threads."""

from __future__ import annotations

import cv2
import pytest

from scanlens.scaling.opencv import one_thread


def test_one_thread_for_a_while() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        with one_thread():
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 3
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
