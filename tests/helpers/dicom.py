"""Tiny DICOM files whose pixels and places are known."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

STORED = (np.arange(5 * 7, dtype=np.uint16) * 100).reshape(5, 7)
SERIES = "1.2.826.0.1.3680043.8.498.1"


def dataset(stored: np.ndarray = STORED, syntax: str = ExplicitVRLittleEndian, **tags: object) -> FileDataset:
    """A 12-bit grey image; keywords set or (None) delete elements."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    little = syntax != ExplicitVRBigEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128), is_little_endian=little)
    values = {
        "SOPClassUID": SecondaryCaptureImageStorage,
        "SOPInstanceUID": "1.2.3",
        "PatientID": "Doe-17 ",
        "Modality": "CR",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
    if stored.ndim == 3:
        values["NumberOfFrames"] = len(stored)
    for keyword, value in (values | tags).items():
        if value is not None:
            setattr(made, keyword, value)
    made.add_new("PixelData", "OW", stored.tobytes())
    return made


def save(folder: Path, made: Dataset, name: str = "a.dcm") -> Path:
    """Write a data set as a file with preamble."""
    made.save_as(folder / name, enforce_file_format=True)
    return folder / name


def item(**tags: object) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return made


def ct_slice(
    stored: np.ndarray, position: Many[float], orientation: Many[float], number: int = 1, **tags: object
) -> FileDataset:
    """A CT slice at a place of the patient; numbers as decimal strings of at most 16 characters."""
    values: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"{SERIES}.{number}",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.9",
        "SeriesInstanceUID": SERIES,
        "Modality": "CT",
        "InstanceNumber": number,
        "SliceThickness": 9,  # of no use for spacing, on purpose
        "PixelSpacing": [2, 3],
        "ImagePositionPatient": [f"{one:.8g}" for one in position],
        "ImageOrientationPatient": [f"{one:.8g}" for one in orientation],
    }
    made = dataset(stored, **(values | tags))
    made.file_meta.MediaStorageSOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def enhanced(
    stored: np.ndarray, positions: Many[Many[float]], orientation: Many[float], **tags: object
) -> FileDataset:
    """An enhanced multi-frame image with a position a frame."""
    shared = item(
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=list(orientation))]),
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[2, 3], SliceThickness=9)]),
    )
    frames = [
        item(PlanePositionSequence=Sequence([item(ImagePositionPatient=list(position))]))
        for position in positions
    ]
    groups = {
        "SharedFunctionalGroupsSequence": Sequence([shared]),
        "PerFrameFunctionalGroupsSequence": Sequence(frames),
    }
    return dataset(stored, Modality="CT", **(groups | tags))
