"""Fonts for names that people give their classes: one that has the letters, or the name spelt in ASCII.

No font has all letters. A letter that is missing would be drawn as an empty box, the same for every class.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_PLAIN = "Aa0.%"
"""Of ASCII: fonts of symbols alone have none of it, and would leave captions without their numbers."""
_DRAWS_BOXES = ("lastresort", "adobeblank")
"""Families that claim every letter and draw a box, or nothing."""


def lettered(text: str, size: int) -> tuple[str, Font]:
    """A line of text as it can be drawn, and the font that draws it.

    Args:
        text: In any script.
        size: Of the font, pixels.
    """
    text, path = spelt(text)
    return text, _font(path, size)


def spelt(text: str) -> tuple[str, Path | None]:
    r"""Text whose letters are all in one font.

    Returns:
        The text, in it ``\u6b63`` for what no font has, which is warned of once; and the font's file. None:
        Pillow's own font, which has ASCII.
    """
    # Folder names may come from macOS in letters and accents apart.
    text = unicodedata.normalize("NFC", text)
    further = "".join(sorted({letter for letter in text if not letter.isascii()}))
    if not further:
        return text, None
    path, missing = _choose(further)
    return "".join(_escape(letter) if letter in missing else letter for letter in text), path


@cache
def family(path: Path) -> str:
    """The name by which matplotlib finds a font of :func:`spelt`."""
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    # Matplotlib keeps a list of the system's fonts, which may be older than this one.
    fontManager.addfont(path)
    return FT2Font(path).family_name


def _escape(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode()


@cache
def _font(path: Path | None, size: int) -> Font:
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)


@cache
def _choose(letters: str) -> tuple[Path | None, str]:
    """The first font that has all letters and ASCII, or DejaVu Sans and which letters it lacks."""
    files = _files()
    for path in files:
        if not _lacking(path, letters + _PLAIN):
            return path, ""
    _warn()
    return (files[0], _lacking(files[0], letters)) if files else (None, letters)


@cache
def _warn() -> None:
    print(
        "warning: no font on this machine has all letters of a name: pictures spell it with codes "
        "(\\u6b63). Install a font of that script, such as one of the Noto fonts.",
        file=sys.stderr,
    )


@cache
def _files() -> list[Path]:
    """Matplotlib's DejaVu Sans, then the system's fonts, upright ones without serifs first.

    Empty where matplotlib is not installed: batch inference does without.
    """
    try:
        from matplotlib import font_manager, get_data_path
    except ImportError:
        return []
    found = [Path(name) for name in font_manager.findSystemFonts()]
    return [
        Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf"),
        *sorted(found, key=lambda path: ("Sans" not in path.name, "Regular" not in path.name, str(path))),
    ]


def _lacking(path: Path, letters: str) -> str:
    """Those of the letters that a font can't draw."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):  # damaged, or of a kind that FreeType doesn't know
        return letters
    name = font.family_name.casefold().replace(" ", "")
    if not font.scalable or any(known in name for known in _DRAWS_BOXES):
        return letters
    return "".join(letter for letter in letters if not font.get_char_index(ord(letter)))
