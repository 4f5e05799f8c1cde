"""One row of the listing, examined: what is written down of a scan, and what is not."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import Dataset, dcmread
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
    for secret in ("HN-4711", "Doe", "Jane", "19500102", "20200304", "kkkk"):
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


def nested(levels: int) -> bytes:
    """An element of ContentSequence whose items hold it again, so many times."""
    tag, item = struct.pack("<HH", 0x0040, 0xA730), b"\xfe\xff\x00\xe0"
    inner = (tag + b"SQ\0\0\xff\xff\xff\xff" + item + b"\xff\xff\xff\xff") * levels
    inner += (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * levels
    content = item + struct.pack("<I", len(inner)) + inner
    return tag + b"SQ\0\0" + struct.pack("<I", len(content)) + content


def test_sequences_in_sequences_stop_nothing(dicom: Path) -> None:
    content = (dicom / "a.dcm").read_bytes()
    at = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    (dicom / "a.dcm").write_bytes(content[:at] + nested(1500) + content[at:])
    found = examiner(dicom)(ROW)
    assert found.facts["status"] == "ok"
    assert found.header_patient


def test_no_header_stops_the_others(dicom: Path) -> None:
    """Bytes of a header altered at random: each scan is examined or has a reason, which quotes nothing."""
    content = (dicom / "a.dcm").read_bytes()
    end, random = content.index(struct.pack("<HH", 0x7FE0, 0x0010)), np.random.default_rng(0)
    accepted = 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in random.integers(132, end, random.integers(1, 6)):
            damaged[place] = random.integers(0, 256)
        (dicom / "a.dcm").write_bytes(damaged)
        facts = examiner(dicom)(ROW).facts
        accepted += facts["status"] == "ok"
        assert not any(secret in facts["status"] for secret in ("4711", "Doe", "Jane", "1950"))
    assert 50 < accepted < 300


def test_a_header_that_cannot_be_told_is_a_status_of_its_type_only(
    dicom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr("scanlens.manifest.examine.acquisition_date", fail)
    found = examiner(dicom)(ROW)
    assert found.facts["status"] == "its header is damaged (ValueError)"
    assert (found.facts["patient"], dict(found.tags), found.date) == ("", {}, "")


@pytest.mark.parametrize("wanted", [True, False])
def test_scans_of_one_study_are_of_one_unknown_patient(dicom: Path, wanted: bool) -> None:
    scan = dcmread(dicom / "a.dcm")
    scan.PatientID = "ANONYMOUS"
    found = []
    for _ in range(10):
        scan.StudyInstanceUID = generate_uid()
        for number in range(6):
            scan.SOPInstanceUID = generate_uid()
            scan.save_as(dicom / f"{number}.dcm", enforce_file_format=True)
            found.append(examiner(dicom, header_patients=wanted)({**ROW, "path": f"{number}.dcm"}))
    patients = [one.facts["patient"] for one in found]
    assert len(set(patients)) == 10
    assert [patients[row] for row in range(60)] == [patients[row // 6 * 6] for row in range(60)]
    assert not any(one.header_patient for one in found)
    assert all(patient.startswith("p") for patient in patients)


def test_the_file_s_own_patient_goes_before_the_study(dicom: Path) -> None:
    scan = dcmread(dicom / "a.dcm")
    before = examiner(dicom)(ROW).facts["patient"]
    scan.StudyInstanceUID = generate_uid()
    scan.save_as(dicom / "a.dcm", enforce_file_format=True)
    assert examiner(dicom)(ROW).facts["patient"] == before


def test_frames_of_one_file_are_of_one_unknown_patient(dicom: Path) -> None:
    scan = dcmread(dicom / "a.dcm")
    scan.PatientID, scan.NumberOfFrames, scan.PixelData = "", 2, scan.PixelData * 2
    patients = []
    for name in ("a.dcm", "b.dcm"):
        scan.save_as(dicom / name, enforce_file_format=True)
        rows = [{**ROW, "path": f"{name}#frame/{frame}"} for frame in (0, 1)]
        patients.append([examiner(dicom)(row).facts["patient"] for row in rows])
    (first, again), (other, _) = patients
    assert first == again != other
    assert first


def test_an_examiner_travels_to_workers(dicom: Path) -> None:
    copy = pickle.loads(pickle.dumps(examiner(dicom)))
    assert copy(ROW).facts == examiner(dicom)(ROW).facts
