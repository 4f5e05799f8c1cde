"""One row of the listing, examined: what is written down of a scan, and what is not."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from scanlens.manifest.columns import COLUMNS
from scanlens.manifest.examine import Examiner
from tests.helpers.tiny import checks

ROW = {"path": "a.dcm", "label": "ill", "patient": "", "site": "n", "mask": "", "problem": ""}


def examiner(root: Path, **changes: Any) -> Examiner:
    settings = {"kind": "table", "dims": 2, "checks": checks(), "burned_in": "flag", "header_patients": True}
    return Examiner(root, **{**settings, "key": b"k" * 32, **changes})  # type: ignore[arg-type]


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    """A DICOM file of noise whose header names a patient."""
    scan = Dataset()
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.SOPClassUID, scan.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    scan.PatientID, scan.PatientName, scan.PatientBirthDate = "HN-4711", "Doe^Jane", "19500102"
    scan.StudyDate, scan.Modality, scan.KVP = "20200304", "DX", "120"
    scan.Rows, scan.Columns, scan.BitsAllocated, scan.BitsStored, scan.HighBit = 20, 24, 8, 8, 7
    scan.SamplesPerPixel, scan.PixelRepresentation, scan.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    scan.PixelData = np.random.default_rng(0).integers(0, 255, (20, 24), dtype=np.uint8).tobytes()
    scan.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    return tmp_path


def test_a_scan_is_described(dicom: Path) -> None:
    found = examiner(dicom)(ROW)
    assert set(found.facts) == set(COLUMNS)
    assert (found.facts["status"], found.facts["shape"], found.facts["modality"]) == ("ok", [20, 24], "DX")
    assert found.facts["patient"].startswith("p")
    assert found.header_patient
    assert found.date.startswith("2020")
    assert "KVP" in found.tags
    assert found.thumbnail is not None
    assert found.thumbnail.shape == (64, 64)


def test_no_identifier_is_among_what_may_be_written(dicom: Path) -> None:
    found = examiner(dicom)(ROW)
    told = repr((found.facts, found.tags)) + repr(found) + repr(examiner(dicom))
    for secret in ("4711", "Doe", "Jane", "19500102", "20200304", "kkkk"):
        assert secret not in told


def test_the_listing_names_the_patient_first(dicom: Path) -> None:
    found = examiner(dicom)({**ROW, "patient": "p1"})
    assert (found.facts["patient"], found.header_patient) == ("p1", False)


def test_the_header_is_not_asked_where_no_patients_are_wanted(dicom: Path) -> None:
    found = examiner(dicom, header_patients=False)(ROW)
    assert (found.facts["patient"], found.header_patient) == ("", False)


def test_a_name_in_the_path_is_seen(dicom: Path) -> None:
    (dicom / "a.dcm").rename(dicom / "DOE_JANE.dcm")
    assert examiner(dicom)({**ROW, "path": "DOE_JANE.dcm"}).named_in_path


def test_copies_in_another_container_have_one_pixel_hash(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (20, 24), dtype=np.uint8)
    for name in ("a.png", "b.bmp"):
        cv2.imwrite(str(tmp_path / name), picture)
    first, second = (examiner(tmp_path)({**ROW, "path": name}).facts for name in ("a.png", "b.bmp"))
    assert first["sha256"] != second["sha256"]
    assert first["pixel_sha256"] == second["pixel_sha256"] != ""


def test_a_problem_of_the_listing_is_not_opened(tmp_path: Path) -> None:
    found = examiner(tmp_path)({**ROW, "problem": "no label"})
    assert (found.facts["status"], found.facts["sha256"]) == ("no label", "")


def test_an_unreadable_file_is_a_status(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("<html>")
    found = examiner(tmp_path)(ROW)
    assert found.facts["status"] not in ("ok", "")
    assert found.thumbnail is None


def test_burned_in_text_is_flagged_or_quarantined(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(60, 90, (256, 256), dtype=np.uint8)
    cv2.putText(picture, "MILLER ANN 1950", (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    row = {**ROW, "path": "a.png"}
    flagged = examiner(tmp_path)(row).facts
    assert (flagged["burned_in"], flagged["status"]) == ("detected", "ok")
    refused = examiner(tmp_path, burned_in="quarantine")(row).facts
    assert refused["status"] == "burned-in text: detected"


def test_an_examiner_travels_to_workers(dicom: Path) -> None:
    copy = pickle.loads(pickle.dumps(examiner(dicom)))
    assert copy(ROW).facts == examiner(dicom)(ROW).facts
