"""The way back from a scan's axes to its file's own voxels, against nibabel and SimpleITK."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from scanlens.sources.read import read_scan
from scanlens.sources.readers.axes import as_stored
from scanlens.types import Scan
from tests.helpers.dicom import ct_slice, save

VALUES = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
OBLIQUE = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * [2.0, 3.0, 4.0]


def read(folder: Path, reference: str, dims: int = 3) -> Scan:
    return read_scan(folder, reference, dims=dims, max_pixels=10_000)


def back(scan: Scan) -> np.ndarray:
    assert scan.affine is not None
    return as_stored(scan.pixels[0], scan.orientation, scan.affine)


@pytest.mark.parametrize("stored", ["RAS", "LPS", "SAR", "ASL", "PIR", "IRP"])
def test_nifti_gets_its_own_voxels_and_affine_back(tmp_path: Path, stored: str) -> None:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = OBLIQUE, (-7, 11, 30)
    codes = nib.orientations.axcodes2ornt(stored)
    image = nib.Nifti1Image(VALUES, affine)
    image = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), codes))
    nib.save(image, tmp_path / "a.nii")
    scan = read(tmp_path, "a.nii")
    np.testing.assert_array_equal(back(scan), image.get_fdata())
    np.testing.assert_allclose(scan.affine, image.affine, atol=1e-5)


def test_the_affine_is_in_millimetres(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VALUES, np.diag([2000.0, 3000.0, 4000.0, 1.0]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(read(tmp_path, "a.nii").affine, np.diag([2.0, 3.0, 4.0, 1.0]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_of_one_slice_gets_its_axis_back(tmp_path: Path, axis: int) -> None:
    values = VALUES.take([0], axis)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / "a.nii")
    scan = read(tmp_path, "a.nii", dims=2)
    assert scan.pixels.ndim == 3
    np.testing.assert_array_equal(back(scan), values)


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
@pytest.mark.parametrize("turned", ["LPS", "RAI", "PSR"])
def test_itk_indices_keep_their_place(tmp_path: Path, ending: str, turned: str) -> None:
    image = SimpleITK.GetImageFromArray(VALUES)
    image.SetSpacing((2, 3, 4))
    image.SetOrigin((5, -6, 7))
    image = SimpleITK.DICOMOrient(image, turned)
    SimpleITK.WriteImage(image, tmp_path / f"a.{ending}")
    scan = read(tmp_path, f"a.{ending}")
    np.testing.assert_array_equal(back(scan), SimpleITK.GetArrayFromImage(image).T)
    check_places(scan, image)


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (0.8, 0.6, 0, -0.6, 0.8, 0)]
)
def test_a_series_keeps_its_place(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    normal = np.cross(orientation[:3], orientation[3:])
    for number, plane in enumerate(VALUES.astype(np.uint16)):
        position = np.array([10.0, -20, 30]) + 2.5 * number * normal
        save(tmp_path, ct_slice(plane, position, orientation, number), f"{number}.dcm")
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    scan = read(tmp_path.parent, tmp_path.name)
    np.testing.assert_array_equal(back(scan), SimpleITK.GetArrayFromImage(image).T)
    check_places(scan, image)


def check_places(scan: Scan, image: SimpleITK.Image) -> None:
    """The affine sends indices where SimpleITK sends them, which counts to the left and the posterior."""
    assert scan.affine is not None
    for index in [(0, 0, 0), (1, 2, 1), (2, 1, 2)]:
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((scan.affine @ [*index, 1])[:3], [-x, -y, z], atol=1e-5)


def test_images_without_a_place_have_no_affine(tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VALUES[0]), tmp_path / "a.mha")
    assert read(tmp_path, "a.mha", dims=2).affine is None
