"""How far do near copies stand from different scans, and how much burned-in text is seen?

On phantoms of as many patients, or with ``--data FOLDER`` on the PNG and JPEG files below a folder, which
must be of different patients. A fifth of them is cropped to 80 %; a line of text of 3 % of the height, at
least ten pixels, is planted in all of them. Single numbers, no times: one run.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from benchmarks.table import Row, publish
from scanlens.config.data import PHANTOM_LABELS as LABELS
from scanlens.manifest.near_copies.find import near_copies
from scanlens.manifest.near_copies.thumbnails import thumbnail
from scanlens.phantom.image import draw_phantom
from scanlens.privacy.burned_in import has_text

LINES = ("MUELLER^ANNA", "DOE, JOHN 47", "12.03.1956", "ID 00471-1B", "WARD NORTH 3")
CROP, LOWEST = 0.8, 0.8
DEFAULT = 0.96
"""``manifest.leakage.near_correlation`` as it ships."""

Picture = npt.NDArray[np.float32]


def phantoms(count: int) -> list[Picture]:
    rng = np.random.default_rng(0)
    drawn = (draw_phantom(rng, LABELS[n % len(LABELS)], (256, 224), 0.2, 0.0, "north") for n in range(count))
    return [one.image.astype(np.float32) for one in drawn]


def files(folder: Path, count: int) -> list[Picture]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    step = max(1, len(paths) // count)
    read = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths[::step])
    return list(islice((one.astype(np.float32) / 255 for one in read if one is not None), count))


def cropped(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = (round(CROP * side) for side in picture.shape)
    top, left = (rng.integers(0, s - c + 1) for s, c in zip(picture.shape, (height, width), strict=True))
    return picture[top : top + height, left : left + width]


def written(picture: Picture, line: str, rng: np.random.Generator) -> Picture:
    """A line somewhere in the picture, at its brightest value on dark ground and its darkest on bright."""
    letter = ImageFont.load_default(100).getbbox("H")
    font = ImageFont.load_default(100 * max(10.0, 0.03 * picture.shape[0]) / (letter[3] - letter[1]))
    left, top, right, bottom = (round(side) for side in font.getbbox(line))
    space = (picture.shape[1] - right, picture.shape[0] - bottom)
    x, y = (int(rng.integers(0, max(1, side))) for side in space)
    mask = Image.new("L", picture.shape[::-1])
    ImageDraw.Draw(mask).text((x, y), line, fill=255, font=font)
    ink = np.asarray(mask, np.float32) / 255
    darkest, brightest = picture.min(), picture.max()
    ground = picture[y + top : y + bottom, x + left : x + right].mean()
    return picture * (1 - ink) + ink * (brightest if ground < (darkest + brightest) / 2 else darkest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="60 scans rather than 300")
    parser.add_argument("--data", type=Path, help="a folder of pictures of different patients")
    wanted = parser.parse_args()
    count = 60 if wanted.quick else 300
    scans = files(wanted.data, count) if wanted.data else phantoms(count)
    rng = np.random.default_rng(1)
    rows = range(0, len(scans), 5)
    everything = [*scans, *(cropped(scans[row], rng) for row in rows)]
    pairs = near_copies(
        np.stack([thumbnail(scan[None]) for scan in everything]),
        minimum=LOWEST,
        reread=lambda row: everything[row][None],
    )
    planted = {(row, len(scans) + number) for number, row in enumerate(rows)}
    of_pair = {(pair.first, pair.second): pair.correlation for pair in pairs}
    different = max((value for (_, other), value in of_pair.items() if other < len(scans)), default=LOWEST)
    crops = float(np.quantile([of_pair.get(pair, LOWEST) for pair in planted], 0.05))
    seen = np.mean(
        [has_text(written(scan, LINES[n % len(LINES)], rng)[None]) for n, scan in enumerate(scans)]
    )
    alarms = np.mean([has_text(scan[None]) for scan in scans])
    results = [
        Row("correlation of crops to 80 %: 19 of 20 have at least", crops, DEFAULT, crops,
            f">= {DEFAULT}", 1, 0),
        Row(f"highest correlation of two patients (searched from {LOWEST})", different, DEFAULT, different,
            "", 1, 0),
        Row("share of planted lines of text that is seen", float(seen), 1, float(seen), ">= 0.9", 1, 0),
        # Files may show text of their own; phantoms show none.
        Row("share of scans that raise an alarm as they are", float(alarms), 0, float(alarms),
            "" if wanted.data else "<= 0.01", 1, 0),
    ]  # fmt: skip
    publish("gate_of_data" if wanted.data else "gate", results)


if __name__ == "__main__":
    main()
