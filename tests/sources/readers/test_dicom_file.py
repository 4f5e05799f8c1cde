"""Listing a folder looks at the headers of all files: little is read, whatever they declare."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from scanlens.sources.readers import dicom_file
from scanlens.sources.readers.dicom_file import HEADER_BYTES, declared_pixels, is_dicom, open_header
from tests.helpers.dicom import ct_slice, save

ACROSS = (1, 0, 0, 0, 1, 0)
PATIENT = b"\x10\x00\x20\x00LO"


def written(folder: Path) -> tuple[bytes, int]:
    """A slice of 1 MiB and where its PatientID begins."""
    made = ct_slice(np.zeros((1024, 512), np.uint16), (0, 0, 0), ACROSS, 1, SeriesInstanceUID="1.2.3")
    content = save(folder, made).read_bytes()
    return content, content.index(PATIENT)


def test_dicom_by_its_first_bytes() -> None:
    assert is_dicom(bytes(128) + b"DICM")
    assert is_dicom(b"\x08\x00\x05\x00CS")
    assert not is_dicom(bytes(128) + b"DIC")
    assert not is_dicom(b"DICM")


def test_a_value_of_700_mebibytes_is_not_read(tmp_path: Path) -> None:
    content, at = written(tmp_path)
    with (tmp_path / "large").open("wb") as file:
        file.write(content[:at] + PATIENT[:4] + b"UN\0\0" + struct.pack("<I", 700 << 20))
        file.truncate(at + (700 << 20))
    process = psutil.Process()
    before = process.memory_info().rss
    header = open_header(tmp_path / "large", ["PatientID", "Rows"])
    assert header is not None
    assert len(header.get_item("PatientID").value) < HEADER_BYTES
    assert process.memory_info().rss - before < 100 << 20


def test_deflated_headers(tmp_path: Path) -> None:
    made = ct_slice(np.zeros((4096, 1024), np.uint16), (0, 0, 0), ACROSS, 1, SeriesInstanceUID="1.2.3")
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header = open_header(save(tmp_path, made), ["SeriesInstanceUID", "Rows"])
    assert header is not None
    assert (header.SeriesInstanceUID, header.Rows) == ("1.2.3", 4096)


@pytest.mark.parametrize("group", [0x0002, 0x0009])
def test_no_more_elements_are_parsed_than_headers_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    content, at = written(tmp_path)
    if group == 0x0002:
        at = content.index(b"\x02\x00\x10\x00UI")
    tiny = struct.pack("<HH", group, 0x0009) + b"LO\0\0"
    (tmp_path / "tiny").write_bytes(content[:at] + tiny * 400_000 + content[at:])
    parsed = []
    monkeypatch.setattr(dicom_file, "_PIXEL_TAGS", Counting(parsed))
    header = open_header(tmp_path / "tiny", ["Rows"])
    assert header is None if group == 0x0002 else "Rows" not in header
    assert len(parsed) <= 1 << 15


class Counting(tuple[object, ...]):
    """No tags, counting how often one is looked up."""

    def __new__(cls, seen: list[object]) -> Counting:
        made = super().__new__(cls)
        made.seen = seen
        return made

    def __contains__(self, tag: object) -> bool:
        self.seen.append(tag)
        return False


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG2000", {})]
)
def test_size_of_an_encoded_image(kind: str, options: dict[str, bool]) -> None:
    buffer = BytesIO()
    extra = {"no_jp2": True} if kind == "JPEG2000" else options
    Image.fromarray(np.zeros((37, 53), dtype=np.uint8)).save(buffer, kind, **extra)
    assert declared_pixels(buffer.getvalue()) == 37 * 53


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\xff\xff", b"\0" * 64])
def test_anything_else_is_unknown(frame: bytes) -> None:
    assert declared_pixels(frame) is None
