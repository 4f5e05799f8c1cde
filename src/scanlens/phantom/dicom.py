"""Phantom images as DICOM files: Digital X-Ray (DX) for presentation and Computed Radiography (CR).

Attributes follow the modules of PS3.3 A.26 (DX) and A.2 (CR). Everything is a function of its arguments:
the same header and image give the same bytes. All names, dates and numbers are invented.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from scanlens.phantom.arithmetic import uniform
from scanlens.phantom.exposure import SITES
from scanlens.types import FloatArray

_GIVEN = (
    "Ada",
    "Bela",
    "Cleo",
    "Dara",
    "Enno",
    "Fritzi",
    "Gero",
    "Hanno",
    "Ilka",
    "Jonna",
    "Kersti",
    "Levin",
)
_FAMILY = ("Wax", "Plaster", "Acrylic", "Resin", "Lucite", "Cork", "Balsa", "Nylon", "Gypsum", "Latex")
_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless)
_SYNTAX_SHARES = (0.55, 0.25, 0.2)
_BITS = {"DX": (12, 14, 16), "CR": (12, 14, 15)}
_MONOCHROME1_SHARE = {"DX": 0.25, "CR": 0.5}
_VIEWS = {"DX": ("PA", "PA", "AP"), "CR": ("PA", "AP", "AP")}
_MANUFACTURERS = {"north": "Phantom Imaging", "south": "Plexi Systems"}


@dataclass(frozen=True)
class Person:
    """The invented patient of a file.

    Attributes:
        identifier: Patient ID, e.g. ``PHANTOM-0001``.
        name: DICOM person name, ``Family^Given``.
        sex: ``F`` or ``M``.
        birth: Date of birth.
    """

    identifier: str
    name: str
    sex: str
    birth: datetime.date


@dataclass(frozen=True)
class Header:
    """How one scan is stored.

    Attributes:
        modality: ``DX`` or ``CR``.
        photometric: ``MONOCHROME1`` (low values bright) or ``MONOCHROME2``.
        bits: Bits stored, 12 to 16.
        low: Stored value of brightness 0, as a share of the range of ``bits``.
        high: Stored value of brightness 1, likewise.
        view: View position, ``PA`` or ``AP``.
        magnification: Detector spacing over patient spacing.
        calibrated: Whether PixelSpacing is given beside ImagerPixelSpacing.
        syntax: Transfer syntax UID.
        when: Time of the exposure.
        kilovolts: Tube voltage.
    """

    modality: str
    photometric: str
    bits: int
    low: float
    high: float
    view: str
    magnification: float
    calibrated: bool
    syntax: str
    when: datetime.datetime
    kilovolts: int


def draw_person(rng: np.random.Generator, number: int, sex: str) -> Person:
    """Draw the invented identity of the patient with this number."""
    name = f"{rng.choice(_FAMILY)}^{rng.choice(_GIVEN)}"
    birth = datetime.date(1935, 1, 1) + datetime.timedelta(days=int(rng.integers(365 * 65)))
    return Person(f"PHANTOM-{number:04d}", name, sex, birth)


def draw_header(rng: np.random.Generator, site: str) -> Header:
    """Draw how a scan made at ``site`` is stored."""
    modality = "DX" if rng.random() < SITES[site].dx_share else "CR"
    view = str(rng.choice(_VIEWS[modality]))
    when = datetime.datetime(2021, 1, 4, 7) + datetime.timedelta(
        days=int(rng.integers(1400)), seconds=int(rng.integers(11 * 3600))
    )
    return Header(
        modality=modality,
        photometric="MONOCHROME1" if rng.random() < _MONOCHROME1_SHARE[modality] else "MONOCHROME2",
        bits=int(rng.choice(_BITS[modality])),
        low=float(uniform(rng, 0.0, 0.12)),
        high=float(uniform(rng, 0.8, 1.0)),
        view=view,
        # The heart is farther from the detector when the beam enters from the front.
        magnification=float(uniform(rng, 1.04, 1.1) if view == "PA" else uniform(rng, 1.1, 1.2)),
        calibrated=bool(rng.random() < 0.7),
        syntax=str(rng.choice(_SYNTAXES, p=_SYNTAX_SHARES)),
        when=when,
        kilovolts=int(rng.integers(100, 131)) if view == "PA" else int(rng.integers(80, 101)),
    )


def stored_values(image: FloatArray, header: Header) -> npt.NDArray[np.uint16]:
    """Turn brightness in [0, 1] ``(height, width)`` into the file's numbers, MONOCHROME1 inverted."""
    top = (1 << header.bits) - 1
    values = np.round((header.low + (header.high - header.low) * np.clip(image, 0, 1)) * top).astype(
        np.uint16
    )
    return np.asarray(top - values if header.photometric == "MONOCHROME1" else values, dtype=np.uint16)


def phantom_dataset(
    image: FloatArray, spacing: float, header: Header, person: Person, site: str, entropy: str
) -> FileDataset:
    """Build the DICOM object of one scan.

    Args:
        image: Brightness in [0, 1], ``(height, width)``.
        spacing: Millimetres a pixel in the patient's plane.
        header: How to store it.
        person: The patient.
        site: A key of :data:`scanlens.phantom.exposure.SITES`.
        entropy: What the UIDs are made of; different for every scan of a data set.
    """
    uid_class = (
        DigitalXRayImageStorageForPresentation if header.modality == "DX" else ComputedRadiographyImageStorage
    )
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = uid_class
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[entropy, "instance"])
    # RLE is applied to explicit little endian values just before writing.
    compressed = header.syntax == RLELossless
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if compressed else UID(header.syntax)
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["scanlens", "phantom"])
    meta.ImplementationVersionName = "SCANLENS_PHANTOM"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = uid_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _add_patient_and_study(dataset, header, person, entropy)
    _add_equipment(dataset, header, site)
    _add_geometry(dataset, spacing, header)
    _add_image(dataset, image, header)
    if header.modality == "DX":
        _add_dx(dataset, header)
    if compressed:
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return dataset


def write_dataset(dataset: FileDataset, path: Path) -> None:
    """Write a DICOM object under a temporary name, then rename it to ``path``."""
    partial = path.with_name(path.name + ".part")
    dataset.save_as(partial, enforce_file_format=True)
    partial.replace(path)


def _add_patient_and_study(dataset: Dataset, header: Header, person: Person, entropy: str) -> None:
    date, time = header.when.strftime("%Y%m%d"), header.when.strftime("%H%M%S")
    dataset.PatientName = person.name
    dataset.PatientID = person.identifier
    dataset.PatientBirthDate = person.birth.strftime("%Y%m%d")
    dataset.PatientSex = person.sex
    dataset.PatientAge = f"{(header.when.date() - person.birth).days // 365:03d}Y"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[entropy, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[entropy, "series"])
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = date
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = time
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.StudyDescription = "Phantom chest radiograph"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    dataset.Modality = header.modality


def _add_equipment(dataset: Dataset, header: Header, site: str) -> None:
    dataset.Manufacturer = _MANUFACTURERS[site]
    dataset.ManufacturerModelName = f"{header.modality}-1"
    dataset.InstitutionName = SITES[site].institution
    dataset.KVP = header.kilovolts
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = header.view
    dataset.PatientOrientation = ["L", "F"]


def _add_geometry(dataset: Dataset, spacing: float, header: Header) -> None:
    detector = round(spacing * header.magnification, 5)
    dataset.ImagerPixelSpacing = [detector, detector]
    if header.calibrated:
        dataset.PixelSpacing = [round(spacing, 5)] * 2
        dataset.PixelSpacingCalibrationType = "GEOMETRY"
        dataset.PixelSpacingCalibrationDescription = "Divided by the estimated magnification"


def _add_image(dataset: Dataset, image: FloatArray, header: Header) -> None:
    values = stored_values(image, header)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = header.photometric
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = header.bits
    dataset.HighBit = header.bits - 1
    dataset.PixelRepresentation = 0
    top = (1 << header.bits) - 1
    middle = round(top * (header.low + header.high) / 2)
    dataset.WindowCenter = top - middle if header.photometric == "MONOCHROME1" else middle
    dataset.WindowWidth = max(1, round(top * (header.high - header.low)))
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.RescaleType = "US"
    dataset.LossyImageCompression = "00"
    # The attribute is about text that identifies the patient; a side marker does not.
    dataset.BurnedInAnnotation = "NO"
    dataset.PixelData = values.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"


def _add_dx(dataset: Dataset, header: Header) -> None:
    inverted = header.photometric == "MONOCHROME1"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if inverted else -1
    dataset.EstimatedRadiographicMagnificationFactor = round(header.magnification, 4)
    dataset.DetectorType = "SCINTILLATOR"
    dataset.PositionerType = "NONE"
    dataset.ImageLaterality = "U"
    dataset.AcquisitionContextSequence = Sequence([])
    region = Dataset()
    region.CodeValue = "51185008"
    region.CodingSchemeDesignator = "SCT"
    region.CodeMeaning = "Chest"
    dataset.AnatomicRegionSequence = Sequence([region])
    projection = Dataset()
    front = header.view == "AP"
    projection.CodeValue = "399348003" if front else "272479007"
    projection.CodingSchemeDesignator = "SCT"
    projection.CodeMeaning = "antero-posterior" if front else "postero-anterior"
    dataset.ViewCodeSequence = Sequence([projection])
