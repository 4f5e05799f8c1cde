"""A gallery of 1,000 cases: what is out of sight costs nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scanlens.explanation.cards import Card, Heading, Mark
from scanlens.explanation.gallery import write_gallery
from scanlens.pictures.overlays import scan_png
from tests.helpers.galleries import Browser, Opened

CASES = 1000
CLASSES = 14


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases share a few pictures, as the browser cannot tell: each has a query of its own."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "overlays").mkdir()
    rng = np.random.default_rng(0)
    (folder / "overlays/scan.png").write_bytes(scan_png(rng.integers(0, 256, (64, 64)).astype(np.uint8)))
    cards = [
        Card(
            scan_id=f"{number:04x}{'0' * 12}",
            label=number % CLASSES,
            predicted=number % 3,
            probabilities=rng.dirichlet(np.ones(CLASSES)).tolist(),
            uncertainty=number / CASES,
            scan=f"overlays/scan.png?{number}",
            overlay="overlays/scan.png",
            maps=rng.integers(0, 256, (CLASSES, 7, 7)).astype(np.uint8),
            regions=[Mark(number % 3, 0.9, 0.7, (0.1, 0.1, 0.4, 0.5), 0.12)],
        )
        for number in range(CASES)
    ]
    labels = [f"finding {number}" for number in range(CLASSES)]
    target = folder / "gallery.html"
    write_gallery(target, cards, Heading(labels, CASES, 900, (64, 64), None, (7, 7), {"scans": 0}))
    return target


def pictures(opened: Opened) -> int:
    return len({url for url in opened.requests if "scan.png?" in url})


def nodes(opened: Opened) -> int:
    found: int = opened.page.evaluate("document.querySelectorAll('#list *').length")
    return found


def test_only_what_is_near_the_window_exists(browser: Browser, page: Path) -> None:
    near = "{ top, bottom } = one.getBoundingClientRect(); return bottom > 0 && top < innerHeight"
    with browser.open(page) as opened:
        first = opened.order()
        assert 10 < len(first) < 60
        assert first[0] == f"{CASES - 1:04x}{'0' * 12}"
        assert pictures(opened) == len(first)
        most = nodes(opened)
        height = opened.page.evaluate("document.documentElement.scrollHeight")
        assert height > 30 * 800, "the scroll bar knows all of them"
        for share in (0.25, 0.5, 0.75, 1.0):
            opened.page.evaluate(f"scrollTo(0, {height * share})")
            opened.until(f"[...document.querySelectorAll('#list li')].some((one) => {{ const {near}; }})")
            assert len(opened.order()) < 60
            most = max(most, nodes(opened))
        assert most < 60 * 40
        assert pictures(opened) < 300, "of 1,000"
        assert opened.order()[-1] == f"{0:04x}{'0' * 12}"
        assert opened.page.locator("#list li").last.get_attribute("aria-posinset") == str(CASES)


def test_cells_lie_side_by_side_and_fill_the_window(browser: Browser, page: Path) -> None:
    boxes = "[...document.querySelectorAll('#list li')].map((li) => li.getBoundingClientRect().toJSON())"
    with browser.open(page) as opened:
        opened.page.evaluate("scrollTo(0, 5000)")
        opened.until(f"{boxes}.some((box) => box.top < 100 && box.bottom > 0)")
        found = opened.page.evaluate(boxes)
        for one, two in pairwise(found):
            assert two["left"] > one["right"] or two["top"] > one["bottom"]
        assert min(box["top"] for box in found) < 0
        assert max(box["bottom"] for box in found) > 800


def test_the_keyboard_reaches_far_cases(browser: Browser, page: Path) -> None:
    focused = "document.activeElement.closest('li')?.dataset.id"
    with browser.open(page) as opened:
        opened.page.keyboard.press("ArrowRight")
        for _ in range(25):
            opened.page.keyboard.press("ArrowDown")
        at = int(opened.page.evaluate(focused)[:4], 16)
        assert at < CASES - 1 - 25 * 3
        box = opened.page.evaluate("document.activeElement.getBoundingClientRect().toJSON()")
        bar = opened.page.evaluate("document.querySelector('.bar').getBoundingClientRect().bottom")
        assert box["top"] >= bar
        assert box["bottom"] <= 800
        opened.page.evaluate("scrollTo(0, 0)")
        opened.until("document.querySelectorAll('#list li').length > 5 && scrollY === 0")
        assert opened.page.evaluate(focused) == f"{at:04x}{'0' * 12}", "scrolling away keeps the cell"
        opened.page.keyboard.press("Enter")
        assert f"case={at:04x}" in opened.page.url
        assert opened.page.locator("#viewer .classes li").count() == CLASSES


def test_search_and_sorting_see_all_of_them(browser: Browser, page: Path) -> None:
    with browser.open(page) as opened:
        opened.page.locator("#find").fill("01f")
        assert opened.page.locator("#count").inner_text() == f"16 of {CASES}"
        assert set(opened.order()) == {f"{0x1F0 + number:04x}{'0' * 12}" for number in range(16)}
        opened.page.locator("#find").fill("")
        opened.page.locator("#sort").select_option("id")
        assert opened.order()[:3] == [f"{number:04x}{'0' * 12}" for number in range(3)]
        opened.page.locator("#label").select_option("5")
        assert opened.page.locator("#count").inner_text() == f"{len(range(5, CASES, CLASSES))} of {CASES}"
