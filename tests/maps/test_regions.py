"""Regions against OpenCV's components and a flood fill by hand; their numbers against arithmetic."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from scanlens.errors import SettingsError
from scanlens.maps.geometry import scan_geometry
from scanlens.maps.regions import (
    REGION_COLUMNS,
    Region,
    region_rows,
    region_table,
    scan_regions,
    suspicious_labels,
    suspicious_regions,
)
from scanlens.preprocess.preprocessor import Preprocessor

FLAT = Preprocessor((48, 40), 1, "pad", "minmax", (0, 100), None, 2)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    values = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    return ((values - values.min()) / np.ptp(values)).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_like_opencv(seed: int, threshold: float) -> None:
    values = noise(60, 45, seed=seed)
    mask = (values >= threshold).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    expected = {
        (
            (int(top), int(left)),
            (int(top + height), int(left + width)),
            int(area),
            float(values[parts == n].max()),
        )
        for n, (left, top, width, height, area) in enumerate(stats[1:], start=1)
    }
    found = suspicious_regions(values, threshold, "a")
    assert len(found) == count - 1 > 1
    for region in found:
        assert (region.low, region.high, region.pixels, region.peak) in expected
        assert values[region.peak_at] == region.peak
        assert region.share == region.pixels / values.size
    means = sorted(region.mean for region in found)
    assert means == pytest.approx(sorted(float(values[parts == n].mean()) for n in range(1, count)))


def test_volumes_like_a_flood_fill() -> None:
    values = noise(14, 12, 16)
    left = {tuple(at) for at in np.argwhere(values >= 0.6).tolist()}
    sizes = []
    while left:
        front, seen = [left.pop()], 0
        while front:
            at, seen = front.pop(), seen + 1
            for step in product((-1, 0, 1), repeat=3):
                near = tuple(int(a) + b for a, b in zip(at, step, strict=True))
                if near in left:
                    left.remove(near)
                    front.append(near)
        sizes.append(seen)
    found = suspicious_regions(values, 0.6, "a", spacing=(2.0, 1.0, 0.5))
    assert sorted(region.pixels for region in found) == sorted(sizes)
    assert all(region.volume_mm3 == region.pixels for region in found)
    assert all(region.area_mm2 is None for region in found)


def test_sorted_by_peak_then_size() -> None:
    values = np.zeros((9, 20), np.float32)
    values[1:3, 1:3], values[1:5, 6:9], values[2, 14] = 0.8, 0.8, 0.9
    found = suspicious_regions(values, 0.5, "a")
    assert [(region.peak, region.pixels) for region in found] == [
        (pytest.approx(0.9), 1), (pytest.approx(0.8), 12), (pytest.approx(0.8), 4),
    ]  # fmt: skip
    assert [region.pixels for region in suspicious_regions(values, 0.5, "a", least=4)] == [12, 4]
    assert [region.pixels for region in suspicious_regions(values, 0.85, "a")] == [1]
    assert suspicious_regions(values, 0.95, "a") == []


def test_the_threshold_itself_counts() -> None:
    assert len(suspicious_regions(np.full((4, 4), 0.5, np.float32), 0.5, "a")) == 1


def test_corners_connect() -> None:
    assert len(suspicious_regions(np.eye(5, dtype=np.float32), 0.5, "a")) == 1


def test_the_peak_of_a_plateau_is_its_middle() -> None:
    values = np.zeros((9, 9), np.float32)
    values[2:7, 1:8] = 0.8
    (region,) = suspicious_regions(values, 0.5, "a")
    assert region.peak_at == (4, 4)


def test_padding_holds_no_region() -> None:
    geometry = scan_geometry(FLAT, (48, 20), None)
    values = np.zeros(FLAT.size, np.float32)
    values[5:9, 2:8] = 0.9  # in the left rim alone
    values[20:30, 25:36] = 0.7  # half in the scan, half in the right rim
    values[25, 33] = 1.0
    (region,) = suspicious_regions(values, 0.5, "a", inside=geometry.inside)
    assert (region.low, region.high) == ((20, 25), (30, 30))
    assert (region.pixels, region.peak) == (50, pytest.approx(0.7))
    assert region.share == 50 / (48 * 20)
    assert geometry.inside[1].start <= region.peak_at[1] < geometry.inside[1].stop


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (2.0, 3.0)])
@pytest.mark.parametrize("aspect", ["pad", "stretch"])
def test_areas_are_those_of_the_scan(aspect: str, spacing: tuple[float, float]) -> None:
    preprocessor = replace(FLAT, size=(96, 80), aspect=aspect)
    mask = np.zeros((150, 110), bool)
    mask[30:90, 20:70] = True
    box = (slice(6, 140), slice(8, 105))
    geometry = scan_geometry(preprocessor, mask.shape, spacing, box)
    there = preprocessor.apply_mask(mask, mask.shape, spacing, box).astype(np.float32)
    (region,) = suspicious_regions(there, 0.5, "a", spacing=geometry.grid_spacing, inside=geometry.inside)
    assert region.area_mm2 == pytest.approx(60 * 50 * spacing[0] * spacing[1], rel=0.03)
    assert region.share == pytest.approx(60 * 50 / (134 * 97), rel=0.03)
    (unknown,) = suspicious_regions(there, 0.5, "a", inside=geometry.inside)
    assert unknown.area_mm2 is None
    assert replace(unknown, area_mm2=region.area_mm2) == region


def test_which_classes_count() -> None:
    assert suspicious_labels(["normal", "nodule", "effusion"]) == ["nodule", "effusion"]
    assert suspicious_labels(["covid", "Normal", "pneumonia"]) == ["covid", "pneumonia"]
    assert suspicious_labels(["ill", "well"]) == ["ill"]
    assert suspicious_labels(["0", "1", "2"]) == ["1", "2"]
    assert suspicious_labels(["normal", "a", "none"]) == ["a", "none"]
    assert suspicious_labels(["a", "b", "c"], ["c", "a"]) == ["a", "c"]
    with pytest.raises(SettingsError, match=r"\['d'\].*\['a', 'b'\]"):
        suspicious_labels(["a", "b"], ["d"])


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_impossible_thresholds(threshold: float) -> None:
    with pytest.raises(SettingsError, match="threshold"):
        suspicious_regions(noise(8, 8), threshold, "a")


def test_impossible_sizes_and_shapes() -> None:
    with pytest.raises(SettingsError, match="at least 1 pixel"):
        suspicious_regions(noise(8, 8), 0.5, "a", least=0)
    with pytest.raises(ValueError, match="two or three axes"):
        suspicious_regions(noise(8), 0.5, "a")


def test_the_table_says_where_regions_lie_in_the_scan() -> None:
    geometry = scan_geometry(replace(FLAT, aspect="stretch"), (96, 80), (1.0, 1.0))
    values = np.zeros(FLAT.size, np.float32)
    values[10:14, 20:26], values[40, 3] = 0.8, 0.9
    regions = suspicious_regions(values, 0.5, "b", spacing=geometry.grid_spacing)
    weaker = suspicious_regions(values * 0.9, 0.5, "c", spacing=geometry.grid_spacing)
    table = region_table(region_rows("x", "a", [*weaker, *regions], geometry))
    assert list(table.columns) == list(REGION_COLUMNS)
    assert list(table["label"]) == ["b", "c", "b", "c"]
    assert list(table["number"]) == [1, 2, 3, 4]
    row = table.iloc[2]
    assert (row["scan_id"], row["predicted"]) == ("x", "a")
    assert (row["box_low"], row["box_high"]) == ([10, 20], [14, 26])
    assert (row["scan_box_low"], row["scan_box_high"]) == ([20, 40], [28, 52])
    assert row["area_mm2"] == pytest.approx(8 * 12)
    assert np.isnan(row["volume_mm3"])
    low, high = np.array(row["scan_box_low"]), np.array(row["scan_box_high"])
    assert ((low <= row["scan_peak_at"]) & (row["scan_peak_at"] < high)).all()


def test_a_table_without_regions_has_the_same_columns(tmp_path) -> None:
    empty = region_table([])
    full = region_table(
        region_rows("x", "a", [Region("a", 1, 1, (0, 0), (0, 0), (1, 1), 1, 1, None, None)],
                    scan_geometry(FLAT, (48, 40), None))
    )  # fmt: skip
    assert list(empty.dtypes) == list(full.dtypes)
    full.to_parquet(tmp_path / "regions.parquet")
    back = pd.read_parquet(tmp_path / "regions.parquet")
    assert list(back["box_high"].iloc[0]) == [1, 1]
    assert np.isnan(back["area_mm2"].iloc[0])


LABELS = ["normal", "nodule", "opacity"]
GEOMETRY = scan_geometry(replace(FLAT, size=(48, 48), aspect="stretch"), (96, 96), (0.5, 0.5))


def three_maps() -> np.ndarray:
    """Normal everywhere; a nodule of two cells in the upper left, an opacity of one in the lower right."""
    maps = np.zeros((3, 6, 6), np.float32)
    maps[0] = 1
    maps[1, 1, 1:3], maps[2, 4, 4] = 0.97, 0.95
    return maps


def found(**changes: object) -> list[Region]:
    settings = {"threshold": 0.5, "least_probability": 0.1, **changes}
    return scan_regions(three_maps(), LABELS, [0.5, 0.3, 0.2], GEOMETRY, **settings)  # type: ignore[arg-type]


def test_the_regions_of_a_scan() -> None:
    nodule, opacity = found()
    assert (nodule.label, opacity.label) == ("nodule", "opacity")
    assert (nodule.low, nodule.high) == ((8, 8), (16, 24))
    # The nearest pixel's centre is half a pixel, a sixteenth of a cell, from the cells' middle.
    assert nodule.peak == pytest.approx(0.97 * 15 / 16)
    # Above one half a lone cell of 8 x 8 pixels is a diamond-like spot within its own square.
    assert opacity.low >= (32, 32)
    assert opacity.high <= (40, 40)
    assert nodule.area_mm2 == nodule.pixels


def test_each_setting_of_a_scans_regions_counts() -> None:
    assert [region.label for region in found(least_probability=0.25)] == ["nodule"]
    assert found(least_probability=0.4) == []
    assert [region.label for region in found(threshold=0.88)] == ["nodule"]
    assert [region.label for region in found(sought=["opacity"])] == ["opacity"]
    assert [region.label for region in found(sought=LABELS, least_cells=30)] == ["normal"]
    assert [region.label for region in found(least_cells=1)] == ["nodule"]


def test_a_scans_regions_keep_out_of_the_padding() -> None:
    geometry = scan_geometry(replace(FLAT, size=(48, 48)), (96, 48), None)
    maps = np.zeros((2, 6, 6), np.float32)
    maps[1, :, 0] = 1
    assert scan_regions(maps, ["normal", "b"], [0.5, 0.5], geometry) == []
