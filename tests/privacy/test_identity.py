from __future__ import annotations

import pytest

from scanlens.privacy.identity import names_in_path, placeholder

HEADER = {
    "PatientName": "Müller-Lüdenscheidt^Zoë^^Dr.",
    "PatientID": "00471-1B",
    "OtherPatientIDs": "H99887\\ALT-2001",
    "PatientBirthDate": "19560312",
    "AccessionNumber": "A000123456",
}


@pytest.mark.parametrize(
    "path",
    [
        "ill/mueller/1.dcm",
        "ill/Zoe_1.dcm",
        "ZOË.png",
        "scans/MULLERLUDENSCHEIDT.dcm",
        "scans/ZoeMuller01.dcm",
        "a/x.zip#member/luedenscheidt, zoe/3.dcm",
        "004711B/1.dcm",
        "p_471-1b.dcm",
        "x/h99887_2.dcm",
        "ALT2001",
        "19560312.png",
        "born 12.03.1956.png",
        "12-3-1956.png",
        "03_12_1956/x.png",
        "pat560312.dcm",
        "12mar1956",
        "1956-March-12.png",
        "acc A000123456.dcm",
        "a000123456",
    ],
)
def test_a_path_that_names_the_patient(path: str) -> None:
    assert names_in_path(HEADER, path)


@pytest.mark.parametrize(
    "path",
    [
        "ill/1.dcm",
        "scans/00471.dcm",
        "normal/04711.dcm",
        "1956/03/13.dcm",
        "119560312/2.dcm",
        "195603121.dcm",
        "zo/e.dcm",
        "xa000123456x",
        "H998871.dcm",
        "series-2001/dr.dcm",
        "test/0123456.png",
        "",
    ],
)
def test_a_path_that_does_not(path: str) -> None:
    assert not names_in_path(HEADER, path)


@pytest.mark.parametrize(
    ("header", "path"),
    [
        ({"PatientID": "1"}, "1/1.dcm"),
        ({"PatientID": "0017"}, "normal/17.dcm"),
        ({"PatientID": "2019"}, "scan-2019-05.dcm"),
        ({"PatientID": "ANONYMOUS"}, "anonymous/1.dcm"),
        ({"PatientName": "Test^Normal"}, "test/normal/1.dcm"),
        ({"PatientName": "Anonymous^Patient"}, "anonymous/patient1.dcm"),
        ({"PatientName": "Li^Wu"}, "li/wu.dcm"),
        ({"PatientName": "Ada^X"}, "metadata/adapter.dcm"),
        ({"PatientBirthDate": "19000101"}, "19000101.dcm"),
        ({"PatientBirthDate": "Jane"}, "jane.dcm"),
        ({"StudyDate": "20200101"}, "20200101.dcm"),
        ({}, "a/b.dcm"),
    ],
)
def test_short_and_common_values_raise_no_alarm(header: dict[str, str], path: str) -> None:
    assert not names_in_path(header, path)


def test_a_short_number_is_found_where_it_is_the_whole_name() -> None:
    assert names_in_path({"PatientID": "4711"}, "ill/04711.dcm")
    assert names_in_path({"PatientID": "4711"}, "4711/1.dcm")


def test_an_identifier_in_a_sequence_is_one_too() -> None:
    assert names_in_path({"OtherPatientIDsSequence[2].PatientID": "H4711-0815"}, "H47110815/1.dcm")


def test_both_names_inside_one_word() -> None:
    assert names_in_path({"PatientName": "Doe^Jim"}, "jimdoe7.dcm")
    assert names_in_path({"PatientName": "DOE^JIM"}, "DoeJim.dcm")


@pytest.mark.parametrize(
    "patient",
    ["", " ", "ANON", "Anonymous", "anonymized", "UNKNOWN", "0", "0000", "n/a", "NA", "REMOVED", "xxx", "-",
     "N.A.", "None", "De-Identified", "no id", "9999", "?"],
)  # fmt: skip
def test_placeholders(patient: str) -> None:
    assert placeholder(patient)


@pytest.mark.parametrize(
    "patient", ["1", "ANON0017", "PHANTOM-0001", "TCGA-17-Z011", "12345", "99", "Removal", "10"]
)
def test_identifiers_are_no_placeholders(patient: str) -> None:
    assert not placeholder(patient)
