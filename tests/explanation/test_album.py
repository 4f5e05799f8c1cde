from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from scanlens.explanation.album import MAX_PLACES, THUMBNAIL, Album
from scanlens.maps.pointing import LesionScore
from scanlens.maps.regions import suspicious_regions
from tests.helpers.galleries import make_gallery

LABELS = ["a", "b"]


def prediction(scan_id: str = "x") -> dict[str, Any]:
    said = {"scan_id": scan_id, "label": "a", "predicted": "b", "uncertainty": 0.3}
    return {**said, "probability_a": 0.2, "probability_b": 0.8}


def draw(folder: Path, image: np.ndarray, maps: np.ndarray, side: int = 64, **more: Any) -> Any:
    album = Album(folder, LABELS, side)
    card = album.draw(prediction(), image, maps, more.pop("mask", None), None, **more)
    album.close()
    return card


def test_a_scan_keeps_its_own_size_and_the_overlay_has_the_wanted_one(tmp_path: Path) -> None:
    image, maps = (
        np.random.default_rng(0).random((1, 48, 40), dtype=np.float32),
        np.zeros((2, 3, 3), np.float32),
    )
    card = draw(tmp_path, image, maps, side=96)
    scan = np.asarray(Image.open(tmp_path / card.scan))
    np.testing.assert_array_equal(scan, np.rint(image[0] * 255))
    assert Image.open(tmp_path / card.overlay).size == (80, 96 + 48)
    assert Image.open(tmp_path / draw(tmp_path, image, maps, side=24).scan).size == (20, 24)
    assert (card.sheet, card.animation, card.slice, card.outline) == ("", "", None, {})


def test_a_volume_has_a_sheet_and_an_animation(tmp_path: Path) -> None:
    maps = np.zeros((2, 3, 2, 2), np.float32)
    maps[1, 2] = 0.9
    mask = np.zeros((6, 20, 16), bool)
    mask[4, 5:9, 5:9] = True
    volume = np.random.default_rng(0).random((1, 6, 20, 16), dtype=np.float32)
    card = draw(tmp_path, volume, maps, mask=mask)
    assert card.slice in (4, 5)
    assert Image.open(tmp_path / card.sheet).size == (3 * 16, 2 * 20)
    assert Image.open(tmp_path / card.animation).n_frames == 6
    assert list(card.outline) == [4]
    assert sorted(path.name for path in (tmp_path / "overlays").iterdir()) == sorted(
        Path(name).name for name in (card.scan, card.overlay, card.sheet, card.animation)
    )


def test_regions_become_shares_of_the_picture(tmp_path: Path) -> None:
    values = np.zeros((40, 20), np.float32)
    values[10:20, 5:10] = 0.75
    regions = suspicious_regions(values, 0.5, "b", spacing=(2, 3))
    card = draw(tmp_path, np.zeros((1, 40, 20), np.float32), np.zeros((2, 2, 2), np.float32), regions=regions)
    (mark,) = card.regions
    assert (mark.label, mark.peak, mark.box) == (1, 0.75, (0.25, 0.25, 0.5, 0.5))
    assert (mark.area, mark.area_mm2, mark.slices) == (50 / 800, 300, None)
    values = np.zeros((8, 40, 20), np.float32)
    values[2:5, :10] = 1
    regions = suspicious_regions(values, 0.5, "a")
    maps = np.zeros((2, 2, 2, 2), np.float32)
    (mark,) = draw(tmp_path, np.zeros((1, 8, 40, 20), np.float32), maps, regions=regions).regions
    assert (mark.label, mark.slices, mark.box, mark.volume_mm3) == (0, (2, 4), (0, 0, 0.25, 1), None)


def test_what_is_said_of_a_scan_reaches_its_card(tmp_path: Path) -> None:
    album = Album(tmp_path, LABELS, 32)
    image, maps = np.zeros((1, 8, 8), np.float32), np.full((2, 2, 2), 0.5, np.float32)
    score = LesionScore(1, 0.5, 0.1)
    card = album.draw(prediction(), image, maps, None, score, prediction_set=["b", "a"], abstained=True)
    assert (card.label, card.predicted, card.probabilities) == (0, 1, [0.2, 0.8])
    assert (card.prediction_set, card.abstained, card.score) == ([1, 0], True, score)
    bare = album.draw(prediction("y"), image, maps, None, None)
    assert (bare.prediction_set, bare.abstained, bare.score) == (None, False, None)


def test_fine_maps_are_averaged_down_for_the_page(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((2, 2 * MAX_PLACES, 4), dtype=np.float32)
    card = draw(tmp_path, np.zeros((1, 64, 64), np.float32), maps)
    assert card.maps.shape == (2, MAX_PLACES, 4)
    expected = maps.reshape(2, MAX_PLACES, 2, 4).mean(axis=2) * 255
    np.testing.assert_allclose(card.maps, expected, atol=0.51)


@pytest.mark.parametrize("shape", [(1, 300, 200), (3, 300, 200), (1, 5, 300, 200)])
def test_a_training_scan_is_drawn_once_and_small(tmp_path: Path, shape: tuple[int, ...]) -> None:
    album = Album(tmp_path, LABELS, 320)
    image = np.zeros(shape, np.float32)
    if len(shape) == 4:
        image[:, 2] = 1
    first = album.example("t", "b", 0.25, image)
    again = album.example("t", "b", 0.5, np.ones_like(image))
    album.close()
    assert (first.label, first.distance, again.distance, first.picture) == (1, 0.25, 0.5, again.picture)
    picture = cv2.imread(str(tmp_path / first.picture), cv2.IMREAD_UNCHANGED)
    assert picture.shape[:2] == (THUMBNAIL, round(THUMBNAIL * 2 / 3))
    assert (picture == (255 if len(shape) == 4 else 0)).all()


def test_a_new_album_replaces_the_old_one_when_it_is_complete(tmp_path: Path) -> None:
    image, maps = np.zeros((1, 8, 8), np.float32), np.zeros((2, 2, 2), np.float32)
    draw(tmp_path, image, maps)
    album = Album(tmp_path, LABELS, 32)
    album.draw(prediction("new"), image, maps, None, None)
    assert (tmp_path / "overlays/x.png").exists()
    album.close()
    assert sorted(path.name for path in (tmp_path / "overlays").iterdir()) == ["new-scan.png", "new.png"]


def test_no_patient_and_no_path_of_this_machine_is_in_the_page(tmp_path: Path) -> None:
    page = make_gallery(tmp_path).read_text(encoding="utf-8")
    assert str(tmp_path) not in page
    text = page.split('id="data">')[1].split("</script>")[0]
    assert "patient" not in json.dumps(json.loads(text))
    assert base64.b64decode(json.loads(text)["cases"][0]["maps"])
