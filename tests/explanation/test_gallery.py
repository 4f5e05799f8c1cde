from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from scanlens.explanation.gallery import Card, Heading, write_gallery
from scanlens.explanation.scores import LesionScore

HOSTILE = ['<img src=x onerror="alert(1)">', "</script><script>alert(2)</script>", "'\"&`{{ 7*7 }}"]


class Reader(HTMLParser):
    """Collects tags, attributes and text as a browser's parser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(tmp_path: Path, labels: list[str], cards: int = 3, scans: int = 9) -> tuple[str, Reader]:
    score = LesionScore(1, 0.42, 0.03)
    made = [
        Card(
            scan_id=f"{i:016x}",
            label=0,
            predicted=i % 3,
            probabilities=[0.2, 0.3, 0.5],
            uncertainty=0.9 - 0.1 * i,
            scan=f"overlays/{i}-scan.png",
            maps=f"overlays/{i}-maps.png",
            overlay=f"overlays/{i}.png",
            outline=f"overlays/{i}-lesion.png" if i else "",
            slice=None,
            score=score if i else None,
        )
        for i in range(cards)
    ]
    summary = {"scans": 5, "pointing_game": 0.8, "area_share": 0.03, "mass_over_area": 4.2}
    target = tmp_path / "gallery.html"
    write_gallery(target, made, Heading(labels, scans, 4, (320, 240), None, (7, 7), summary))
    text = target.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    return text, reader


def test_hostile_labels_stay_text(tmp_path: Path) -> None:
    _, reader = page(tmp_path, HOSTILE)
    _, plain = page(tmp_path, ["a", "b", "c"])
    assert [tag for tag, _ in reader.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attributes) for _, attributes in reader.tags] == [
        sorted(attributes) for _, attributes in plain.tags
    ]
    shown = "".join(reader.text)
    for label in HOSTILE:
        assert label in shown


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    text, reader = page(tmp_path, ["a", "b", "c"])
    assert "://" not in text
    assert not any("url(" in line or "@import" in line for line in text.splitlines())
    for tag, attributes in reader.tags:
        for name in ("src", "href"):
            if name in attributes:
                assert (attributes[name] or "").startswith(("overlays/", "data:,")), (tag, attributes)
    images = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(images) == 3 * 3 + 2
    assert all(attributes.get("loading") == "lazy" for attributes in images)


def test_counts_scores_and_meaning_are_said(tmp_path: Path) -> None:
    _, reader = page(tmp_path, ["a", "b", "c"])
    text = " ".join("".join(reader.text).split())
    assert "Probability maps of 9 test scans" in text
    assert "9 scans, 4 predicted wrongly; here the 3 most uncertain ones" in text
    assert "evidence at that place alone" in text
    assert "lesion in 80 % (chance 3.0 %)" in text
    assert "4.20 times" in text
    assert "a: predicted as c" in text


def test_cards_keep_their_order(tmp_path: Path) -> None:
    _, reader = page(tmp_path, ["a", "b", "c"], scans=3)
    cards = [attributes for tag, attributes in reader.tags if tag == "article"]
    assert [card["data-order"] for card in cards] == ["0", "1", "2"]
    assert [card["data-wrong"] for card in cards] == ["0", "1", "1"]
    assert "all of them" in "".join(reader.text)


@pytest.mark.parametrize("cards", [0, 1])
def test_few_cards(tmp_path: Path, cards: int) -> None:
    _, reader = page(tmp_path, ["a", "b", "c"], cards=cards)
    assert sum(tag == "article" for tag, _ in reader.tags) == cards
