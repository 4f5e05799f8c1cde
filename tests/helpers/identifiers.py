"""DICOM files with an identifier planted in every text field, and a search for identifiers in any file."""

from __future__ import annotations

import gzip
import io
import itertools
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pydicom.datadict import DicomDictionary, RepeatersDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

# Put together here, so that no file of the project holds a whole marker.
_WORD = "ZQX" + "JKV"
_DATE = "2087" + "0312"
_TIME = "031407" + ".159265"
_NUMBER = "7391" + "41"
_ROOT = "1.2.826.0.1.3680043.10." + _NUMBER
_AGE = "09" + "7Y"
_ANYWHERE = re.compile(
    rf"{_WORD}[0-9A-F]{{4}}"
    rf"|{_DATE[:4]}[-./]?{_DATE[4:6]}[-./]?{_DATE[6:]}|{_DATE[6:]}[-./]{_DATE[4:6]}[-./]{_DATE[:4]}"
    rf"|{_TIME}|03:14:07\.159|{_NUMBER}\d{{3}}|{_NUMBER}\.\d".encode(),
    re.IGNORECASE,
)
# Too short to be no accident among compressed bytes.
_IN_TEXT = re.compile(rf"(?<!\w){_AGE}(?!\w)".encode())

SPELLINGS = (
    _DATE,
    f"{_DATE[:4]}-{_DATE[4:6]}-{_DATE[6:]}",
    f"{_DATE[6:]}.{_DATE[4:6]}.{_DATE[:4]}",
    f"{_DATE}{_TIME}",
    f"at 03:14:{_TIME[4:]}",
    f"age {_AGE}",
    f"{_NUMBER}007",
    f"{_ROOT}.7",
)
"""Markers that are no words."""
TEXT = {"PN", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "DA", "TM", "DT", "UI", "AS", "CS", "IS", "DS"}
# What these say about the pixels is needed to decode them.
_NEEDED = {"SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "ImagerPixelSpacing", "Modality"}
_PIXEL_GROUP = 0x0028
_ROWS = 0x00280010
# Elements of PS3.15 Table E.1-1 (2026c) that pydicom's dictionary does not know yet.
_NEWER = (
    *((0x0008, element) for element in (0x1301, 0x1302, 0x1303, 0x1304)),
    *((0x0010, element) for element in (0x0011, 0x0012, 0x0013, 0x0014, 0x0015, 0x0017, 0x0041, 0x0042)),
    *((0x0010, element) for element in (0x0044, 0x0045, 0x0046, 0x0047, 0x2162)),
    *((0x0040, element) for element in (0xA034, 0xA035, 0xB034, 0xB036, 0xB03B, 0xB03F, 0xE022)),
)
SIDE = 48


def word(number: int) -> str:
    """A marker of ten characters, upper case; the number says where it was planted."""
    return f"{_WORD}{number:04X}"


def person(patient: int) -> tuple[str, str]:
    """Patient ID and name of an invented patient, which are markers."""
    return word(0xE000 + patient), f"{word(0xF000 + patient)}^Zoë"


def markers_in(content: bytes | str, *, text: bool = False) -> set[str]:
    """Every marker in some bytes: as ASCII, in any two- or four-byte encoding, and (for text) an age."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    plain = raw.replace(b"\0", b"")
    found = {match.group().decode() for one in (raw, plain) for match in _ANYWHERE.finditer(one)}
    if text or isinstance(content, str):
        found |= {match.group().decode() for match in _IN_TEXT.finditer(raw)}
    return found


def search(folder: Path, *, leave_out: tuple[Path, ...] = ()) -> dict[str, set[str]]:
    """Search every file below a folder, and its name, for markers.

    Parquet, SQLite, gzip, zip (npz, pt) and git objects are looked into, as often as they are nested.

    Returns:
        The markers by relative path, for files that hold any.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(path.is_relative_to(one) for one in leave_out):
            continue
        name = path.relative_to(folder).as_posix()
        hits = markers_in(name) | _markers_of(path.read_bytes(), path)
        if hits:
            found[name] = hits
    return found


def _markers_of(content: bytes, path: Path) -> set[str]:
    is_text = b"\0" not in content[:4096]
    found = markers_in(content, text=is_text)
    for part in _inside(content, path):
        found |= _markers_of(part, path) if isinstance(part, bytes) else markers_in(part)
    return found


def _inside(content: bytes, path: Path) -> Iterator[bytes | str]:
    """What a container holds: bytes of members, text of cells."""
    if content.startswith(b"PAR1"):
        yield _cells(pq.read_table(io.BytesIO(content)).to_pandas())
    elif content.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield "\n".join(database.iterdump())
    elif content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(member) for member in archive.namelist())
            yield "\n".join(archive.namelist())
    elif "objects" in path.parts and content[:1] == b"x":
        yield zlib.decompress(content)


def _cells(table: pd.DataFrame) -> str:
    return "\n".join([*map(str, table.columns), *(str(cell) for column in table for cell in table[column])])


def planted_dataset() -> FileDataset:
    """A data set whose every text element, private ones, file meta and preamble hold a marker; no pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    made = FileDataset("", {}, file_meta=meta, preamble=word(0xDD00).encode().ljust(128, b"."))
    for number, (tag, vr) in enumerate(_dictionary()):
        target = meta if tag >> 16 == 2 else made
        if vr == "SQ":
            target.add(DataElement(tag, vr, Sequence([_item(number)])))
        elif tag not in target:
            target.add(DataElement(tag, vr, _value(vr, number)))
    for tag in _NEWER:
        made.add(DataElement(tag, "LO", word(0xDE00)))
    _add_private(made)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = ComputedRadiographyImageStorage
    made.PhotometricInterpretation, made.SamplesPerPixel = "MONOCHROME2", 1
    made.Rows = made.Columns = SIDE
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.DataSetTrailingPadding = word(0xDF00).encode()
    return made


def fill(made: FileDataset, patient: int, pixels: np.ndarray) -> FileDataset:
    """Make a planted data set the scan of one patient."""
    made.PatientID, made.PatientName = person(patient)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{_ROOT}.{int(pixels.sum())}"
    made.PhotometricInterpretation = "MONOCHROME2"
    # A code that says little where it is one, and a free text where somebody writes what they like.
    made.Modality = "CR" if patient % 2 else word(0xE800)
    made.add_new("PixelData", "OW", pixels.astype("<u2").tobytes())
    return made


def write_planted(
    folder: Path, *, patients: int = 20, scans: int = 2, telling_names: bool = False
) -> list[str]:
    """Write planted files of two classes, damaged ones among them, and their label table ``labels.csv``.

    Args:
        folder: Receives them; the data root.
        patients: How many; the first half is of class ``dark``.
        scans: How many each.
        telling_names: Folders and files bear the patients' names, and the table does not name the patients.

    Returns:
        The paths of the damaged files, relative to the folder.
    """
    rng = np.random.default_rng(11)
    planted = planted_dataset()
    rows = []
    for patient, scan in itertools.product(range(patients), range(scans)):
        identifier, name = person(patient)
        bright = patient >= patients // 2
        path = f"{patient:03d}-{scan}.dcm"
        if telling_names:
            path = f"{name} {_DATE}/{identifier}_{scan}.dcm"
        _write(folder / path, fill(planted, patient, _picture(rng, bright=bright)))
        rows.append([path, "bright" if bright else "dark", identifier, name, f"seen {word(patient)}"])
    bad = _write_damaged(folder, fill(planted, patients, _picture(rng, bright=False)))
    rows += [[path, "dark", word(0xE900), word(0xE901), word(0xE902)] for path in bad]
    table = pd.DataFrame(rows, columns=["path", "label", "patient_id", "name", "comment"])
    table["birth_date"], table["mask"] = _DATE, "mask.png"
    (folder / "mask.png").write_bytes(_damaged_png())
    table.drop(columns="patient_id" if telling_names else []).to_csv(folder / "labels.csv", index=False)
    return bad


def _write_damaged(folder: Path, made: FileDataset) -> list[str]:
    """Files that cannot be read, whose headers are as full of markers as the others'."""
    pixels = made.PixelData
    _write(folder / "bad-cut.dcm", made)
    whole = (folder / "bad-cut.dcm").read_bytes()
    (folder / "bad-cut.dcm").write_bytes(whole[: len(whole) // 2])
    made.PixelData = pixels[:100]
    _write(folder / "bad-short.dcm", made)
    made.PixelData, made.PhotometricInterpretation = pixels, word(0xE911)
    _write(folder / "bad-colour.dcm", made)
    made.PhotometricInterpretation, made[_ROWS] = "MONOCHROME2", DataElement(_ROWS, "LO", word(0xE912))
    _write(folder / "bad-rows.dcm", made)
    made[_ROWS] = DataElement(_ROWS, "US", SIDE)
    made.file_meta.TransferSyntaxUID = f"{_ROOT}.1"
    _write(folder / "bad-syntax.dcm", made)
    (folder / "bad-page.dcm").write_text(f"<html>{person(5)[1]} {word(0xE913)}</html>", encoding="utf-8")
    return sorted(path.name for path in folder.glob("bad-*"))


def _write(path: Path, dataset: FileDataset) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, implicit_vr=False, little_endian=True)


def _dictionary() -> Iterator[tuple[int, str]]:
    """Tag and VR of every standard element that holds text, and of sequences about people."""
    entries = {tag: entry for tag, entry in DicomDictionary.items() if tag >> 16 >= 2}
    entries |= {int(mask.replace("x", "0"), 16): entry for mask, entry in RepeatersDictionary.items()}
    for tag, (vr, _, _, _, keyword) in sorted(entries.items()):
        group = tag >> 16
        about_pixels = group == _PIXEL_GROUP and vr in ("CS", "DS", "IS")
        sequence = vr == "SQ" and group in (0x0008, 0x0010, 0x0032, 0x0038, 0x0040)
        if keyword and (vr in TEXT or sequence) and not about_pixels and keyword not in _NEEDED:
            if group == 2 and (vr == "UI" and keyword != "PrivateInformationCreatorUID"):
                continue
            yield tag, vr


def _value(vr: str, number: int) -> str:
    fixed = {"DA": _DATE, "TM": _TIME, "DT": f"{_DATE}{_TIME}", "AS": _AGE, "UI": f"{_ROOT}.{number}"}
    fixed |= {"IS": f"{_NUMBER}{number % 1000:03d}", "DS": f"{_NUMBER}{number % 1000:03d}"}
    fixed |= {"PN": f"{word(number)}^Given", "UR": f"http://{word(number)}.invalid/"}
    return fixed.get(vr, word(number))


def _item(number: int) -> Dataset:
    item = Dataset()
    item.PatientName, item.PatientID = f"{word(number)}^Nested", word(number)
    item.TextValue, item.Date, item.UID = word(number), _DATE, f"{_ROOT}.{number}"
    return item


def _add_private(made: Dataset) -> None:
    for group in (0x0009, 0x0029, 0x7FE1):
        block = made.private_block(group, word(0xDC00), create=True)
        for offset, vr in enumerate(("LO", "PN", "UT", "DA", "IS", "CS", "UI")):
            block.add_new(offset, vr, _value(vr, 0xDC10 + offset))
        block.add_new(0x20, "UN", word(0xDC20).encode())
        block.add_new(0x21, "OB", word(0xDC21).encode())
        block.add_new(0x22, "SQ", Sequence([_item(0xDC22)]))


def _picture(rng: np.random.Generator, *, bright: bool) -> np.ndarray:
    """12-bit clouds, no two alike, with a square in the middle that is the class."""
    clouds = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 4)
    picture = 1500 + 400 * clouds / clouds.std()
    third = SIDE // 3
    picture[third:-third, third:-third] += 1200 if bright else -1200
    return np.clip(picture, 1, 4000).astype(np.uint16)


def _damaged_png() -> bytes:
    """A picture with a text chunk, cut short."""
    text = f"Comment\0{word(0xE920)}".encode()
    chunk = b"tEXt" + text
    block = len(text).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    picture = cv2.imencode(".png", np.zeros((SIDE, SIDE), np.uint8))[1].tobytes()
    return picture[:33] + block + picture[33:45]
