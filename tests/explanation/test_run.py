from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scanlens.config.schema import Explanation
from scanlens.errors import ScanlensError, SettingsError
from scanlens.evaluation.sets import with_sets
from scanlens.explanation.run import explain_classes
from scanlens.maps.probability import probability_maps
from scanlens.pictures.overlays import LEGEND_HEIGHT
from tests.helpers.settings import explanation

CONFIG = explanation()


def run(case: Any, output: Path, config: Explanation = CONFIG, batch: int = 4) -> dict[str, Any]:
    return explain_classes(
        case.batches(batch), case.store, case.predictions, 1.5, config, output, case.masks.get
    )


def gallery(folder: Path) -> tuple[str, dict[str, Any]]:
    """The page, and the data in it."""
    page = (folder / "gallery.html").read_text(encoding="utf-8")
    return page, json.loads(page.split('id="data">')[1].split("</script>")[0])


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_stage_writes_maps_index_overlays_and_gallery(case: Any, tmp_path: Path) -> None:
    facts = run(case, tmp_path)
    rows = case.store.rows("test")
    index = pd.read_parquet(tmp_path / "index.parquet")
    maps = np.load(tmp_path / "maps-00000.npy")
    cams = np.load(tmp_path / "gradcam-00000.npy")
    assert (maps.dtype, cams.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(maps, probability_maps(case.local[rows], 1.5), atol=1e-3)
    np.testing.assert_allclose(cams, np.maximum(case.cams[rows], 0), rtol=1e-6)
    assert (cams > 0).any()
    assert index["scan_id"].tolist() == case.store.index["scan_id"].iloc[rows].tolist()
    assert index["store_row"].tolist() == rows.tolist()
    assert index["label"].tolist() == case.store.index["label"].iloc[rows].tolist()
    assert "patient" not in index.columns

    drawn = index[index["overlay"] != ""]
    assert len(drawn) == facts["overlays"] == 5
    assert drawn["uncertainty"].min() >= index.loc[index["overlay"] == "", "uncertainty"].max()
    for path in drawn["overlay"]:
        assert Image.open(tmp_path / path).size == (36, 48 + LEGEND_HEIGHT)
    assert sorted(case.store.reads) == sorted(drawn["store_row"]), "only pictured scans are read again"
    assert (facts["scans"], facts["grid"]) == (13, [4, 3])
    assert facts["errors"] == int((index["label"] != index["predicted"]).sum())
    assert facts["identity"]["max_logit_difference"] < 1e-6
    assert not list(tmp_path.rglob("*.part*"))

    page, data = gallery(tmp_path)
    by_uncertainty = drawn.sort_values("uncertainty", ascending=False)
    assert [case["id"] for case in data["cases"]] == by_uncertainty["scan_id"].tolist()
    assert "<script>alert(1)" not in page


def test_the_page_shows_prediction_sets_where_there_are_any(case: Any, tmp_path: Path) -> None:
    labels = case.store.labels
    held = np.zeros((len(case.predictions), len(labels)), dtype=bool)
    held[:, 1] = True
    held[::2, 2] = True
    with_them = dataclasses.replace(case, predictions=with_sets(case.predictions, held, labels))
    run(with_them, tmp_path / "with")
    run(case, tmp_path / "without")
    ids = case.predictions["scan_id"].tolist()
    for shown in gallery(tmp_path / "with")[1]["cases"]:
        several = ids.index(shown["id"]) % 2 == 0
        assert shown["set"] == ([1, 2] if several else [1])
        assert shown["abstained"] == several
    assert {shown["set"] for shown in gallery(tmp_path / "without")[1]["cases"]} == {None}


def test_lesions_are_scored_by_the_map_of_their_label(case: Any, tmp_path: Path) -> None:
    facts = run(case, tmp_path)
    index = pd.read_parquet(tmp_path / "index.parquet")
    scored = index.dropna(subset="mass_in_mask")
    assert set(scored["scan_id"]) == set(case.masks) & set(index["scan_id"])
    for kind in ("probability_map", "grad_cam"):
        scores = facts["scores"][kind]
        assert scores["scans"] == len(scored) == 4
        assert scores["pointing_game"] == 1
        assert scores["area_share"] == pytest.approx(1 / 12)
        assert scores["mass_over_area"] > 2
        assert list(scores["per_label"]) == ["nodule"]
    assert facts["scores"]["probability_map"]["mass_in_mask"] == pytest.approx(scored["mass_in_mask"].mean())


def test_without_masks_there_are_no_scores(case: Any, tmp_path: Path) -> None:
    case.masks.clear()
    kinds = ("probability_map", "evidence_map", "grad_cam")
    assert run(case, tmp_path)["scores"] == {kind: {"scans": 0} for kind in kinds}
    page, data = gallery(tmp_path)
    assert "lesion hit" not in page
    assert all(case["score"] is None and not case["outline"] for case in data["cases"])


def test_volumes(volume_case: Any, tmp_path: Path) -> None:
    volume_case.predictions["predicted"] = "nodule"
    facts = run(volume_case, tmp_path, explanation(max_overlays=100, overlay_side=32))
    index = pd.read_parquet(tmp_path / "index.parquet")
    assert facts["grid"] == [3, 2, 2]
    assert facts["scores"]["probability_map"]["pointing_game"] == 1
    nodules = index[index["label"] == "nodule"]
    assert len(nodules) == 2
    assert (nodules["slice"] >= 9).all(), "the lesion lies in the last slices"
    _, data = gallery(tmp_path)
    assert data["slices"] == 12
    assert {case["id"]: case["slice"] for case in data["cases"]} == index.set_index("scan_id")[
        "slice"
    ].to_dict()


def test_same_input_same_bytes_whatever_the_batch(case: Any, tmp_path: Path) -> None:
    run(case, tmp_path / "one")
    run(case, tmp_path / "two", batch=5)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    run(case, tmp_path / "one", explanation(max_overlays=2))
    run(case, tmp_path / "three", explanation(max_overlays=2))
    assert digests(tmp_path / "one") == digests(tmp_path / "three"), "an earlier run leaves nothing behind"
    assert digests(tmp_path / "one") != digests(tmp_path / "two")


def test_batches_are_taken_one_at_a_time(case: Any, tmp_path: Path) -> None:
    taken = 0

    def watched() -> Any:
        nonlocal taken
        for batch in case.batches(1):
            if taken:
                stored = np.load(tmp_path / "maps-00000.npy.partial", mmap_mode="r")
                assert int((stored > 0).any(axis=(1, 2, 3)).sum()) == taken
            taken += 1
            yield batch

    explain_classes(watched(), case.store, case.predictions, 1.5, CONFIG, tmp_path, case.masks.get)
    assert taken == 13


def test_stale_predictions_are_refused(case: Any, tmp_path: Path) -> None:
    case.predictions = case.predictions.iloc[2:]
    with pytest.raises(SettingsError, match="lack 2 of 13 test scans"):
        run(case, tmp_path)


def test_predictions_of_another_network_show_in_the_identity(case: Any, tmp_path: Path) -> None:
    case.predictions["logit_nodule"] += 0.25
    assert run(case, tmp_path)["identity"]["max_logit_difference"] == pytest.approx(0.25, abs=1e-6)


def test_only_a_linear_head_has_local_logits_whose_mean_is_the_logit(case: Any, tmp_path: Path) -> None:
    """Log-probabilities of an ordinal head: their mean over cells is another number."""

    def bent() -> Any:
        for batch in case.batches():
            yield batch._replace(local=batch.local + np.abs(batch.local))

    arguments = (case.store, case.predictions, 1.5, CONFIG, tmp_path, case.masks.get)
    assert explain_classes(bent(), *arguments)["identity"]["max_logit_difference"] > 0.1
    assert explain_classes(bent(), *arguments, linear=False)["identity"]["max_logit_difference"] < 1e-6
    case.predictions["logit_nodule"] += 0.25
    found = explain_classes(bent(), *arguments, linear=False)["identity"]["max_logit_difference"]
    assert found == pytest.approx(0.25, abs=1e-6)


def test_missing_batches_and_empty_splits_are_refused(case: Any, tmp_path: Path) -> None:
    batches = list(case.batches())[:-1]
    arguments = (case.store, case.predictions, 1.5, CONFIG, tmp_path, case.masks.get)
    with pytest.raises(ScanlensError, match="12 of 13"):
        explain_classes(batches, *arguments)
    assert not (tmp_path / "maps-00000.npy").exists()
    case.store.rows = lambda split: np.zeros(0, int)
    with pytest.raises(SettingsError, match="test split is empty"):
        explain_classes([], *arguments)


def test_pictures_of_slices_show_the_middle_one(slices_case: Any, tmp_path: Path) -> None:
    facts = run(slices_case, tmp_path)
    assert facts["overlays"] == 5
    index = pd.read_parquet(tmp_path / "index.parquet")
    drawn = index[index["overlay"] != ""].iloc[0]
    picture = np.asarray(Image.open(tmp_path / drawn["overlay"].replace(".png", "-scan.png")).convert("L"))
    slices = slices_case.store.read([drawn["store_row"]])[0]
    seen = [np.corrcoef(one.ravel(), picture.ravel())[0, 1] for one in slices]
    assert int(np.argmax(seen)) == 2
    assert seen[2] > 0.95
