"""Small galleries with known content, and a browser that opens them from their file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanlens.explanation.album import Album
from scanlens.explanation.cards import Card, Heading
from scanlens.explanation.gallery import write_gallery
from scanlens.maps.pointing import LesionScore
from scanlens.maps.regions import Region

LABELS = ["normal", "nodule", "effusion"]
SIDE = 32
"""Pixels of a scan along each axis."""
GRID = 4
"""Places of a map along each axis."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def scan_id(number: int) -> str:
    """Ids whose first letter tells even from odd scans."""
    return f"{'ab'[number % 2]}{number:015x}"


def make_gallery(
    folder: Path,
    scans: int = 6,
    labels: list[str] = LABELS,
    depth: int = 0,
    score: bool = True,
    colour: bool = False,
) -> Path:
    """Write a gallery; scan k has label k % 3, every second one is predicted as the next class.

    The map of class c is 1 in place c of the grid's first row and 0.2 elsewhere (of volumes in its slice c).
    Scan k has uncertainty (k + 1) / (scans + 1), a lesion, and a region of its predicted class whose size and
    peak grow with k; it abstains where k % 3 is 0; its nearest training scan is at distance k / 100.
    """
    folder.mkdir(parents=True, exist_ok=True)
    album = Album(folder, labels, SIDE)
    spatial, grid = (SIDE, SIDE), (GRID, GRID)
    if depth:
        spatial, grid = (depth, *spatial), (depth, *grid)
    cards: list[Card] = []
    for number in range(scans):
        image = np.full((3 if colour else 1, *spatial), 0.5, np.float32)
        if colour:
            image[0] = 1
        maps = np.full((len(labels), *grid), 0.2, np.float32)
        for c in range(len(labels)):
            maps[(c, c, 0, c) if depth else (c, 0, c)] = 1
            if depth:
                image[:, c] = 0.2 * c
        mask = np.zeros(spatial, bool)
        mask[..., 20:28, 20:28] = True
        label, predicted = number % 3, (number % 3 + number % 2) % 3
        rest = (1 - (0.5 + 0.4 * number / scans)) / 2
        probabilities = [0.5 + 0.4 * number / scans if c == predicted else rest for c in range(3)]
        size = 2 + 10 * number // scans
        region = Region(
            label=labels[predicted],
            peak=0.5 + 0.4 * number / scans,
            mean=0.5,
            peak_at=(0,) * len(spatial),
            low=(0,) * len(spatial),
            high=((1, size, size) if depth else (size, size)),
            pixels=size**2,
            share=size**2 / SIDE**2,
            area_mm2=None if depth else float(size**2),
            volume_mm3=float(size**2) if depth else None,
        )
        prediction: dict[str, Any] = {
            "scan_id": scan_id(number),
            "label": labels[label],
            "predicted": labels[predicted],
            "uncertainty": (number + 1) / (scans + 1),
            **{f"probability_{name}": p for name, p in zip(labels, probabilities, strict=True)},
        }
        cards.append(
            album.draw(
                prediction,
                image,
                maps,
                mask,
                LesionScore(1, 0.42, 0.0625) if score else None,
                prediction_set=[labels[predicted]] if number % 3 else labels[:2],
                abstained=number % 3 == 0,
                regions=[region],
                neighbours=[album.example(f"f{number:015x}", labels[label], number / 100, image)],
            )
        )
    album.close()
    page = folder / "gallery.html"
    wrong = sum(card.label != card.predicted for card in cards)
    summary = {
        "scans": scans, "pointing_game": 0.8, "area_share": 0.03, "mass_over_area": 4.2,
        "pointing_game_near": 0.9, "near_share": 0.05,
    }  # fmt: skip
    heading = Heading(
        labels,
        scans + 3,
        wrong,
        (SIDE, SIDE),
        depth or None,
        grid,
        summary if score else {"scans": 0},
        receptive_field=(9, 9),
        colour=colour,
    )
    write_gallery(page, cards, heading)
    return page


@dataclass
class Opened:
    """A page in the browser, what it complained of and what it asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def order(self) -> list[str]:
        """Ids of the cells in the page, in their order."""
        found: list[str] = self.page.evaluate(
            "[...document.querySelectorAll('#list li')].map((li) => li.dataset.id)"
        )
        return found

    def until(self, expression: str) -> None:
        """Wait until an expression is true; Playwright's own waiting needs what the page's policy forbids."""
        for _ in range(600):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")

    def pixel(self, selector: str, x: float, y: float) -> list[int]:
        """RGBA of a canvas at shares of its width and height."""
        found: list[int] = self.page.evaluate(
            """([selector, x, y]) => {
                const canvas = document.querySelector(selector);
                const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
                return [...canvas.getContext("2d").getImageData(...at, 1, 1).data];
            }""",
            [selector, x, y],
        )
        return found

    def screen(self, selector: str) -> np.ndarray:
        """What is seen of an element, RGB."""
        import cv2

        data = self.page.locator(selector).first.screenshot(animations="disabled")
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))[..., ::-1].astype(
            int
        )


class Browser:
    """Headless Chromium that opens pages from their file."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium

    @contextmanager
    def open(
        self, page: Path, fragment: str = "", size: tuple[int, int] = (1200, 800), **context: Any
    ) -> Iterator[Opened]:
        """Open a page; on leaving, it must have complained of nothing and asked for its own files only."""
        width, height = size
        shell = self._chromium.new_context(viewport={"width": width, "height": height}, **context)
        # A busy machine is no error of the page.
        shell.set_default_timeout(180_000)
        opened = Opened(shell.new_page())
        opened.page.on("console", lambda message: opened.complaints.append(message.text))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.on("dialog", lambda dialog: (opened.complaints.append(dialog.message), dialog.dismiss()))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        try:
            opened.page.goto(f"{page.resolve().as_uri()}{fragment}")
            opened.page.wait_for_load_state("load")
            yield opened
        finally:
            shell.close()
        assert not opened.complaints, opened.complaints
        own = page.resolve().parent.as_uri()
        assert [url for url in opened.requests if not url.startswith((own, "data:,"))] == []


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, or Playwright's own; skip where there is neither."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the extra 'dev' is not installed: no browser driver"
    )
    with sync_api.sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        try:
            browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        except sync_api.Error as error:
            pytest.skip(f"no Chromium: {error.message.splitlines()[0]}")
        yield Browser(browser)
        browser.close()
