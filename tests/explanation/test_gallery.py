from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanlens.explanation.cards import Card, Heading
from scanlens.explanation.gallery import gallery_data, write_gallery
from scanlens.pictures.overlays import ALPHAS, COLOURS
from tests.helpers.galleries import GRID, LABELS, make_gallery, scan_id

HOSTILE = ['<img src=x onerror="alert(1)">', "</script><script>alert(2)</script>", "'\"&`{{ 7*7 }}<!--"]


class Reader(HTMLParser):
    """Collects tags, attributes and text as a browser's parser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.inside: dict[str, str] = {}
        self._element = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._element = f"{tag} {dict(attrs).get('type', '')}".strip()

    def handle_endtag(self, tag: str) -> None:
        self._element = ""

    def handle_data(self, data: str) -> None:
        if self._element.startswith(("script", "style")):
            self.inside[self._element] = self.inside.get(self._element, "") + data
        else:
            self.text.append(data)


def read(page: Path) -> tuple[Reader, dict[str, Any]]:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader, json.loads(reader.inside["script application/json"])


def test_hostile_labels_stay_data(tmp_path: Path) -> None:
    reader, data = read(make_gallery(tmp_path / "hostile", labels=HOSTILE))
    plain, _ = read(make_gallery(tmp_path / "plain"))
    assert reader.tags == plain.tags
    assert reader.text == plain.text
    assert data["labels"] == HOSTILE
    raw = (tmp_path / "hostile/gallery.html").read_text(encoding="utf-8")
    assert "onerror=" not in raw.replace(reader.inside["script application/json"], "")
    assert not set("<>&") & set(reader.inside["script application/json"])


def test_the_policy_names_the_script_and_the_style_and_nothing_else(tmp_path: Path) -> None:
    reader, _ = read(make_gallery(tmp_path))
    policies = [
        own["content"] for tag, own in reader.tags if own.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in (policies[0] or "").split("; "))
    for rule, part in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(reader.inside[part].encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "'self' data:"


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    page = make_gallery(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z]+://[^\"' ]*", text)) == {"http://www.w3.org/2000/svg"}, "a name, no address"
    assert "url(" not in text
    assert "@import" not in text
    reader, data = read(page)
    linked = {own.get("href") for tag, own in reader.tags if tag in ("a", "link")}
    assert linked == {"#list", "data:,"}
    for case in data["cases"]:
        pictures = [case["scan"], case["overlay"], *(one["picture"] for one in case["near"])]
        assert all(name.startswith("overlays/") and (tmp_path / name).is_file() for name in pictures)


def test_the_data_hold_what_the_cards_say(tmp_path: Path) -> None:
    _, data = read(make_gallery(tmp_path))
    assert [case["id"] for case in data["cases"]] == [scan_id(number) for number in range(6)]
    case = data["cases"][3]
    assert (case["label"], case["predicted"], case["abstained"], case["set"]) == (0, 1, True, [0, 1])
    assert case["probabilities"][1] == pytest.approx(0.7)
    assert case["score"] == {"hit": 1, "mass": 0.42, "area": 0.0625}
    (region,) = case["regions"]
    assert (region["label"], region["peak"], region["mm2"], region["slices"]) == (1, 0.7, 49, None)
    assert region["box"] == [0, 0, 7 / 32, pytest.approx(7 / 32, abs=1e-5)]
    assert case["near"][0]["distance"] == 0.03
    maps = np.frombuffer(base64.b64decode(case["maps"]), np.uint8).reshape(3, GRID, GRID)
    expected = np.full((3, GRID, GRID), 51)
    expected[range(3), 0, range(3)] = 255
    np.testing.assert_array_equal(maps, expected)
    palette = np.frombuffer(base64.b64decode(data["palette"]), np.uint8).reshape(256, 4)
    np.testing.assert_array_equal(palette[:, :3], COLOURS)
    np.testing.assert_allclose(palette[:, 3] / 255, ALPHAS, atol=0.5 / 255 + 1e-6)


def test_counts_scores_and_meaning_are_said(tmp_path: Path) -> None:
    reader, _ = read(make_gallery(tmp_path / "scored"))
    text = " ".join("".join(reader.text).split())
    assert "9 test scans · 3 predicted wrongly · here the 6 most uncertain ones" in text
    assert "evidence at that cell alone" in text
    assert "lesion hit in 80 % (chance 3.0 %), to 3 % of the side in 90 % (chance 5.0 %)" in text
    assert "4.20 \N{MULTIPLICATION SIGN} the map's mass in the lesion" in text
    bare, _ = read(make_gallery(tmp_path / "bare", score=False))
    assert "lesion hit" not in "".join(bare.text)


@pytest.mark.parametrize("cards", [0, 1])
def test_few_cards(tmp_path: Path, cards: int) -> None:
    made = [Card("x", 0, 1, [0.4, 0.6], 0.5, "s.png", "o.png", np.zeros((2, 1, 1), np.uint8))][:cards]
    write_gallery(
        tmp_path / "page.html", made, Heading(["a", "b"], cards, 0, (8, 8), None, (1, 1), {"scans": 0})
    )
    reader, data = read(tmp_path / "page.html")
    assert len(data["cases"]) == cards
    assert "all of them here" in "".join(reader.text)


def test_a_value_that_is_no_number_is_refused() -> None:
    card = Card("x", 0, 0, [float("nan")], 0.5, "", "", np.zeros((1, 1, 1), np.uint8))
    with pytest.raises(ValueError, match="not JSON compliant"):
        gallery_data([card], Heading(LABELS, 1, 0, (8, 8), None, (1, 1), {"scans": 0}))


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/gallery.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(example, {"folder": tmp_path})
    _, data = read(tmp_path / "gallery.html")
    assert [case["id"] for case in data["cases"]] == ["0001"]
