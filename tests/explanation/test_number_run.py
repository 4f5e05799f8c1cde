"""The stage where a number is predicted: maps, pictures and page read back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.errors import ScanlensError, SettingsError
from scanlens.explanation.number_run import explain_numbers
from scanlens.maps.files import MAPS
from scanlens.models.predict import Local, local_logits
from scanlens.pictures.diverging import SCALE_HEIGHT
from scanlens.pictures.overlays import OUTLINE
from scanlens.preprocess.store import Store, StoreWriter
from tests.helpers.networks import SIZES, small_network
from tests.helpers.settings import explanation

SCALE = (60.0, 10.0)
NAME = "<b>age</b>"
ERRORS = [0.5, -9.0, 3.0, -1.0, 7.0, 0.0, -2.0]
"""Of the test scans, in the order of the store."""


class Numbers:
    """A store whose first row is for training, the number each cell argues for, and evaluation's table."""

    def __init__(self, folder: Path, spatial: tuple[int, ...], grid: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        scans = len(ERRORS) + 1
        self.local = rng.normal(*SCALE, (scans, 1, *grid)).astype(np.float32)
        predicted = self.local.reshape(scans, -1).mean(1, dtype=np.float64)
        labels = predicted - np.array([0.0, *ERRORS])
        index = pd.DataFrame(
            {
                "scan_id": [f"{row:016x}" for row in range(scans)],
                "label": [repr(float(label)) for label in labels],
                "split": ["train"] + ["test"] * len(ERRORS),
                "patient": "SMITH",
                "site": "",
                "path": "",
            }
        )
        with StoreWriter(folder, (1, *spatial), [NAME], 3, "regression") as writer:
            for image in rng.random((scans, 1, *spatial), dtype=np.float32):
                writer.append(image)
            writer.close(index)
        self.store = Store.open(folder)
        table = index.assign(label=labels, predicted=predicted, error=predicted - labels)
        self.predictions = table[table["split"] == "test"].sample(frac=1, random_state=1)
        self.masks: dict[str, np.ndarray] = {}

    def batches(self, size: int = 3) -> Iterator[Local]:
        rows = self.store.rows("test")
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            local = self.local[chosen]
            said = {"rows": chosen, "logits": local.reshape(len(chosen), 1, -1).mean(-1), "local": local}
            yield Local(**{**dict.fromkeys(Local._fields, np.zeros((len(chosen), 1))), **said})


@pytest.fixture
def case(tmp_path: Path) -> Numbers:
    return Numbers(tmp_path / "store", (32, 24), (4, 3))


def run(case: Numbers, output: Path, batches: Any = None, **changes: Any) -> dict[str, Any]:
    config = explanation(**{"max_overlays": 3, **changes})
    given = case.batches() if batches is None else batches
    return explain_numbers(given, case.store, case.predictions, SCALE, config, output, case.masks.get)


def test_values_index_pictures_and_page_fit_each_other(case: Numbers, tmp_path: Path) -> None:
    out = tmp_path / "out"
    facts = run(case, out)
    values = np.load(out / MAPS)
    assert values.dtype == np.float32
    assert np.array_equal(values, case.local[1:, 0])
    index = pd.read_parquet(out / "index.parquet")
    assert index["scan_id"].tolist() == [f"{row:016x}" for row in range(1, 8)]
    assert index["store_row"].tolist() == case.store.rows("test").tolist()
    assert index["row"].tolist() == list(range(7))
    assert index["error"].tolist() == pytest.approx(ERRORS)
    assert "patient" not in index.columns
    assert np.flatnonzero(index["overlay"] != "").tolist() == [1, 2, 4], "the three largest errors"
    assert (index["slice"] == -1).all()
    page = (out / "gallery.html").read_text(encoding="utf-8")
    assert re.findall(r'src="([^"]*)"', page) == [index["overlay"][cell] for cell in (1, 4, 2)]
    drawn = sorted(path.relative_to(out).as_posix() for path in (out / "overlays").iterdir())
    assert drawn == sorted(set(index["overlay"]) - {""})
    for name in drawn:
        assert cv2.imread(str(out / name)).shape == (48 + SCALE_HEIGHT, 36, 3)
    assert "<b>" not in page
    assert "SMITH" not in page
    assert (facts["scans"], facts["overlays"], facts["grid"], facts["labels"]) == (7, 3, [4, 3], [NAME])
    assert not list(out.rglob("*.part*"))


def test_the_batches_do_not_show_in_what_is_written(case: Numbers, tmp_path: Path) -> None:
    for size in (1, 7):
        run(case, tmp_path / str(size), case.batches(size))
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*.*"))
    assert len(files) == 6
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "7" / name).read_bytes(), name


def test_predictions_of_another_network_show_in_the_identity(case: Numbers, tmp_path: Path) -> None:
    assert run(case, tmp_path / "a")["identity"]["max_difference_in_std"] < 1e-6
    case.predictions.loc[case.predictions.index[3], "predicted"] -= 2.5
    found = run(case, tmp_path / "b")["identity"]["max_difference_in_std"]
    assert found == pytest.approx(0.25, abs=1e-6)


def test_a_network_says_the_same_as_the_mean_of_its_cells(tmp_path: Path) -> None:
    case = Numbers(tmp_path / "store", SIZES[2], (4, 3))
    network = small_network(head="regression", classes=1, centre=SCALE[0], spread=SCALE[1])
    rows, statistics = case.store.rows("test"), {"mean": [0.5], "std": [0.3]}
    batches = list(local_logits(network, case.store, rows, statistics, 4, "cpu"))
    numbers = np.concatenate([batch.logits[:, 0] for batch in batches])
    case.predictions = case.predictions.sort_index().assign(predicted=numbers)
    assert np.ptp(numbers) > 0.1
    assert run(case, tmp_path / "out", batches)["identity"]["max_difference_in_std"] < 1e-4
    values = np.load(tmp_path / "out" / MAPS)
    assert values.reshape(7, -1).mean(1) == pytest.approx(numbers, abs=1e-3)


def test_of_volumes_the_slice_that_argues_farthest_is_noted(tmp_path: Path) -> None:
    case = Numbers(tmp_path / "store", (12, 8, 8), (3, 2, 2))
    case.local[:] = SCALE[0]
    case.local[:, 0, 2, 1, 1] -= 20
    facts = run(case, tmp_path / "out", max_overlays=2)
    index = pd.read_parquet(tmp_path / "out" / "index.parquet")
    assert facts["grid"] == [3, 2, 2]
    assert (index.loc[index["overlay"] != "", "slice"] >= 9).all()
    assert (index.loc[index["overlay"] == "", "slice"] == -1).all()


def test_a_lesion_is_outlined_where_its_mask_is(case: Numbers, tmp_path: Path) -> None:
    mask = np.zeros((32, 24), bool)
    mask[16:24, 4:12] = True
    case.masks[f"{2:016x}"] = mask
    run(case, tmp_path / "out")
    for cell, outlined in ((1, True), (4, False)):
        drawn = cv2.imread(str(tmp_path / f"out/overlays/{cell:05d}.png"))[:48, :, ::-1]
        rows, columns = np.nonzero((drawn == OUTLINE).all(-1))
        assert (len(rows) > 0) == outlined
        if outlined:
            assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 35, 6, 17)


def test_no_pictures_are_asked_for(case: Numbers, tmp_path: Path) -> None:
    assert run(case, tmp_path / "out", max_overlays=0)["overlays"] == 0
    assert list((tmp_path / "out/overlays").iterdir()) == []
    assert "<img" not in (tmp_path / "out/gallery.html").read_text(encoding="utf-8")


def test_what_does_not_fit_the_store_is_refused_and_looks_like_no_result(
    case: Numbers, tmp_path: Path
) -> None:
    def nothing_but(*names: str) -> None:
        assert {path.name for path in (tmp_path / "out").glob("*.*")} <= set(names)

    with pytest.raises(ScanlensError, match="Maps came for 6 of 7 test scans"):
        run(case, tmp_path / "out", list(case.batches())[:-1])
    with pytest.raises(ScanlensError, match="Maps came for 0 of 7"):
        run(case, tmp_path / "out", [])
    nothing_but(f"{MAPS}.partial", "overlays.partial")
    case.predictions = case.predictions.iloc[2:]
    with pytest.raises(SettingsError, match="lack 2 of 7 test scans"):
        run(case, tmp_path / "out")
    case.store.rows = lambda split: np.zeros(0, int)  # type: ignore[method-assign]
    with pytest.raises(SettingsError, match="test split is empty"):
        run(case, tmp_path / "out", [])
    nothing_but(f"{MAPS}.partial", "overlays.partial")


def test_numbers_that_are_not_finite_and_scans_that_come_twice_are_refused(
    case: Numbers, tmp_path: Path
) -> None:
    first, second, third = case.batches()
    with pytest.raises(ScanlensError, match="Maps came for 6 of 7 test scans"):
        run(case, tmp_path / "out", [first, second, second])
    third.local[:] = np.nan
    with pytest.raises(ScanlensError, match="not finite"):
        run(case, tmp_path / "out", [first, second, third])


def test_pictures_of_an_earlier_run_are_gone(case: Numbers, tmp_path: Path) -> None:
    for count in (3, 1):
        run(case, tmp_path / "out", max_overlays=count)
        assert len(list((tmp_path / "out/overlays").iterdir())) == count
