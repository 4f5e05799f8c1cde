"""Scans that are black, white or flat for the network are told, with a picture, and others are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from scanlens.preprocess.faint import PICTURE, faint_scans, warn_of_faint
from scanlens.preprocess.store import Store
from tests.helpers.tiny import write_store


@pytest.mark.parametrize("shape", [(1, 24, 20), (3, 16, 16), (1, 4, 8, 8)], ids=["grey", "colour", "volume"])
def test_faint_scans_are_counted_named_and_drawn(
    tmp_path: Path, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path / "store", shape=shape)
    ramp = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    other = {1: ramp * 0.04 + 0.5, 3: (ramp > 0.7).astype(np.float32), 4: np.where(ramp > 0.9, ramp, 0)}
    monkeypatch.setattr(Store, "read", lambda self, rows: np.stack([other.get(int(r), ramp) for r in rows]))
    assert faint_scans(store).tolist() == [1, 3]
    (sentence,) = warn_of_faint(store, tmp_path)
    assert sentence.startswith(f"2 of {len(store)} scans use under 5 % of the range")
    assert store.index["scan_id"].iloc[1] in sentence
    picture = cv2.imread(str(tmp_path / PICTURE), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (96, 8 * 96)
    assert 125 <= picture[48, 48] <= 140
    other.clear()
    assert warn_of_faint(store, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
