"""What kind of object a DICOM file holds, by its SOP class: many a file beside a scan is none."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset
from pydicom.uid import UID

from scanlens.sources.readers.dicom_values import modality, text, whole_number

# In the names that the standard gives its storage classes (PS3.6 A): objects about scans, measurements and
# documents. Images, parametric maps and secondary captures are not among them.
_NO_SCANS = re.compile(
    r"\b(Annotations?|Contour|Dose|Encapsulated|Fiducials|Key Object|Log|Measurements|Plan|"
    r"Presentation State|Protocol|Raw Data|Real World Value|Record|Registration|Report|SR|Segment|"
    r"Segmentation|Structure Set|Surface Mesh|Tractography|Waveform)\b"
)
_TILES = re.compile(r"\b(Whole Slide|Tiled)\b")
_NO_IMAGES = {
    *("ANN", "AU", "DOC", "ECG", "KO", "PLAN", "PR", "REG"),
    *("RTDOSE", "RTPLAN", "RTRECORD", "RTSTRUCT", "SEG", "SR"),
}
KIND_KEYWORDS = ("SOPClassUID", "Modality")
"""The elements that :func:`no_scan` asks for."""


def no_scan(dataset: Dataset) -> str:
    """Name what a file holds where that is no scan: dose, segmentation, presentation state, report...

    The SOP class decides; where a file names none, its modality.

    Returns:
        The class's name in the standard (or the modality), or an empty string where it may be a scan.
    """
    kind = text(dataset, "SOPClassUID") or text(
        getattr(dataset, "file_meta", Dataset()), "MediaStorageSOPClassUID"
    )
    if kind:
        name = UID(kind).name
        return name if name != kind and _NO_SCANS.search(name) else ""
    code = modality(dataset)
    return f"modality {code}" if code in _NO_IMAGES else ""


def is_tiled(dataset: Dataset, frames: int) -> bool:
    """Tell whether frames are tiles of one larger picture, as whole-slide images are stored."""
    sides = (("TotalPixelMatrixRows", "Rows"), ("TotalPixelMatrixColumns", "Columns"))
    if any((whole_number(dataset, all_) or 0) > (whole_number(dataset, tile) or 0) for all_, tile in sides):
        return True
    return frames > 1 and bool(_TILES.search(UID(text(dataset, "SOPClassUID")).name))
