"""Pages stand alone: nothing is loaded, words from outside are escaped, missing values are errors."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import jinja2
import pytest

from scanlens.pages.render import embedded, render

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "scanlens"
PAGES = sorted(path for path in PACKAGE.rglob("*.html.j2") if path.parent.name != "pages")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_page_loads_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "pages/base.html.j2" in text or "Content-Security-Policy" in text


def test_values_are_escaped_and_missing_ones_refused() -> None:
    facts = {"scans": 3, "patients": 2, "auc": 0.5, "verdict": "found", "sentence": "<b>&", "probes": []}
    facts |= {"confidence": 0.95, "looks": 1}
    page = render("shortcuts/page.html.j2", f=facts, captions={}, pictures={})
    assert "&lt;b&gt;&amp;" in page
    assert page.count("<style>") == 1
    with pytest.raises(jinja2.UndefinedError):
        render("shortcuts/page.html.j2", f={"scans": 3}, captions={}, pictures={})


def test_pictures_that_were_drawn_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    found = embedded(tmp_path, {"a": "drawn", "b": "not drawn"})
    assert {name: base64.b64decode(text) for name, text in found.items()} == {"a": b"picture"}
