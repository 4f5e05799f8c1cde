"""No class name is a row of empty boxes: each has a font with its letters, or is spelt in ASCII."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from scanlens.evaluation.figures import drawing
from scanlens.pictures import lettering, overlays, panels

ASCII = [chr(code) for code in range(32, 127)]
SOLID = "正常"


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The system's fonts, to be filled by a test, whatever this machine has."""
    found: list[str] = []
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    caches = (lettering._files, lettering._choose, lettering._warn)
    for one in caches:
        one.cache_clear()
    yield found
    for one in caches:
        one.cache_clear()


def made_font(path: Path, name: str, letters: list[str]) -> str:
    """A font whose every letter is a solid square as wide as the font is high."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"u{ord(letter)}" for letter in letters)]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(letter): f"u{ord(letter)}" for letter in letters})
    font.setupGlyf(dict.fromkeys(names, square))
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    font.setupHorizontalHeader(ascent=1000, descent=0)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2(sTypoAscender=1000, usWinAscent=1000)
    font.setupPost()
    font.save(path)
    return str(path)


def caption(text: str) -> np.ndarray:
    picture = overlays.make_picture(np.zeros((1, 32, 32), np.float32), np.zeros((4, 4)), None, 320)
    pixels = Image.open(io.BytesIO(overlays.overlay_png(picture, text))).convert("L")
    return np.asarray(pixels)[-36:-22]


def figure(path: Path, text: str) -> np.ndarray:
    with drawing(path, 3, 1) as drawn:
        axes = drawn.add_subplot(title=text)
        axes.set_yticks([0], [text])
        axes.set_xticks([])
    return np.asarray(Image.open(path).convert("L"))


@pytest.mark.parametrize("name", ["été", "Größe", "βλάβη", "Опухоль"])
def test_latin_greek_and_cyrillic_are_drawn_as_they_are(fonts: list[str], name: str) -> None:
    text, font = lettering.lettered(name, 40)
    assert text == name
    drawn = [bytes(font.getmask(letter)) for letter in sorted(set(name))]
    assert bytes(font.getmask("\uffff")) not in drawn, "the box of a letter that the font lacks"
    assert len(set(drawn)) == len(drawn)


def test_letters_and_accents_apart_are_drawn_together(fonts: list[str]) -> None:
    assert lettering.lettered("e\u0301te\u0301", 11)[0] == "été"


def test_ascii_keeps_its_font(fonts: list[str]) -> None:
    assert lettering.spelt("nodule 0.93 (\\n)") == ("nodule 0.93 (\\n)", None)


def test_what_no_font_has_is_spelt_and_said_once(
    fonts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fonts += [
        made_font(tmp_path / "a.ttf", "Half", [*ASCII, "正"]),
        made_font(tmp_path / "b.ttf", "Only Symbols", list(SOLID)),
        made_font(tmp_path / "c.ttf", ".LastResort", [*ASCII, *SOLID]),
        str(tmp_path / "broken.ttf"),
    ]
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert lettering.lettered(f"é {SOLID} \udce9 0.9", 11)[0] == "é \\u6b63\\u5e38 \\udce9 0.9"
    assert np.array_equal(figure(tmp_path / "a.png", SOLID), figure(tmp_path / "b.png", "\\u6b63\\u5e38"))
    assert capsys.readouterr().err.count("warning: no font on this machine has all letters") == 1


def test_a_font_of_the_system_draws_what_the_own_one_lacks(
    fonts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fonts.append(made_font(tmp_path / "a.ttf", "Scanlens Squares", [*ASCII, *SOLID]))
    assert lettering.spelt(SOLID) == (SOLID, tmp_path / "a.ttf")
    ink = caption(SOLID) > 200
    assert ink.any(0).sum() == pytest.approx(22, abs=1), "two squares of 11 pixels"
    assert ink[:, ink.any(0)].sum() == pytest.approx(22 * 11, abs=22)
    dark = (figure(tmp_path / "a.png", SOLID) < 80).sum()
    title, label = (2 * (points / 72 * 150) ** 2 for points in (12, 10))
    assert dark == pytest.approx(title + label, rel=0.15), "two squares each in title and label"
    assert capsys.readouterr().err == ""


def test_without_matplotlib_names_are_spelt(fonts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the image of batch inference."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert lettering.spelt("été") == ("\\xe9t\\xe9", None)


def test_all_captions_go_this_way(fonts: list[str]) -> None:
    tile = np.zeros((8, 300, 3), np.uint8)
    one, two = (panels.sheet([tile], [name], name, None) for name in ("正", "常"))
    assert not np.array_equal(one[8:26], two[8:26]), "captions"
    assert not np.array_equal(one[-40:-20], two[-40:-20]), "titles"
