from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.errors import UnreadableScan
from scanlens.manifest.near_copies import find as duplicates
from scanlens.manifest.near_copies.find import Pair, near_copies
from scanlens.manifest.near_copies.thumbnails import SIDE, thumbnail

MINIMUM = 0.96
SCANS = 12


def scene(seed: int, side: int = 256) -> np.ndarray:
    """A picture like others in the large and unlike them in detail, uint8."""
    total = 2.0 * field(np.random.default_rng(0), side) + field(np.random.default_rng(seed), side)
    low, high = np.percentile(total, [1, 99])
    return np.clip((total - low) / (high - low) * 215 + 20, 0, 255).astype(np.uint8)


def field(rng: np.random.Generator, side: int) -> np.ndarray:
    total = np.zeros((side, side), np.float32)
    for cells in (3, 6, 12, 24, 48):
        noise = rng.normal(0, 1 / np.sqrt(cells), (cells, cells)).astype(np.float32)
        total += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return total


def encoded(image: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def cut(image: np.ndarray, part: float, top: float, left: float) -> np.ndarray:
    height, width = (round(part * side) for side in image.shape)
    first, second = round(top * (image.shape[0] - height)), round(left * (image.shape[1] - width))
    return image[first : first + height, second : second + width]


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height))


def gamma(image: np.ndarray, power: float) -> np.ndarray:
    return np.rint(255 * (image / 255) ** power).astype(np.uint8)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored and re-encoded": lambda image: encoded(image[:, ::-1], 70),
    "upside down, encoded badly": lambda image: encoded(image[::-1], 30),
    "turned by 90 degrees": lambda image: encoded(np.rot90(image), 70),
    "turned by 270 degrees and mirrored": lambda image: np.rot90(image, 3)[:, ::-1],
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "stretched": lambda image: cv2.resize(image, (300, 200), interpolation=cv2.INTER_AREA),
    "cropped to 90 %": lambda image: encoded(cut(image, 0.9, 0.2, 1.0), 80),
    "cropped to 80 %": lambda image: encoded(cut(image, 0.8, 0.7, 0.1), 80),
    "cropped to 85 % and mirrored": lambda image: encoded(cut(image, 0.85, 0.0, 0.6)[:, ::-1], 70),
    "the top trimmed": lambda image: image[round(0.15 * len(image)) :],
    "brighter": lambda image: np.clip(image.astype(int) + 20, 0, 255).astype(np.uint8),
    "less contrast": lambda image: np.rint(0.5 * image + 60).astype(np.uint8),
    "gamma 0.6": lambda image: gamma(image, 0.6),
    "gamma 1.6": lambda image: gamma(image, 1.6),
    "turned by 3 degrees": lambda image: turned(image, 3),
    "negative": lambda image: 255 - image,
}


def thumbnails(images: list[np.ndarray]) -> np.ndarray:
    return np.stack([thumbnail(image[None].astype(np.float32)) for image in images])


def reader(images: list[np.ndarray]) -> Callable[[int], np.ndarray]:
    return lambda row: images[row].astype(np.float32)


def rows(pairs: list[Pair]) -> set[tuple[int, int]]:
    return {(pair.first, pair.second) for pair in pairs}


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    return [scene(seed + 1) for seed in range(SCANS)]


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_changed_copy_is_found_and_nothing_else(scenes, name):
    images = [*scenes, *(CHANGES[name](image) for image in scenes[:4])]
    pairs = near_copies(thumbnails(images), minimum=MINIMUM, reread=reader(images))
    assert rows(pairs) == {(row, SCANS + row) for row in range(4)}
    assert all(MINIMUM <= pair.correlation <= 1 for pair in pairs)


def test_pictures_alike_in_the_large_are_no_copies(scenes):
    small = thumbnails(scenes).reshape(SCANS, -1).astype(float)
    raw = np.corrcoef(small)[np.triu_indices(SCANS, 1)]
    assert np.median(raw) > 0.75  # as between two patients' radiographs
    assert near_copies(thumbnails(scenes), minimum=0.8) == []


def test_the_order_of_the_scans_does_not_matter(scenes):
    images = [*scenes, scenes[3][:, ::-1], cut(scenes[5], 0.85, 0.3, 0.3), encoded(scenes[7], 50)]
    order = np.random.default_rng(5).permutation(len(images))
    pairs = near_copies(thumbnails(images), minimum=MINIMUM)
    mixed = near_copies(thumbnails([images[row] for row in order]), minimum=MINIMUM)
    back = {
        (min(order[p.first], order[p.second]), max(order[p.first], order[p.second])): p.correlation
        for p in mixed
    }
    assert back == {(pair.first, pair.second): pair.correlation for pair in pairs}
    assert len(pairs) == 3


def test_the_number_of_threads_does_not_matter(scenes, monkeypatch):
    images = thumbnails([*scenes, *(turned(image, 2) for image in scenes)])
    results = []
    for cores in (1, 3):
        monkeypatch.setattr(duplicates, "available_cores", lambda cores=cores: cores)
        results.append(near_copies(images, minimum=0.9))
    assert results[0] == results[1]
    assert len(results[0]) == SCANS


def test_equal_thumbnails_are_linked_to_the_first_alone(scenes):
    images = thumbnails(scenes[:3])[np.repeat([0, 1, 2], [1, 2000, 1])]
    pairs = near_copies(images, minimum=MINIMUM)
    assert rows(pairs) == {(1, row) for row in range(2, 2001)}
    assert {pair.correlation for pair in pairs} == {1.0}


def test_empty_pictures_match_nothing(scenes):
    dot = np.zeros((SIDE, SIDE), np.uint8)
    dot[3, 3] = 255
    empty = [np.zeros((SIDE, SIDE), np.uint8)] * 3 + [np.full((SIDE, SIDE), 255, np.uint8)] * 3 + [dot] * 3
    assert near_copies(np.stack([*empty, *thumbnails(scenes[:2])]), minimum=MINIMUM) == []


@pytest.mark.parametrize("count", [0, 1])
def test_there_need_not_be_two_scans(scenes, count):
    assert near_copies(thumbnails(scenes)[:count], minimum=MINIMUM) == []


def test_originals_are_asked_only_where_thumbnails_do_not_decide(scenes):
    images = [*scenes, encoded(scenes[0], 95), cut(scenes[1], 0.76, 0.4, 0.9)]
    asked: set[int] = set()

    def reread(row: int) -> np.ndarray:
        asked.add(row)
        return images[row].astype(np.float32)

    assert rows(near_copies(thumbnails(images), minimum=MINIMUM, reread=reread)) == {(0, 12), (1, 13)}
    assert asked <= {1, 13}


def test_an_original_decides_over_thumbnails(scenes):
    images = [*scenes, cut(scenes[1], 0.76, 0.4, 0.9)]
    found = near_copies(thumbnails(images), minimum=0.0)
    undecided = next(pair for pair in found if (pair.first, pair.second) == (1, SCANS))
    minimum = min(undecided.correlation + 0.001, 1.0)
    assert (1, SCANS) not in rows(near_copies(thumbnails(images), minimum=minimum))
    assert (1, SCANS) in rows(near_copies(thumbnails(images), minimum=minimum, reread=reader(images)))
    other = [*scenes, scenes[5]]
    assert (1, SCANS) not in rows(near_copies(thumbnails(images), minimum=minimum, reread=reader(other)))


def test_an_original_that_cannot_be_read_leaves_the_thumbnails_verdict(scenes):
    images = [*scenes, cut(scenes[1], 0.76, 0.4, 0.9)]

    def unreadable(row: int) -> np.ndarray:
        raise UnreadableScan(f"{row}.png", "gone")

    assert near_copies(thumbnails(images), minimum=0.9, reread=unreadable) == near_copies(
        thumbnails(images), minimum=0.9
    )


def radiographs(shared_data, count: int) -> list[np.ndarray]:
    """One radiograph of each of the first so many patients."""
    table = pd.read_csv(shared_data / "cxr" / "labels.csv").drop_duplicates("patient_id")
    paths = table["path"].iloc[np.linspace(0, len(table) - 1, count).astype(int)]
    return [cv2.imread(str(shared_data / "cxr" / path), cv2.IMREAD_GRAYSCALE) for path in paths]


def test_real_radiographs_have_no_false_alarm_and_planted_copies_are_found(shared_data):
    images = radiographs(shared_data, 120)
    plants = [
        CHANGES[name](images[row])
        for row, name in enumerate(
            ["mirrored and re-encoded"] * 10 + ["cropped to 80 %"] * 10 + ["cropped to 90 %", "gamma 0.6"] * 5
        )
    ]
    everything = images + plants
    pairs = rows(near_copies(thumbnails(everything), minimum=MINIMUM, reread=reader(everything)))
    planted = {(row, 120 + row) for row in range(30)}
    assert pairs <= planted
    assert {(row, 120 + row) for row in range(10)} <= pairs
    assert len(pairs) >= 0.95 * len(planted)


def test_cells_of_one_shape_are_no_copies(shared_data):
    folder = shared_data / "malaria" / "uninfected"
    images = [cv2.imread(str(path)).mean(axis=2) for path in sorted(folder.glob("*.png"))[:300]]
    assert near_copies(thumbnails(images), minimum=MINIMUM) == []


def test_re_encoded_brain_slices_are_found(shared_data):
    folder = shared_data / "brain_tumor"
    names = ["no/N16.jpg", "no/N17.jpg", "yes/Y107.jpg", "yes/Y163.JPG", "no/1 no.jpeg", "no/12 no.jpg"]
    images = [cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for name in names]
    assert rows(near_copies(thumbnails(images), minimum=MINIMUM, reread=reader(images))) == {(0, 1), (2, 3)}
