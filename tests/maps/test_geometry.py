"""The way back to the scan's pixels: round trips through the preprocessor, and SimpleITK's resampling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from scipy import ndimage

from scanlens.atomic import write_json
from scanlens.errors import UnreadableScan
from scanlens.maps.geometry import ScanGeometry, geometry_of, geometry_reader, scan_geometry, to_scan
from scanlens.maps.probability import upsample
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.types import Scan

FLAT = Preprocessor((48, 40), 1, "pad", "minmax", (0, 100), None, 2)
DEEP = Preprocessor((40, 36, 44), 1, "pad", "minmax", (0, 100), None, 3)

CASES = {
    "stretch": (replace(FLAT, aspect="stretch"), (90, 61), (2.0, 3.0), None),
    "pad": (FLAT, (90, 61), None, None),
    "pad with spacing": (FLAT, (90, 61), (0.5, 1.4), None),
    "crop": (FLAT, (90, 61), (2.0, 3.0), (slice(11, 80), slice(5, 50))),
    "resampled, larger than the grid": (replace(FLAT, spacing=(2.0, 2.0)), (90, 61), (2.0, 3.0), None),
    "resampled, smaller than the grid": (replace(FLAT, spacing=(5.0, 6.0)), (90, 61), (2.0, 3.0), None),
    "volume": (DEEP, (31, 45, 50), (3.0, 1.0, 1.0), None),
    "volume, crop": (DEEP, (31, 45, 50), (3.0, 1.0, 1.5), (slice(2, 30), slice(8, 41), slice(0, 44))),
    "volume of few slices": (DEEP, (9, 40, 17), None, None),
}


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[Preprocessor, ScanGeometry, tuple | None]:
    preprocessor, spatial, spacing, box = CASES[request.param]
    return preprocessor, scan_geometry(preprocessor, spatial, spacing, box), box


def seen(geometry: ScanGeometry) -> np.ndarray:
    """What the network saw of the scan: its box, without what does not fit into the grid."""
    ones = np.ones((1, *geometry.size), np.float32)
    return np.isfinite(to_scan(ones, geometry)[0])


def test_a_mask_comes_back_from_where_the_preprocessor_put_it(
    case: tuple[Preprocessor, ScanGeometry, tuple | None],
) -> None:
    preprocessor, geometry, box = case
    axes = np.meshgrid(*[(np.arange(side) + 0.5) / side for side in geometry.spatial], indexing="ij")
    # An ellipsoid off the middle, different along each axis.
    mask = sum(((at - 0.45 - 0.05 * i) / (0.2 + 0.04 * i)) ** 2 for i, at in enumerate(axes)) < 1
    there = preprocessor.apply_mask(mask, geometry.spatial, geometry.spacing, box)
    back = np.nan_to_num(to_scan(there.astype(np.float32), geometry)) >= 0.5
    mask = mask & seen(geometry)
    overlap = (back & mask).sum() / (back | mask).sum()
    assert overlap > 0.85
    middles = ndimage.center_of_mass(back), ndimage.center_of_mass(mask)
    # Half a pixel off would be a wrong convention; a coarse grid moves a middle by less.
    assert np.abs(np.subtract(*middles)).max() < 0.3


def test_positions_come_back_exactly(case: tuple[Preprocessor, ScanGeometry, tuple | None]) -> None:
    _, geometry, _ = case
    for axis, side in enumerate(geometry.size):
        ramp = np.broadcast_to(
            np.arange(side, dtype=np.float32).reshape(-1, *[1] * (len(geometry.size) - axis - 1)),
            geometry.size,
        )
        back = to_scan(ramp, geometry)
        for index in np.argwhere(np.isfinite(back))[:: max(1, back.size // 50)]:
            there = float(back[tuple(index)])
            if 0.01 < there < side - 1.01:
                position = [0.0] * len(geometry.size)
                position[axis] = there
                assert geometry.placement.to_scan(position)[axis] == pytest.approx(index[axis], abs=1e-3)


@pytest.mark.parametrize("places", [None, 4], ids=["the store's pixels", "a coarse grid"])
def test_like_simpleitk(case: tuple[Preprocessor, ScanGeometry, tuple | None], places: int | None) -> None:
    _, geometry, _ = case
    grid = geometry.size if places is None else (places,) * len(geometry.size)
    maps = np.random.default_rng(1).random(grid, dtype=np.float32)
    image = SimpleITK.GetImageFromArray(maps)
    wanted = SimpleITK.Image([int(side) for side in geometry.spatial[::-1]], SimpleITK.sitkFloat32)
    steps, origins = [], []
    for axis, places_here in enumerate(grid):
        placement = geometry.placement
        # Of the scan's pixels along this axis: the side of a pixel of the grid, and of a place.
        length = placement.box[axis].stop - placement.box[axis].start
        pixel = length / placement.shape[axis]
        steps.append(pixel * geometry.size[axis] / places_here)
        edge = placement.box[axis].start - (placement.place[axis].start - placement.kept[axis].start) * pixel
        origins.append(edge + steps[-1] / 2 - 0.5)
    image.SetSpacing(steps[::-1])
    image.SetOrigin(origins[::-1])
    resampled = SimpleITK.Resample(
        image, wanted, SimpleITK.Transform(), SimpleITK.sitkLinear, np.nan, SimpleITK.sitkFloat32
    )
    expected, found = SimpleITK.GetArrayFromImage(resampled), to_scan(maps, geometry)
    both = np.isfinite(expected) & np.isfinite(found)
    # Beyond the outermost centres ITK holds another value; only pixels between centres are compared.
    for axis, (step, origin, count) in enumerate(zip(steps, origins, grid, strict=True)):
        at = (np.arange(geometry.spatial[axis]) - origin) / step
        inner = (at > 0) & (at < count - 1)
        both &= inner.reshape(-1, *[1] * (len(grid) - axis - 1))
    assert both.sum() > 0.2 * seen(geometry).sum()
    np.testing.assert_allclose(found[both], expected[both], atol=2e-4)


def test_outside_of_what_was_seen_is_nan() -> None:
    preprocessor, spatial, spacing, box = CASES["crop"]
    geometry = scan_geometry(preprocessor, spatial, spacing, box)
    expected = np.zeros(spatial, bool)
    expected[box] = True
    assert np.array_equal(seen(geometry), expected)
    # 90 x 61 pixels of 2 x 3 mm are 90 x 92 of 2 mm: 48 x 40 of them are in the grid, the middle ones.
    cut = scan_geometry(replace(FLAT, spacing=(2.0, 2.0)), spatial, spacing)
    rows, columns = np.where(seen(cut))
    assert (rows.min(), rows.max() + 1) == (21, 69)
    assert columns.max() + 1 - columns.min() == pytest.approx(40 * 2 / 3, abs=1)


def test_without_crop_and_padding_it_is_upsampling() -> None:
    geometry = scan_geometry(replace(FLAT, aspect="stretch"), (77, 93), None)
    maps = np.random.default_rng(2).random((3, 5, 4), dtype=np.float32)
    np.testing.assert_allclose(to_scan(maps, geometry), upsample(maps, (77, 93)), atol=1e-6)


def test_slices_that_were_not_shown_are_nan() -> None:
    preprocessor = replace(DEEP, size=(36, 44), channels=3, slices=3)
    geometry = scan_geometry(preprocessor, (9, 40, 50), (3.0, 1.0, 1.0))
    back = to_scan(np.full((2, 4, 4), 0.5, np.float32), geometry)
    assert back.shape == (2, 9, 40, 50)
    shown = np.isfinite(back).any(axis=(0, 2, 3))
    assert list(np.flatnonzero(shown)) == [3, 4, 5]
    assert geometry.box_in_scan((0, 0), (36, 44)) == ((3, 0, 0), (6, 40, 50))
    assert geometry.pixel_in_scan((18, 22))[0] == 4
    assert geometry.grid_spacing is not None
    assert len(geometry.grid_spacing) == 2


def test_pixels_of_the_grid_in_millimetres() -> None:
    # 69 x 45 pixels of 2 x 3 mm are 138 x 135 mm; in 48 x 40 both shrink alike, to 40 pixels of 3.45 mm.
    preprocessor, spatial, spacing, box = CASES["crop"]
    geometry = scan_geometry(preprocessor, spatial, spacing, box)
    assert geometry.grid_spacing == pytest.approx((138 / 41, 135 / 40))
    assert scan_geometry(preprocessor, spatial, None, box).grid_spacing is None
    assert scan_geometry(preprocessor, spatial, (0.0, 1.0), box).grid_spacing is None
    resampled = scan_geometry(replace(FLAT, spacing=(5.0, 6.0)), spatial, spacing)
    assert resampled.grid_spacing == pytest.approx((5.0, 6.0), rel=0.02)


def test_a_box_in_the_scan_holds_all_it_touches_and_no_more() -> None:
    geometry = scan_geometry(replace(FLAT, aspect="stretch"), (96, 20), None)
    # Two rows of the scan to a row of the grid; two columns of the grid to a column of the scan.
    assert geometry.box_in_scan((3, 3), (5, 6)) == ((6, 1), (10, 3))
    assert geometry.pixel_in_scan((3, 3)) == (6, 1)
    padded = scan_geometry(FLAT, (96, 20), None)
    low, high = padded.box_in_scan((0, 0), FLAT.size)
    assert (low, high) == ((0, 0), (96, 20))


def test_too_few_axes() -> None:
    with pytest.raises(ValueError, match="at least 2 axes"):
        to_scan(np.zeros(4, np.float32), scan_geometry(FLAT, (90, 61), None))


def store_of(folder: Path, preprocessor: Preprocessor, modality: str) -> Store:
    index = pd.DataFrame(
        {
            "scan_id": ["here", "gone"], "label": "a", "split": "test", "patient": "p", "site": "",
            "path": ["a.png", "absent.png"], "modality": modality, "shape": [[60, 50]] * 2,
            "spacing": [[], [2.0, 1.0]],
        }
    )  # fmt: skip
    with StoreWriter(folder, (1, *preprocessor.size), ["a"], 8) as writer:
        for _ in range(2):
            writer.append(np.zeros((1, *preprocessor.size), np.float32))
        writer.close(index)
    write_json(folder / "preprocessor.json", preprocessor.to_json())
    pixels = np.zeros((60, 50), np.uint8)
    pixels[20:50, 10:40] = np.random.default_rng(0).integers(120, 255, (30, 30))
    (folder / "a.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return Store.open(folder)


def test_reading_by_id(tmp_path: Path) -> None:
    store = store_of(tmp_path, FLAT, "OT")
    read = geometry_reader(store, tmp_path, tmp_path)
    assert read("here") == scan_geometry(FLAT, (60, 50), None)
    # Nothing has to be read of a scan that is not cropped.
    assert read("gone") == scan_geometry(FLAT, (60, 50), (2.0, 1.0))
    with pytest.raises(UnreadableScan):
        geometry_reader(store, tmp_path, tmp_path, oriented=True)("gone")


def test_reading_by_id_finds_the_crop_again(tmp_path: Path) -> None:
    preprocessor = replace(FLAT, crop="foreground")
    read = geometry_reader(store_of(tmp_path, preprocessor, "OT"), tmp_path, tmp_path)
    box = read("here").placement.box
    assert box[0].start > 10
    assert box[1].start > 5
    with pytest.raises(UnreadableScan):
        read("gone")


def test_a_scan_in_hand_keeps_its_affine() -> None:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    scan = Scan(np.zeros((1, 9, 8, 7), np.float32), (3.0, 2.0, 1.0), orientation="SPL", affine=affine)
    geometry = geometry_of(scan, DEEP)
    assert geometry.orientation == "SPL"
    assert geometry.affine is affine
    assert geometry.spatial == (9, 8, 7)
