"""Written maps lie on the scan they were made from, by nibabel's and SimpleITK's reading."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from scanlens.errors import ScanlensError, SettingsError, UnreadableScan
from scanlens.maps.export import export_maps, write_map
from scanlens.maps.geometry import ScanGeometry, geometry_of, scan_geometry, to_scan
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.sources.read import read_scan
from tests.helpers.dicom import ct_slice, save

FLAT = Preprocessor((24, 20), 1, "pad", "minmax", (0, 100), None, 2)
DEEP = Preprocessor((12, 16, 16), 1, "pad", "minmax", (0, 100), None, 3)
LABELS = ["normal", "nodule", "opacity"]
IDENTIFIERS = (b"Doe", b"Jane", b"19610102")


def some_maps(*grid: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((len(LABELS), *grid), dtype=np.float32)


def lit(shape: tuple[int, ...]) -> np.ndarray:
    """A volume with one bright block."""
    values = np.random.default_rng(3).integers(0, 50, shape).astype(np.int16)
    values[2:5, 6:9, 3:8] = 900
    return values


@pytest.mark.parametrize("stored", ["RAS", "LPS", "SAL", "PIR"])
def test_a_nifti_scan_and_its_maps_match_voxel_by_voxel(tmp_path: Path, stored: str) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * [2.0, 2.5, 3.0]
    affine[:3, 3] = (-70, 11, 30)
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(stored))
    source = nib.Nifti1Image(lit((14, 17, 11)), affine).as_reoriented(turn)
    source.header["descrip"], source.header["aux_file"] = b"Doe^Jane", b"born 19610102"
    nib.save(source, tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path, "scan.nii.gz", dims=3, max_pixels=10_000)
    geometry = geometry_of(scan, DEEP)
    # The scan itself is the map: a bright block must come out where it went in.
    maps = np.stack([DEEP.apply(scan)[0], np.zeros(DEEP.size), np.ones(DEEP.size)]).astype(np.float32)
    path = write_map(tmp_path / "out", "abc", maps, LABELS, geometry)
    assert path.name == "abc.nii.gz"
    image = nib.load(path)
    assert image.shape == (*source.shape, 3)
    assert image.get_data_dtype() == np.float32
    np.testing.assert_allclose(image.affine, source.affine, atol=1e-4)
    found = np.asarray(image.dataobj)
    block = source.get_fdata() > 500
    assert found[block, 0].min() > 0.4 > 2 * found[~block, 0].mean()
    assert np.array_equal(found[..., 2], np.ones(source.shape))
    by_itk = SimpleITK.ReadImage(str(path))
    original = SimpleITK.ReadImage(str(tmp_path / "scan.nii.gz"))
    for index in [(0, 0, 0), (3, 5, 2)]:
        np.testing.assert_allclose(
            by_itk.TransformIndexToPhysicalPoint([*index, 0])[:3],
            original.TransformIndexToPhysicalPoint(index),
            atol=1e-3,
        )
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(by_itk).T, found)


def test_a_dicom_series_and_its_maps_share_the_world(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    orientation = (1, 0, 0, 0, 0.96, -0.28)
    normal = np.cross(orientation[:3], orientation[3:])
    for number, plane in enumerate(lit((9, 12, 10)).astype(np.uint16)):
        position = np.array([-20.0, 15, 40]) + 4.0 * number * normal
        save(folder, ct_slice(plane, position, orientation, number, PatientName="Doe^Jane"), f"{number}.dcm")
    scan = read_scan(tmp_path, "series", dims=3, max_pixels=10_000)
    maps = np.stack([DEEP.apply(scan)[0]] * 3)
    path = write_map(tmp_path / "out", "abc", maps, LABELS, geometry_of(scan, DEEP))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    original, written = reader.Execute(), SimpleITK.ReadImage(str(path))
    assert written.GetSize() == (*original.GetSize(), 3)
    for index in [(0, 0, 0), (9, 11, 8)]:
        np.testing.assert_allclose(
            written.TransformIndexToPhysicalPoint([*index, 0])[:3],
            original.TransformIndexToPhysicalPoint(index),
            atol=1e-3,
        )
    block = SimpleITK.GetArrayFromImage(original) > 500
    found = SimpleITK.GetArrayFromImage(written)[0]
    assert found[block].mean() > 3 * np.nanmean(found[~block])


def test_a_radiograph_keeps_its_spacing_and_claims_no_place(tmp_path: Path) -> None:
    geometry = scan_geometry(FLAT, (40, 30), (0.5, 0.7))
    maps = some_maps(4, 4)
    path = write_map(tmp_path, "abc", maps, LABELS, geometry)
    image = nib.load(path)
    assert image.shape == (30, 40, 1, 3)
    assert image.header.get_zooms()[:2] == pytest.approx((0.7, 0.5))
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (0, 0)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (float(image.header["cal_min"]), float(image.header["cal_max"])) == (0, 1)
    expected = to_scan(maps, geometry)
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, 0].transpose(2, 1, 0), expected)
    assert SimpleITK.ReadImage(str(path)).GetSpacing()[:2] == pytest.approx((0.7, 0.5))


def test_a_plain_picture_is_written_as_npy(tmp_path: Path) -> None:
    geometry = scan_geometry(FLAT, (40, 30), None, (slice(4, 36), slice(0, 30)))
    maps = some_maps(4, 4)
    path = write_map(tmp_path, "abc", maps, LABELS, geometry)
    found = np.load(path)
    assert (path.suffix, found.dtype, found.shape) == (".npy", np.float32, (3, 40, 30))
    np.testing.assert_array_equal(found, to_scan(maps, geometry))
    assert np.isnan(found[:, :4]).all()
    beside = json.loads((tmp_path / "abc.json").read_text())
    assert beside["labels"] == LABELS
    assert beside["units"] == "probability"
    assert beside["axes"] == ["class", "height", "width"]
    assert beside["grid"] == [4, 4]
    assert beside["scan_id"] == "abc"
    assert beside["spacing_mm"] is None


def test_a_volume_without_geometry_as_npy_and_as_nifti(tmp_path: Path) -> None:
    geometry = scan_geometry(DEEP, (9, 10, 11), None)
    maps = some_maps(3, 3, 3)
    assert write_map(tmp_path, "abc", maps, LABELS, geometry).name == "abc.npy"
    path = write_map(tmp_path, "abc", maps, LABELS, geometry, kind="nifti")
    assert path.name == "abc.nii.gz"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["abc.json", "abc.nii.gz"]
    image = nib.load(path)
    assert image.header.get_xyzt_units()[0] == "unknown"
    np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(3, 2, 1, 0), to_scan(maps, geometry))


def test_the_kind_and_the_units_can_be_chosen(tmp_path: Path) -> None:
    geometry = scan_geometry(FLAT, (40, 30), (1.0, 1.0))
    path = write_map(tmp_path, "abc", some_maps(4, 4), LABELS, geometry, kind="npy", units="logit")
    assert path.name == "abc.npy"
    assert json.loads((tmp_path / "abc.json").read_text())["units"] == "logit"
    with pytest.raises(SettingsError, match="auto, nifti or npy"):
        write_map(tmp_path, "abc", some_maps(4, 4), LABELS, geometry, kind="png")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="3 maps for 2 labels"):
        write_map(tmp_path, "abc", some_maps(4, 4), LABELS[:2], geometry)


def test_no_identifier_is_written(tmp_path: Path) -> None:
    import gzip

    source = nib.Nifti1Image(lit((14, 17, 11)), np.diag([2.0, 2, 2, 1]))
    source.header["descrip"], source.header["db_name"] = b"Doe^Jane", b"19610102"
    nib.save(source, tmp_path / "Doe.nii")
    scan = read_scan(tmp_path, "Doe.nii", dims=3, max_pixels=10_000)
    path = write_map(tmp_path / "out", "abc", some_maps(2, 2, 2), LABELS, geometry_of(scan, DEEP))
    for content in (
        path.read_bytes(),
        gzip.decompress(path.read_bytes()),
        (tmp_path / "out/abc.json").read_bytes(),
    ):
        assert not any(one in content for one in IDENTIFIERS)


def test_the_same_maps_give_the_same_bytes(tmp_path: Path) -> None:
    geometry = scan_geometry(FLAT, (40, 30), (0.5, 0.7))
    first = write_map(tmp_path / "1", "abc", some_maps(4, 4), LABELS, geometry)
    second = write_map(tmp_path / "2", "abc", some_maps(4, 4), LABELS, geometry)
    assert first.read_bytes() == second.read_bytes()


def geometries(scan_id: str) -> ScanGeometry:
    if scan_id == "gone":
        raise UnreadableScan("scans/gone.png", "absent")
    return scan_geometry(FLAT, (40, 30), (0.5, 0.7) if scan_id == "placed" else None)


def test_a_second_run_writes_only_what_is_missing_or_different(tmp_path: Path) -> None:
    ids = ["placed", "gone", "plain"]
    maps = np.stack([some_maps(4, 4, seed=seed) for seed in range(3)])
    first = export_maps(tmp_path, ids, maps, LABELS, geometries)
    assert first.files == {"placed": "placed.nii.gz", "plain": "plain.npy"}
    assert (first.kept, first.failed) == (0, {"gone": "absent"})
    assert export_maps(tmp_path, ids, maps, LABELS, geometries).kept == 2
    # Broken off after the maps: without its description a file is not believed.
    (tmp_path / "plain.json").unlink()
    assert export_maps(tmp_path, ids, maps, LABELS, geometries).kept == 1
    changed = maps.copy()
    changed[0, 0, 0, 0] += 0.01
    assert export_maps(tmp_path, ids, changed, LABELS, geometries).kept == 1
    np.testing.assert_array_equal(np.load(tmp_path / "plain.npy"), to_scan(maps[2], geometries("plain")))
    assert export_maps(tmp_path, ids, changed, ["a", "b", "c"], geometries).kept == 0
    assert not list(tmp_path.glob(".*"))


def test_another_crop_is_another_map(tmp_path: Path) -> None:
    maps = some_maps(4, 4)
    whole = scan_geometry(FLAT, (40, 30), None)
    before = write_map(tmp_path, "abc", maps, LABELS, whole).read_bytes()
    cropped = replace(scan_geometry(FLAT, (40, 30), None, (slice(2, 38), slice(3, 30))))
    assert write_map(tmp_path, "abc", maps, LABELS, cropped).read_bytes() != before


def test_another_number_of_scans_than_maps(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="1 scans for 2"):
        export_maps(tmp_path, ["a", "b"], some_maps(4, 4)[None], LABELS, geometries)


def test_maps_that_cannot_be_written(tmp_path: Path) -> None:
    geometry = scan_geometry(FLAT, (40, 30), None)
    with pytest.raises(SettingsError, match="2 axes"):
        write_map(tmp_path, "abc", some_maps(4, 4, 4), LABELS, geometry)
    maps = some_maps(4, 4)
    maps[1, 2, 3] = np.nan
    with pytest.raises(ScanlensError, match="abc hold values that are not finite"):
        write_map(tmp_path, "abc", maps, LABELS, geometry)
    assert not list(tmp_path.iterdir())


def test_a_map_of_one_place_is_the_same_everywhere(tmp_path: Path) -> None:
    geometry = scan_geometry(FLAT, (40, 30), None)
    path = write_map(tmp_path, "abc", some_maps(1, 1), LABELS, geometry)
    for found, value in zip(np.load(path), some_maps(1, 1).ravel(), strict=True):
        assert (found == value).all()
