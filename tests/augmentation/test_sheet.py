"""The policy's picture, read back with another library: whose scans are in it, and what was done to them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.augmentation.policy import BatchPolicy, build_policy
from scanlens.augmentation.sheet import COPIES, write_policy_sheet
from scanlens.config.schema import Policy
from scanlens.pictures.sheet import CAPTION, MARGIN
from scanlens.preprocess.store import Store, StoreWriter
from tests.augmentation.conftest import MakeStore

SIDE = 128
"""Of a tile, so that a scan of this size is drawn pixel by pixel."""


class Failing:
    """A policy that knows the first two seeds."""

    def apply(self, image: np.ndarray, seed: int) -> np.ndarray:
        if seed > 1:
            raise ValueError("no such change")
        return image


def tiles(path: Path) -> np.ndarray:
    """RGB of every tile, ``(row, column, SIDE, SIDE, 3)``."""
    sheet = cv2.imread(str(path))[..., ::-1]
    high, wide = SIDE + 2 * CAPTION + MARGIN, SIDE + MARGIN
    rows, columns = (sheet.shape[0] - MARGIN) // high, (sheet.shape[1] - MARGIN) // wide
    top, left = MARGIN + CAPTION, MARGIN
    return np.stack(
        [
            [
                sheet[top + r * high : top + r * high + SIDE, left + c * wide : left + c * wide + SIDE]
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


def grey(image: np.ndarray) -> np.ndarray:
    """An image ``(height, width)`` in [0, 1] as it is drawn."""
    return np.rint(image * 255).astype(np.uint8)[..., None].repeat(3, -1)


def test_each_row_is_a_class_first_its_scan_and_then_a_copy_a_seed(
    make_store: MakeStore, policy: Policy, tmp_path: Path
) -> None:
    store = make_store({"a": 2, "b": 3}, (1, SIDE, SIDE))
    change = build_policy(policy, 2, 1)
    write_policy_sheet(tmp_path / "sheet.png", store, change, 40)
    found = tiles(tmp_path / "sheet.png")
    assert found.shape[:2] == (2, 1 + COPIES)
    for line, label in enumerate(["a", "b"]):
        index = store.index
        first = next(
            n for n in range(len(index)) if (index["label"][n], index["split"][n]) == (label, "train")
        )
        scan = store.read([first])[0]
        assert np.array_equal(found[line, 0], grey(scan[0]))
        for number in range(COPIES):
            assert np.array_equal(found[line, 1 + number], grey(change.apply(scan, 40 + number)[0])), number
    assert len({tile.tobytes() for tile in found[0]}) == 1 + COPIES


def test_a_class_without_training_scans_has_no_row(
    make_store: MakeStore, policy: Policy, tmp_path: Path
) -> None:
    store = make_store({"a": 1, "b": 0, "c": 1}, (1, SIDE, SIDE))
    write_policy_sheet(tmp_path / "sheet.png", store, build_policy(policy, 2, 1), 0)
    found = tiles(tmp_path / "sheet.png")
    first = store.read(store.rows("train"))
    assert len(found) == len(first) == 2
    assert [np.array_equal(row[0], grey(scan[0])) for row, scan in zip(found, first, strict=True)] == [
        True
    ] * 2


def test_a_policy_that_changes_nothing_shows_it(
    make_store: MakeStore, no_policy: Policy, tmp_path: Path
) -> None:
    store = make_store({"a": 1}, (1, SIDE, SIDE))
    write_policy_sheet(tmp_path / "sheet.png", store, build_policy(no_policy, 2, 1), 0)
    (row,) = tiles(tmp_path / "sheet.png")
    assert len({tile.tobytes() for tile in row}) == 1


@pytest.mark.parametrize("shape", [(5, SIDE, SIDE), (1, 5, SIDE, SIDE)], ids=["slices", "volume"])
def test_of_slices_and_volumes_the_middle_is_shown(
    make_store: MakeStore, policy: Policy, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    store = make_store({"a": 1}, shape)
    change = build_policy(policy, len(shape) - 1, shape[0])
    write_policy_sheet(tmp_path / "sheet.png", store, change, 3)
    (row,) = tiles(tmp_path / "sheet.png")
    scan = store.read(store.rows("train"))[0]
    for tile, image in zip(row[:3], [scan, change.apply(scan, 3), change.apply(scan, 4)], strict=True):
        assert np.array_equal(tile, grey(image.reshape(5, SIDE, SIDE)[2]))


def test_colours_stay_colours(make_store: MakeStore, policy: Policy, tmp_path: Path) -> None:
    store = make_store({"a": 1}, (3, SIDE, SIDE))
    write_policy_sheet(tmp_path / "sheet.png", store, build_policy(policy, 2, 3), 0)
    scan = store.read(store.rows("train"))[0]
    drawn = tiles(tmp_path / "sheet.png")[0, 0]
    assert np.array_equal(drawn, np.rint(scan.transpose(1, 2, 0) * 255).astype(np.uint8))


def test_of_numbers_there_is_one_row(policy: Policy, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((3, 1, SIDE, SIDE), dtype=np.float32)
    index = pd.DataFrame(
        {
            "scan_id": ["0", "1", "2"], "label": ["61.5", "40.0", "52.25"],
            "split": ["test", "train", "train"], "patient": "", "site": "", "path": "",
        }
    )  # fmt: skip
    with StoreWriter(tmp_path / "store", (1, SIDE, SIDE), ["age"], 8, "regression") as writer:
        for image in images:
            writer.append(image)
        writer.close(index)
    store = Store.open(tmp_path / "store")
    write_policy_sheet(tmp_path / "sheet.png", store, build_policy(policy, 2, 1), 0)
    found = tiles(tmp_path / "sheet.png")
    assert len(found) == 1
    assert np.array_equal(found[0, 0], grey(store.read([1])[0, 0]))


def test_the_seed_decides_and_a_failing_policy_keeps_the_earlier_sheet(
    make_store: MakeStore, policy: Policy, tmp_path: Path
) -> None:
    store, change = make_store({"a": 1}), build_policy(policy, 2, 1)
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        write_policy_sheet(tmp_path / f"{name}.png", store, change, seed)
    one, same, other = ((tmp_path / f"{name}.png").read_bytes() for name in ("one", "same", "other"))
    assert one == same != other
    with pytest.raises(ValueError, match="no such change"):
        write_policy_sheet(tmp_path / "one.png", store, BatchPolicy(Failing()), 0)
    assert (tmp_path / "one.png").read_bytes() == one
    assert not list(tmp_path.glob(".*.part"))
