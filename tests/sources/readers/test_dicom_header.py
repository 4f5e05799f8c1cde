"""A header's text: what a person could read in it, whatever is wrong with the rest."""

from __future__ import annotations

import pickle
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from scanlens.sources.readers.dicom_header import HeaderText


def stored(dataset: Dataset) -> FileDataset:
    """The data set as it is read from a file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def raw(keyword: str, representation: str, value: bytes) -> RawDataElement:
    return RawDataElement(Tag(keyword), representation, len(value), value, 0, False, True)


def test_elements_have_their_text_by_name() -> None:
    item, dataset = Dataset(), Dataset()
    item.CodeMeaning = "chest"
    dataset.PatientName, dataset.ImageType = "Doe^Jane", ["ORIGINAL", "PRIMARY"]
    dataset.ProcedureCodeSequence, dataset.PixelData = [item, item], bytes(4)
    dataset["PixelData"].VR = "OB"
    dataset.add_new(0x00091001, "LO", "private")
    found = HeaderText(stored(dataset))
    assert found["PatientName"] == "Doe^Jane"
    assert found["ImageType"] == "ORIGINAL\\PRIMARY"
    assert found["ProcedureCodeSequence.CodeMeaning"] == "chest"
    assert found["ProcedureCodeSequence[2].CodeMeaning"] == "chest"
    assert found["(0009,1001)"] == "private"
    assert "PixelData" not in found
    assert "Doe" not in repr(found)
    assert pickle.loads(pickle.dumps(found)) == dict(found)


@pytest.mark.parametrize(
    ("keyword", "representation", "value", "shown"),
    [
        ("Rows", "US", b"abc", "abc"),  # BytesLengthException, which is no ValueError
        ("PatientAge", "??", b"050Y", "050Y"),
        ("EchoTime", "DS", b"not a number", "not a number"),
        ("StudyDate", "DA", b"never", "never"),
    ],
)
def test_a_malformed_value_is_its_own_bytes(
    keyword: str, representation: str, value: bytes, shown: str
) -> None:
    dataset = stored(Dataset())
    dataset[keyword] = raw(keyword, representation, value)
    dataset.PatientID = "4711"
    found = HeaderText(dataset)
    assert found[keyword] == shown
    assert found["PatientID"] == "4711"


def test_names_of_an_unknown_character_set_hide_nothing_else() -> None:
    dataset = stored(Dataset())
    dataset["SpecificCharacterSet"] = raw("SpecificCharacterSet", "CS", b"FOO")
    dataset["PatientName"] = raw("PatientName", "PN", b"Doe^\xff\xfe")
    dataset["PatientID"] = raw("PatientID", "LO", b"4711")
    assert HeaderText(dataset)["PatientID"] == "4711"


def test_a_header_of_many_empty_elements_is_looked_at_for_a_while_only() -> None:
    dataset = FileDataset(None, {}, file_meta=FileMetaDataset())
    for number in range(70_000):
        tag = Tag(0x1001 + 2 * (number // 60_000), number % 60_000)
        dataset._dict[tag] = RawDataElement(tag, "LO", 0, b"", 0, False, True)
    late = Tag(0x7001, 0x1000)
    dataset._dict[late] = RawDataElement(late, "LO", 4, b"late", 0, False, True)
    assert str(late) not in HeaderText(dataset)
