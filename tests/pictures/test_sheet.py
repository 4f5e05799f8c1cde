"""Contact sheets, read back with another library than the one that draws them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from scanlens.pictures.sheet import CAPTION, MARGIN, SheetRow, write_sheet


@pytest.mark.parametrize("shape", [(1, 20, 10), (3, 20, 10), (1, 5, 20, 10)])
def test_tiles_show_the_scan(tmp_path: Path, shape: tuple[int, ...]) -> None:
    dark, bright = np.zeros(shape, np.float32), np.full(shape, 0.8, np.float32)
    write_sheet(tmp_path / "sheet.png", [SheetRow("row", [dark, bright], ["", "copy"])], tile=40)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    top = MARGIN + CAPTION
    first = sheet[top : top + 40, MARGIN : MARGIN + 20]
    second = sheet[top : top + 40, 2 * MARGIN + 40 : 2 * MARGIN + 60]
    assert (first == 0).all()
    assert (second == 204).all()


def test_captions_are_drawn(tmp_path: Path) -> None:
    image = np.zeros((1, 8, 8), np.float32)
    for name, caption in (("with", "seed 3"), ("without", "")):
        write_sheet(tmp_path / name, [SheetRow("row", [image], [caption])])
    assert (tmp_path / "with").read_bytes() != (tmp_path / "without").read_bytes()


def test_volumes_show_the_middle(tmp_path: Path) -> None:
    volume = np.zeros((1, 5, 8, 8), np.float32)
    volume[:, 2] = 1
    write_sheet(tmp_path / "sheet.png", [SheetRow("row", [volume], [""])], tile=8)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert (sheet[MARGIN + CAPTION : MARGIN + CAPTION + 8, MARGIN : MARGIN + 8] == 255).all()
