"""Cards hold what the page shows, and no patient."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanlens.explanation.album import Album
from scanlens.explanation.cards import Card, Example, Heading, Mark
from scanlens.explanation.gallery import gallery_data, write_gallery

LABELS = ["normal", "nodule"]
HEADING = Heading(LABELS, 5, 1, (8, 8), None, (2, 2), {"scans": 0})


def bare(**changes: Any) -> Card:
    """Only what every card has."""
    maps = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    default = Card("a" * 16, 0, 1, [0.25, 0.75], 0.5, "scan.png", "overlay.png", maps)
    return dataclasses.replace(default, **changes)


def shown(card: Card, heading: Heading = HEADING) -> dict[str, Any]:
    """A card as the page reads it."""
    (case,) = json.loads(gallery_data([card], heading))["cases"]
    return case


def test_a_card_without_extras_is_shown_with_none(tmp_path: Path) -> None:
    case = shown(bare())
    empty = {key for key, value in case.items() if value in (None, "", {}, [])}
    assert empty == {"slice", "score", "sheet", "animation", "outline", "set", "regions", "near"}
    assert case["abstained"] is False
    write_gallery(tmp_path / "gallery.html", [bare()], HEADING)
    assert "a" * 16 in (tmp_path / "gallery.html").read_text(encoding="utf-8")


def test_maps_reach_the_page_byte_by_byte() -> None:
    case = shown(bare(maps=np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))))
    read = np.frombuffer(base64.b64decode(case["maps"]), np.uint8).reshape(2, *case["grid"])
    assert read.tolist() == np.arange(12).reshape(2, 2, 3).tolist()


def test_an_empty_prediction_set_is_not_the_same_as_none_made() -> None:
    assert shown(bare(prediction_set=[]))["set"] == []
    assert shown(bare())["set"] is None


def test_regions_and_neighbours_keep_their_values() -> None:
    flat = Mark(1, 0.9, 0.6, (0.0, 0.25, 0.5, 1.0), 0.125, area_mm2=31.5)
    deep = Mark(1, 0.9, 0.6, (0.0, 0.25, 0.5, 1.0), 0.125, volume_mm3=7.25, slices=(2, 4))
    case = shown(bare(regions=[flat, deep], neighbours=[Example("b" * 16, 1, 0.015, "train.png")]))
    first, second = case["regions"]
    assert first == {
        "label": 1, "peak": 0.9, "mean": 0.6, "box": [0, 0.25, 0.5, 1], "area": 0.125, "mm2": 31.5,
        "mm3": None, "slices": None,
    }  # fmt: skip
    assert (second["mm2"], second["mm3"], second["slices"]) == (None, 7.25, [2, 4])
    assert case["near"] == [{"id": "b" * 16, "label": 1, "distance": 0.015, "picture": "train.png"}]


def test_a_number_that_is_none_is_refused_rather_than_shown() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        shown(bare(uncertainty=float("nan")))


def test_a_patient_in_the_predictions_reaches_neither_card_nor_page(tmp_path: Path) -> None:
    names = [field.name for kind in (Card, Mark, Example, Heading) for field in dataclasses.fields(kind)]
    assert not {"patient", "site", "path"} & set(names)
    album = Album(tmp_path, LABELS, 16)
    prediction = {
        "scan_id": "c" * 16, "label": "normal", "predicted": "nodule", "uncertainty": 0.5,
        "probability_normal": 0.25, "probability_nodule": 0.75,
        "patient": "SMITH", "site": "St Elsewhere", "path": "SMITH/1.dcm",
    }  # fmt: skip
    image, maps = np.zeros((1, 8, 8), np.float32), np.full((2, 2, 2), 0.5, np.float32)
    card = album.draw(prediction, image, maps, None, None)
    album.close()
    write_gallery(tmp_path / "gallery.html", [card], HEADING)
    written = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    for word in ("SMITH", "Elsewhere"):
        assert word not in str(dataclasses.asdict(card))
        assert word.encode() not in written


def test_a_card_cannot_be_changed_and_shares_nothing_with_another() -> None:
    card = bare()
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.label = 1  # type: ignore[misc]
    assert card.outline is not Card(*[getattr(card, f.name) for f in dataclasses.fields(Card)[:8]]).outline
