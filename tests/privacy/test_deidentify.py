from __future__ import annotations

import re

import pytest
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag

from scanlens.privacy.deidentify import ACQUISITION_NUMBERS, acquisition_date, header_tags, kept

KEY = b"0123456789abcdef0123456789abcdef"
# The numeric elements of PS3.15 Table E.1-1 (edition 2026c); all others there hold text, dates or UIDs.
PROFILE_NUMBERS = (
    "PatientAge", "PatientSize", "PatientWeight", "PregnancyStatus", "LensSpecification", "GPSAltitude",
    "GPSAltitudeRef", "GPSDOP", "GPSDestBearing", "GPSDestDistance", "GPSDestLongitude", "GPSDestLatitude",
    "GPSDifferential", "GPSImgDirection", "GPSLatitude", "GPSLongitude", "GPSSpeed", "GPSTrack",
)  # fmt: skip


def every_keyword() -> list[str]:
    return [name for entry in DicomDictionary.values() if (name := entry[4])]


def test_no_value_of_any_element_leaves_but_acquisition_numbers() -> None:
    marker = "ZQXJKVIDENT"
    header = dict.fromkeys([*every_keyword(), "(0009,1001)", "(0029,10ab)", "(7fe1,0010)"], marker)
    tags = header_tags(header, KEY)
    assert len(tags) > 3000
    assert {"PatientName", "StudyDate", "InstitutionName", "(0009,1001)"} <= set(tags)
    assert all(re.fullmatch(r"h[0-9a-f]{12}", value) for value in tags.values())
    numbers = header_tags(dict.fromkeys(every_keyword(), "123456.789"), KEY)
    plain = {name for name, value in numbers.items() if not re.fullmatch(r"h[0-9a-f]{12}", value)}
    assert plain == ACQUISITION_NUMBERS
    assert {numbers[name] for name in plain} == {"123000"}


def test_acquisition_numbers_are_numbers_of_the_standard_and_not_of_the_profile() -> None:
    assert ACQUISITION_NUMBERS.isdisjoint(PROFILE_NUMBERS)
    assert {dictionary_VR(name) for name in ACQUISITION_NUMBERS} <= {"DS", "IS", "FD", "FL", "UL", "US"}
    assert all(keyword_for_tag(name) == name for name in ACQUISITION_NUMBERS)


def test_a_hash_depends_on_element_value_and_key_and_blanks_do_not_count() -> None:
    header = {"StationName": "ROOM 1", "InstitutionName": "ROOM 1", "ProtocolName": " ROOM 1 "}
    tags = header_tags(header, KEY)
    assert len(set(tags.values())) == 3
    assert tags == header_tags({name: value.strip() for name, value in header.items()}, KEY)
    assert tags["StationName"] != header_tags({"StationName": "ROOM 2"}, KEY)["StationName"]
    assert tags["StationName"] != header_tags(header, KEY[::-1])["StationName"]


def test_what_differs_in_every_scan_says_only_that_it_is_there() -> None:
    first = {"PatientName": "A^B", "SOPInstanceUID": "1.2", "ContentTime": "101010", "SliceLocation": "1.5"}
    second = {"PatientName": "C^D", "SOPInstanceUID": "1.3", "ContentTime": "111010", "SliceLocation": "9.5"}
    assert header_tags(first, KEY) == header_tags(second, KEY)
    assert set(header_tags(first, KEY)) == set(first)
    assert header_tags({"PatientName": " "}, KEY) == {}


def test_dates_count_by_year_and_ages_by_decade() -> None:
    def shown(name: str, value: str) -> str:
        return header_tags({name: value}, KEY)[name]

    assert shown("StudyDate", "20200105") == shown("StudyDate", "20201231") != shown("StudyDate", "20190105")
    assert shown("PatientAge", "061Y") == shown("PatientAge", "069Y") != shown("PatientAge", "071Y")
    assert shown("PatientAge", "018M") == shown("PatientAge", "009Y")
    assert shown("PatientAge", "081Y") == shown("PatientAge", "104Y")
    assert shown("PatientBirthDate", "19500101") == shown("PatientBirthDate", "19990101")


def test_elements_in_sequences_count_like_others_and_their_further_items_do_not() -> None:
    header = {
        "RequestAttributesSequence.RequestedProcedureID": "Jane",
        "RequestAttributesSequence.ScheduledProcedureStepDescription": "Jane",
        "RequestAttributesSequence[2].ScheduledProcedureStepDescription": "Jane",
        "Jane.KVP": "5",
        "Jane": "5",
    }
    assert set(header_tags(header, KEY)) == set(list(header)[:2])
    assert kept("RequestAttributesSequence.RequestedProcedureID") == "presence"


@pytest.mark.parametrize(
    "name", ["Rows", "PhotometricInterpretation", "PixelData", "WindowCenter", "Surprise", "\n"]
)
def test_pixel_layout_and_unknown_names_are_left_out(name: str) -> None:
    assert kept(name) == "no"
    assert header_tags({name: "1"}, KEY) == {}


@pytest.mark.parametrize(
    ("value", "shown"),
    [("120", "120"), ("119.96", "120"), ("0.00123456", "0.00123"), ("0.5\\0.5", "0.5"), ("-5", "-5")],
)
def test_acquisition_numbers_are_rounded(value: str, shown: str) -> None:
    assert header_tags({"KVP": value}, KEY) == {"KVP": shown}


@pytest.mark.parametrize("value", ["Jane Doe", "nan", "inf", "1\\2"])
def test_what_is_no_single_number_is_hashed(value: str) -> None:
    assert header_tags({"KVP": value}, KEY)["KVP"].startswith("h")


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ({"AcquisitionDateTime": "20210304050607.5+0100", "StudyDate": "20200101"}, "20210304050607.500000"),
        ({"AcquisitionDateTime": "20210304"}, "20210304000000.000000"),
        ({"AcquisitionDate": "20210304", "AcquisitionTime": "0506"}, "20210304050600.000000"),
        ({"AcquisitionDate": "2021.03.04", "AcquisitionTime": "05:06:07"}, "20210304050607.000000"),
        ({"AcquisitionDate": "Jane", "ContentDate": "20210304", "ContentTime": "x"}, "20210304000000.000000"),
        ({"SeriesDate": "20210304"}, "20210304000000.000000"),
        ({"StudyDate": "20210304\\20220101", "StudyTime": "235959.999999"}, "20210304235959.999999"),
        ({"AcquisitionDateTime": "19000101", "StudyDate": "20210304"}, "20210304000000.000000"),
        ({"StudyDate": "20211304"}, ""),
        ({"StudyDate": "00010101"}, ""),
        ({"AcquisitionTime": "101010"}, ""),
        ({}, ""),
    ],
)
def test_acquisition_date(header: dict[str, str], date: str) -> None:
    assert acquisition_date(header) == date


def test_acquisition_dates_sort_by_time() -> None:
    times = ["20191231", "20200101", "20200101000001", "2020010100000150", "20200101000002.5", "21010101"]
    headers = [{"AcquisitionDateTime": time} for time in (*times[:3], "20200101000001.5", *times[4:])]
    dates = [acquisition_date(header) for header in headers]
    assert dates == sorted(dates)
    assert len(set(dates)) == len(dates)
