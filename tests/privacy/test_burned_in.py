from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from scanlens.config.data import PHANTOM_LABELS as LABELS
from scanlens.phantom.image import draw_phantom
from scanlens.privacy.burned_in import has_text
from scanlens.sources.read import read_scan

LINES = ("MUELLER^ANNA", "Doe, John 47", "12.03.1956", "ID 00471-1B", "2021-03-04 10:22")


def ground(side: int = 448, seed: int = 0) -> np.ndarray:
    """Clouds with noise, values 0.1 to 0.8, ``(height, width)``."""
    rng = np.random.default_rng(seed)
    clouds = cv2.resize(rng.normal(size=(9, 9)), (side, side), interpolation=cv2.INTER_CUBIC)
    clouds = (clouds - clouds.min()) / np.ptp(clouds) * 0.6 + 0.15
    return (clouds + rng.normal(0, 0.01, clouds.shape)).clip(0.1, 0.8).astype(np.float32)


def write(
    picture: np.ndarray, text: str, height: int, *, font: str = "sans", white: bool = True
) -> np.ndarray:
    """Draw a line of capitals of ``height`` pixels in the middle left."""
    at = picture.shape[0] // 2
    mask = np.zeros(picture.shape, np.uint8)
    if font == "sans":
        size = ImageFont.load_default(100).getbbox("H")
        drawn = Image.fromarray(mask)
        fitting = ImageFont.load_default(100 * height / (size[3] - size[1]))
        ImageDraw.Draw(drawn).text((9, at), text, fill=255, font=fitting)
        mask = np.asarray(drawn)
    else:
        scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, height, 1)
        cv2.putText(mask, text, (9, at), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1)
    ink = mask / np.float32(255)
    return picture * (1 - ink) + (1.0 if white else 0.0) * ink


@pytest.mark.parametrize("font", ["sans", "strokes"])
@pytest.mark.parametrize("white", [True, False])
@pytest.mark.parametrize("height", [10, 14, 27])
@pytest.mark.parametrize("text", LINES)
def test_a_line_of_text_is_seen(text: str, height: int, white: bool, font: str) -> None:
    assert has_text(write(ground(), text, height, white=white, font=font)[None])


@pytest.mark.parametrize(("scale", "offset"), [(4095.0, -1024.0), (1.0, 0.0), (65535.0, 0.0)])
def test_the_units_do_not_matter(scale: float, offset: float) -> None:
    assert has_text(write(ground(), LINES[0], 14)[None] * scale + offset)
    assert not has_text(ground()[None] * scale + offset)


def test_jpeg_and_large_pictures() -> None:
    picture = (write(ground(2200), LINES[2], 66) * 255).astype(np.uint8)
    again = cv2.imdecode(
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE
    )
    assert has_text(again[None].astype(np.float32))
    assert not has_text(ground(2200)[None])


def test_coloured_text_on_grey() -> None:
    picture = np.stack([ground()] * 3)
    picture[1] = write(picture[1], LINES[1], 14)
    assert has_text(picture)


@pytest.mark.parametrize(("place", "seen"), [(0, True), (4, True), (8, True), (2, False)])
def test_of_a_volume_the_first_middle_and_last_slice_are_looked_at(place: int, seen: bool) -> None:
    volume = np.stack([ground(256)] * 9)[None]
    volume[0, place] = write(volume[0, place], LINES[0], 12)
    assert has_text(volume) is seen


def test_plain_pictures_raise_no_alarm() -> None:
    assert not any(has_text(ground(side, seed)[None]) for side in (64, 256, 512) for seed in range(5))
    assert not has_text(np.zeros((1, 64, 64), np.float32))
    assert not has_text(np.random.default_rng(0).uniform(size=(1, 256, 256)).astype(np.float32))
    assert not has_text(np.ones((3, 1, 1), np.float32))


@pytest.mark.parametrize("marker", ["L", "R", "AP"])
def test_a_side_marker_is_no_text(marker: str) -> None:
    assert not has_text(write(ground(), marker, 30)[None])


def test_ribs_and_grid_lines_are_no_text() -> None:
    ribs, grid = ground(), ground(seed=1)
    for row in range(60, 400, 40):
        cv2.ellipse(ribs, (224, row), (150, 30), 0, 200, 340, 1.0, 8)
    grid[::32] = grid[:, ::32] = 1.0
    assert not has_text(ribs[None])
    assert not has_text(grid[None])


def test_a_row_of_bars_or_dots_is_no_text() -> None:
    ticks = ground()
    for column in range(40, 400, 40):
        ticks[200:212, column : column + 3] = 1.0
    assert not has_text(ticks[None])


def test_phantoms_raise_no_alarm_until_text_is_planted() -> None:
    rng = np.random.default_rng(4)
    for number in range(12):
        label, site = LABELS[number % len(LABELS)], ("north", "south")[number % 2]
        drawn = draw_phantom(rng, label, (256, 224), 0.2, float(number % 2), site).image
        assert not has_text(drawn[None].astype(np.float32))
        # Half-dark clouds: text is not asked for where its ground is as bright.
        planted = write(0.5 * drawn.astype(np.float32), LINES[number % len(LINES)], 11)
        assert has_text(planted[None])


@pytest.mark.parametrize("folder", ["ct_contrast", "mednist/HeadCT", "cxr/covid"])
def test_real_scans(shared_data: Path, folder: str) -> None:
    paths = sorted(path for path in (shared_data / folder).iterdir() if path.suffix != ".csv")[:60]
    read = [
        read_scan(shared_data, path.relative_to(shared_data).as_posix(), dims=2, max_pixels=1 << 28).pixels
        for path in paths
    ]
    seen = [path.name for path, pixels in zip(paths, read, strict=True) if has_text(pixels)]
    # Two of the covid set carry a caption: "2A First chest x-ray", "2B Second chest x-ray".
    false_alarms = set(seen) - {"lancet-case2a.jpg", "lancet-case2b.jpg"}
    assert len(false_alarms) <= 0.02 * len(paths)


def test_ultrasound_and_radiographs_with_real_annotations(shared_data: Path) -> None:
    for name in ("dicom/US1_UNCI.dcm", "dicom/gdcm-US-ALOKA-16.dcm", "busi/benign/benign (134).png"):
        if (shared_data / name).is_file():
            pixels = read_scan(shared_data, name, dims=2, max_pixels=1 << 28).pixels
            assert has_text(pixels), name
