"""The DICOM files: every combination of storage is read back by pydicom with the drawn values."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_voi_lut
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from scanlens.phantom.dicom import (
    Header,
    draw_header,
    draw_person,
    phantom_dataset,
    stored_values,
    write_dataset,
)

HEADER = Header(
    modality="DX",
    photometric="MONOCHROME2",
    bits=14,
    low=0.05,
    high=0.9,
    view="PA",
    magnification=1.06,
    calibrated=True,
    syntax=str(ExplicitVRLittleEndian),
    when=datetime.datetime(2022, 3, 4, 9, 30),
    kilovolts=120,
)
PERSON = draw_person(np.random.default_rng(0), 7, "F")
IMAGE = np.random.default_rng(1).uniform(0, 1, (70, 90)).astype(np.float32)


def _written(path: Path, header: Header) -> pydicom.FileDataset:
    write_dataset(phantom_dataset(IMAGE, 1.2, header, PERSON, "north", "test"), path)
    return pydicom.dcmread(path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("modality", "bits"), [("DX", 16), ("DX", 12), ("CR", 15)])
def test_round_trip(tmp_path: Path, syntax: str, photometric: str, modality: str, bits: int) -> None:
    header = replace(HEADER, syntax=str(syntax), photometric=photometric, modality=modality, bits=bits)
    scan = _written(tmp_path / "a.dcm", header)
    assert scan.file_meta.TransferSyntaxUID == syntax
    assert scan.PhotometricInterpretation == photometric
    assert (scan.BitsStored, scan.HighBit, scan.BitsAllocated) == (bits, bits - 1, 16)
    top = 2**bits - 1
    values = scan.pixel_array.astype(np.float64)
    brightness = top - values if photometric == "MONOCHROME1" else values
    shown = (brightness / top - header.low) / (header.high - header.low)
    np.testing.assert_allclose(shown, IMAGE, atol=1.0 / top / (header.high - header.low))
    # The window that the file suggests spans the image, dark end to bright end.
    window = apply_voi_lut(scan.pixel_array, scan).astype(np.float64)
    seen = window / top if photometric == "MONOCHROME2" else 1 - window / top
    np.testing.assert_allclose(seen, IMAGE, atol=3e-3)


@pytest.mark.parametrize(
    ("modality", "sop_class"),
    [("DX", DigitalXRayImageStorageForPresentation), ("CR", ComputedRadiographyImageStorage)],
)
def test_header(tmp_path: Path, modality: str, sop_class: str) -> None:
    scan = _written(tmp_path / "a.dcm", replace(HEADER, modality=modality))
    assert scan.SOPClassUID == scan.file_meta.MediaStorageSOPClassUID == sop_class
    assert (scan.PatientID, scan.PatientSex, scan.BodyPartExamined) == ("PHANTOM-0007", "F", "CHEST")
    assert (scan.StudyDate, scan.ViewPosition) == ("20220304", "PA")
    assert list(scan.PixelSpacing) == pytest.approx([1.2, 1.2])
    assert list(scan.ImagerPixelSpacing) == pytest.approx([1.2 * 1.06] * 2, abs=1e-4)
    bare = _written(tmp_path / "b.dcm", replace(HEADER, modality=modality, calibrated=False))
    assert "PixelSpacing" not in bare
    assert "ImagerPixelSpacing" in bare


def test_uids_follow_the_entropy() -> None:
    first, again, other = (
        phantom_dataset(IMAGE, 1.2, HEADER, PERSON, "north", text) for text in ("a", "a", "b")
    )
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert first[keyword].value == again[keyword].value != other[keyword].value
        assert first[keyword].value.is_valid


def test_headers_vary() -> None:
    headers = [
        draw_header(np.random.default_rng(seed), site) for seed in range(80) for site in ("north", "south")
    ]
    assert {header.modality for header in headers} == {"DX", "CR"}
    assert {header.photometric for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert {header.bits for header in headers} == {12, 14, 15, 16}
    assert len({header.syntax for header in headers}) == 3
    assert {header.calibrated for header in headers} == {True, False}
    assert {header.view for header in headers} == {"PA", "AP"}


def test_stored_values_fill_no_more_than_their_bits() -> None:
    header = replace(HEADER, low=0.0, high=1.0, bits=12)
    values = stored_values(np.array([[-1.0, 0.0, 1.0, 2.0]], dtype=np.float32), header)
    np.testing.assert_array_equal(values, [[0, 0, 4095, 4095]])
    inverted = stored_values(
        np.array([[0.0, 1.0]], dtype=np.float32), replace(header, photometric="MONOCHROME1")
    )
    np.testing.assert_array_equal(inverted, [[4095, 0]])
