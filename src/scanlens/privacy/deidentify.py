"""What of a file's header may leave memory: names of elements and keyed hashes, never what identifies.

The elements of the DICOM PS3.15 Basic Application Level Confidentiality Profile (Table E.1-1) leave here as a
keyed hash, generalised where the exact value would be one patient's alone, or as the bare fact that they are
there. Numbers that say how a scan was acquired, which that profile keeps, leave as rounded numbers.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import math
import re
from collections.abc import Mapping
from typing import Literal

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.valuerep import DA, TM

_HASH_DIGITS = 12
_SIGNIFICANT = 3  # digits of an acquisition value: its kind of exposure, not this one exposure
_UNKNOWN_DATE = datetime.date(1900, 1, 1)  # written by many systems where the date is not known
_PIXEL_GROUP = 0x0028
_TAG = re.compile(r"\(([0-9a-fA-F]{4}),([0-9a-fA-F]{4})\)")

Kept = Literal["no", "presence", "year", "decade", "number", "hash"]

ACQUISITION_NUMBERS = frozenset(
    {
        "KVP", "XRayTubeCurrent", "XRayTubeCurrentInuA", "Exposure", "ExposureInuAs", "ExposureTime",
        "ExposureTimeInuS", "ExposureTimeInms", "ExposureIndex", "TargetExposureIndex", "DeviationIndex",
        "RelativeXRayExposure", "Sensitivity", "EntranceDose", "EntranceDoseInmGy",
        "ImageAndFluoroscopyAreaDoseProduct", "DistanceSourceToDetector", "DistanceSourceToPatient",
        "DistanceSourceToEntrance", "EstimatedRadiographicMagnificationFactor", "FocalSpots",
        "BodyPartThickness", "CompressionForce", "PositionerPrimaryAngle", "PositionerSecondaryAngle",
        "SliceThickness", "SpacingBetweenSlices", "DataCollectionDiameter", "ReconstructionDiameter",
        "GantryDetectorTilt", "TableHeight", "TableSpeed", "SpiralPitchFactor", "SingleCollimationWidth",
        "TotalCollimationWidth", "RevolutionTime", "CTDIvol", "EchoTime", "RepetitionTime",
        "InversionTime", "FlipAngle", "EchoTrainLength", "EchoNumbers", "NumberOfAverages",
        "NumberOfPhaseEncodingSteps", "MagneticFieldStrength", "ImagingFrequency", "PixelBandwidth",
        "PercentSampling", "PercentPhaseFieldOfView", "DiffusionBValue", "SAR", "dBdt",
        "ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastFlowRate", "MechanicalIndex",
        "BoneThermalIndex", "SoftTissueThermalIndex", "DepthOfScanField", "RescaleSlope",
        "RescaleIntercept", "PixelSpacing", "ImagerPixelSpacing",
    }
)  # fmt: skip
"""Numbers by which scans of two sites or two protocols differ. None is in PS3.15 Table E.1-1."""
_PIXEL_KEPT = frozenset(
    {
        "BurnedInAnnotation", "LossyImageCompression", "LossyImageCompressionMethod", "RescaleType",
        "VOILUTFunction", "PixelIntensityRelationship", "PixelSpacingCalibrationType",
        "QualityControlImage", "RescaleSlope", "RescaleIntercept", "PixelSpacing",
        "RecognizableVisualFeatures", "PartialView",
    }
)  # fmt: skip
"""Of the group that describes the pixels the few whose value is a choice of the site or the software."""
_CLASS_UIDS = frozenset(
    {"SOPClassUID", "MediaStorageSOPClassUID", "TransferSyntaxUID", "ImplementationClassUID"}
)
_PER_PATIENT = frozenset(
    {
        "PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName",
        "PatientBirthDate", "PatientMotherBirthName", "PatientAddress", "PatientTelephoneNumbers",
        "MedicalRecordLocator", "AccessionNumber", "StudyID", "AdmissionID", "PatientSize",
        "PatientWeight", "RequestedProcedureID", "FillerOrderNumberImagingServiceRequest",
        "PlacerOrderNumberImagingServiceRequest",
    }
)  # fmt: skip
_PER_IMAGE = frozenset(
    {
        "InstanceNumber", "AcquisitionNumber", "SeriesNumber", "ImageIndex", "ImagePositionPatient",
        "ImageOrientationPatient", "SliceLocation", "ImagePosition", "TemporalPositionIndex",
        "TriggerTime", "FrameReferenceTime", "FrameTime", "ImagesInAcquisition", "InstanceCreationDate",
        "StackID", "InStackPositionNumber", "NumberOfFrames", "TemporalPositionIdentifier",
        "NumberOfTemporalPositions",
    }
)  # fmt: skip
_WITHOUT_TEXT = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "AT"})


def header_tags(header: Mapping[str, str], key: bytes) -> dict[str, str]:
    """Return what a header says in a form that compares scans and names nobody.

    What becomes of an element, by its name in DICOM's dictionary (:func:`kept`):

    * ``number``: acquisition numbers (:data:`ACQUISITION_NUMBERS`) to three significant digits, e.g. ``120``.
    * ``year``, ``decade``: dates and the patient's age are cut to these and then hashed, so that a period
      or an age group which gives a label away is seen.
    * ``presence``: names, identifiers, UIDs, times, positions and sequences differ in every patient or
      image; the same hash in every scan says that the element is there and filled.
    * ``hash``: everything else, private elements too.
    * ``no``: pixels, and what describes their layout (the manifest has it), binary values, and names
      that are neither a standard keyword nor ``(gggg,eeee)``.

    A hash is ``h`` and the first 12 hex digits of HMAC-SHA256(key, name, value): equal values are equal
    under one name only, nobody without the key can try values, and none looks like a number.

    Args:
        header: Text by keyword or ``(gggg,eeee)``, as in :attr:`scanlens.types.Scan.header`.
        key: The pseudonym key.

    Returns:
        Name of the element to hash or number; empty elements are left out.
    """
    tags = {}
    for name, value in header.items():
        how = kept(name)
        shown = _shown(how, name, value.strip(), key) if how != "no" else ""
        if shown:
            tags[name] = shown
    return tags


def kept(name: str) -> Kept:
    """Return what :func:`header_tags` keeps of the element of this keyword or ``(gggg,eeee)``.

    An element in a sequence (``Sequence.Keyword``) is treated as its keyword is anywhere. Of items after the
    first nothing is kept: they say it again.
    """
    *sequences, name = name.split(".")
    if not all(tag_for_keyword(one) or _TAG.fullmatch(one) for one in sequences):
        return "no"
    tag = tag_for_keyword(name)
    if tag is None:
        return "hash" if _TAG.fullmatch(name) else "no"
    if name in ACQUISITION_NUMBERS:
        return "number"
    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    if not _WITHOUT_TEXT.isdisjoint(vr.split(" or ")) or (
        tag >> 16 == _PIXEL_GROUP and name not in _PIXEL_KEPT
    ):
        return "no"
    if name in _PER_PATIENT or name in _PER_IMAGE or vr in ("PN", "TM", "DT", "SQ"):
        return "presence"
    if vr == "UI":
        return "hash" if name in _CLASS_UIDS else "presence"
    return {"DA": "year", "AS": "decade"}.get(vr, "hash")  # type: ignore[return-value]


def _shown(how: Kept, name: str, value: str, key: bytes) -> str:
    if not value:
        return ""
    if how == "number" and (number := _number(value)):
        return number
    if how == "presence":
        return _hash(key, name, "")
    if how == "year":
        value = value[:4]
    elif how == "decade":
        value = _decade(value)
    return _hash(key, name, value)


def _hash(key: bytes, name: str, value: str) -> str:
    message = f"{name}\0{value}".encode("utf-8", "surrogatepass")
    return "h" + hmac.new(key, message, hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def _number(value: str) -> str:
    """Write a number to three significant digits; empty where it is none, or several."""
    try:
        numbers = {float(part) for part in value.split("\\")}
    except ValueError:
        return ""
    one = numbers.pop()
    if numbers or not math.isfinite(one):
        return ""
    return f"{float(f'{one:.{_SIGNIFICANT - 1}e}'):g}"


def _decade(age: str) -> str:
    """Return the decade of a DICOM age string such as ``067Y`` or ``018M``; those of 80 and over are one."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", age)
    if not match:
        return ""
    return str(min(int(match[1]) // 10, 8)) if match[2] == "Y" else "0"


def acquisition_date(header: Mapping[str, str]) -> str:
    """Return when a scan was acquired as text that sorts by time. An identifier: for the memory only.

    AcquisitionDateTime, else the date and time of acquisition, content, series or study; the first that is
    a date. Time zones do not count, and a time that is not given is midnight.

    Args:
        header: Text by keyword.

    Returns:
        ``YYYYMMDDHHMMSS.ffffff``, or an empty string where nothing usable is given: no date, a malformed
        one, or a place-holder of 1900-01-01 and before.
    """
    moment = _moment(header.get("AcquisitionDateTime", ""))
    if moment:
        return moment
    for event in ("Acquisition", "Content", "Series", "Study"):
        date = _date(header.get(f"{event}Date", ""))
        if date:
            return f"{date}{_time(header.get(f'{event}Time', ''))}"
    return ""


def _moment(value: str) -> str:
    text = re.sub(r"[+-]\d{4}$", "", _first(value))
    date = _date(text[:8])
    return f"{date}{_time(text[8:])}" if date else ""


def _date(value: str) -> str:
    try:
        date = DA(_first(value))
    except ValueError:
        return ""
    return "" if date is None or date <= _UNKNOWN_DATE else date.strftime("%Y%m%d").zfill(8)


def _time(value: str) -> str:
    try:
        time = TM(_first(value).replace(":", ""))
    except ValueError:
        time = None
    return (time or datetime.time()).strftime("%H%M%S.%f")


def _first(value: str) -> str:
    return value.split("\\")[0].strip()
