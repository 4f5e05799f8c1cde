"""Dose, segmentations, presentation states, reports and tiles are told apart by SOP class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from scanlens.errors import UnreadableScan
from scanlens.sources.read import read_scan
from scanlens.types import Scan
from tests.helpers.dicom import STORED, dataset, save

FRAMES = np.arange(4 * 5 * 7, dtype=np.uint16).reshape(4, 5, 7)


def read(path: Path, dims: int, mask: bool = False) -> Scan:
    return read_scan(path.parent, path.name, dims=dims, max_pixels=10**6, mask=mask)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (uid.RTDoseStorage, "RT Dose"),
        (uid.SegmentationStorage, "Segmentation"),
        (uid.GrayscaleSoftcopyPresentationStateStorage, "Grayscale Softcopy Presentation State"),
        (uid.RTStructureSetStorage, "RT Structure Set"),
        (uid.ComprehensiveSRStorage, "Comprehensive SR"),
        (uid.EncapsulatedPDFStorage, "Encapsulated PDF"),
    ],
)
@pytest.mark.parametrize("dims", [2, 3])
def test_what_is_no_scan_is_refused_by_name(tmp_path: Path, kind: str, name: str, dims: int) -> None:
    for stored in (STORED, FRAMES):
        path = save(tmp_path, dataset(stored, SOPClassUID=kind))
        with pytest.raises(UnreadableScan, match=f"not a scan: {name} Storage"):
            read(path, dims)


def test_without_a_class_the_modality_decides(tmp_path: Path) -> None:
    made = dataset(FRAMES, SOPClassUID=None, Modality="SEG")
    del made.file_meta.MediaStorageSOPClassUID
    made.save_as(tmp_path / "a.dcm", enforce_file_format=False)
    with pytest.raises(UnreadableScan, match="not a scan: modality SEG"):
        read(tmp_path / "a.dcm", 3)


@pytest.mark.parametrize(
    "kind",
    [
        uid.ParametricMapStorage,
        uid.RTImageStorage,
        uid.SecondaryCaptureImageStorage,
        "1.2.3.4",
        uid.CTImageStorage,
    ],
)
def test_images_of_every_kind_are_scans(tmp_path: Path, kind: str) -> None:
    scan = read(save(tmp_path, dataset(SOPClassUID=kind)), 2)
    np.testing.assert_array_equal(scan.pixels[0], STORED)


def test_a_segmentation_is_a_mask(tmp_path: Path) -> None:
    path = save(tmp_path, dataset(FRAMES, SOPClassUID=uid.SegmentationStorage, Modality="SEG"))
    np.testing.assert_array_equal(read(path, 3, mask=True).pixels[0], FRAMES)


@pytest.mark.parametrize(
    "tags",
    [
        {"SOPClassUID": uid.VLWholeSlideMicroscopyImageStorage},
        {"TotalPixelMatrixRows": 10, "TotalPixelMatrixColumns": 14},
    ],
)
def test_one_tile_never_stands_for_the_slide(tmp_path: Path, tags: dict[str, object]) -> None:
    path = save(tmp_path, dataset(FRAMES, **tags))
    for dims in (2, 3):
        with pytest.raises(UnreadableScan, match="not a scan: 4 tiles of a whole-slide image"):
            read(path, dims)
    named = read_scan(tmp_path, "a.dcm#frame/3", dims=2, max_pixels=10**6)
    np.testing.assert_array_equal(named.pixels[0], FRAMES[3])
