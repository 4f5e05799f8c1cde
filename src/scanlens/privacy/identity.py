"""Whom a header names, and whether a path gives the same person away. All of it in memory only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from pydicom.valuerep import DA

_PLACEHOLDERS = frozenset(
    {
        "", "anon", "anonymous", "anonym", "anonymized", "anonymised", "anonymize", "anonymouspatient",
        "anonymizedpatient", "unknown", "unk", "unknownpatient", "undefined", "unspecified", "none",
        "null", "nil", "nan", "na", "notavailable", "notapplicable", "noid", "noname", "nopatientid",
        "removed", "deleted", "redacted", "masked", "hidden", "deidentified", "deident", "deid",
        "deidentifiedpatient", "patient", "patientid", "patientname", "id", "default", "empty", "blank",
        "test", "testpatient", "dummy",
    }
)  # fmt: skip
_SHORTEST_NAME = 3
_TELLING_NAME = 5  # letters from which a name inside a longer word is no accident
_SHORTEST_ID = 4
_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName")
_IDENTIFIERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "MedicalRecordLocator")
# Words of file trees that are also somebody's name, or what stands in a name's place.
_COMMON_WORDS = frozenset(
    {
        "normal", "train", "test", "val", "data", "scan", "scans", "image", "images", "img", "patient",
        "case", "study", "series", "anon", "anonymous", "anonymized", "anonymised", "unknown", "phantom",
        "demo", "sample", "head", "chest", "hand", "foot", "arm", "brain", "breast", "male", "female",
        "black", "white", "left", "right", "dicom", "dcm", "raw", "new", "old", "the", "van", "von",
        "der", "den", "dos", "del", "bin", "ibn", "mrs", "prof", "name", "none", "null",
    }
)  # fmt: skip
# Letters that are no accented form of another, and umlauts as they are spelt out.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"}
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def placeholder(patient_id: str) -> bool:
    """Say whether a patient identifier names nobody: ``ANONYMOUS``, ``UNKNOWN``, ``0``, ``xxx`` and the like.

    Scans that carry one are of unknown patients, not of one patient. Words followed by a number
    (``ANON0017``) are somebody's pseudonyms and no place-holders. For identifiers from files; a table of
    people's own making may well call its first patient 0.
    """
    word = "".join(letter for letter in patient_id.casefold() if letter.isalnum())
    return word in _PLACEHOLDERS or set(word) in ({"0"}, {"x"}) or (len(word) > 3 and set(word) == {"9"})


def names_in_path(header: Mapping[str, str], path: str) -> bool:
    """Say whether a path gives away whose scan it is.

    Looked for, whatever their case, accents and separators: parts of the patient's names (three letters and
    more, in any order), identifiers and the accession number (four characters and more: ``1`` is no
    identifier where files are numbered), and the birth date in the usual spellings. A shorter identifier
    cannot be told from a file's number; it is not found.

    Args:
        header: Text by keyword, as in :attr:`scanlens.types.Scan.header`.
        path: A reference of the listing, folders included.
    """
    parts = [part for part in re.split(r"[/#]", path) if part]
    return any(
        _holds_name(header, part) or _holds_identifier(header, part) or _holds_birth_date(header, part)
        for part in parts
    )


def _values(header: Mapping[str, str], keywords: tuple[str, ...]) -> list[str]:
    """Return the values of these elements, those in sequences (``Sequence.Keyword``) too."""
    return [value for name, value in header.items() if name.rpartition(".")[2] in keywords]


def _spellings(text: str) -> set[str]:
    """Return a text in lower case and without accents; umlauts as one letter and as two."""
    lowered = unicodedata.normalize("NFKC", text).casefold()
    return {_plain(lowered), _plain(lowered.translate(_UMLAUTS))}


def _plain(lowered: str) -> str:
    apart = unicodedata.normalize("NFKD", lowered.translate(_LETTERS))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _holds_name(header: Mapping[str, str], part: str) -> bool:
    names = {
        word
        for value in _values(header, _NAMES)
        for spelling in _spellings(value)
        for word in re.findall(r"[^\W\d_]+", spelling)
        if len(word) >= _SHORTEST_NAME and word not in _COMMON_WORDS and not placeholder(word)
    }
    apart = re.sub(r"(?<=[^\W\d_])(?=[A-Z][a-z])", " ", part)  # JohnDoe is two words
    for spelling in _spellings(apart):
        words = re.findall(r"[^\W\d_]+", spelling)
        inside = {name for name in names if any(name in word for word in words)}
        if names & set(words) or len(inside) > 1 or any(len(name) >= _TELLING_NAME for name in inside):
            return True
    return False


def _holds_identifier(header: Mapping[str, str], part: str) -> bool:
    given = (one for value in _values(header, _IDENTIFIERS) for one in value.split("\\"))
    return any(_holds(one, part) for one in given if not placeholder(one))


def _holds(identifier: str, part: str) -> bool:
    wanted = re.sub(r"[\W_]", "", _plain(identifier.casefold())).lstrip("0")
    if len(wanted) < _SHORTEST_ID or wanted in _COMMON_WORDS:
        return False
    spelling = _plain(part.casefold())
    if len(wanted) == _SHORTEST_ID and wanted.isdecimal():
        # 1024 or 2019 inside a longer name is a size or a year.
        return re.fullmatch(rf"0*{wanted}", spelling.split(".")[0]) is not None
    before = r"(?<!\d)0*" if wanted[0].isdecimal() else r"(?<![^\W\d_])"
    after = r"(?!\d)" if wanted[-1].isdecimal() else r"(?![^\W\d_])"
    return re.search(before + r"[\W_]*".join(wanted) + after, spelling) is not None


def _holds_birth_date(header: Mapping[str, str], part: str) -> bool:
    try:
        date = DA(header.get("PatientBirthDate", "").strip())
    except ValueError:
        return False
    # 1900-01-01 and before stand for dates that are not known.
    if date is None or date.year <= 1900:
        return False
    year, month, day = f"{date.year:04}", f"{date.month:02}", f"{date.day:02}"
    name = rf"{_MONTHS[int(month) - 1]}[a-z]*"
    short_year, loose_month, loose_day = f"(?:{year[:2]})?{year[2:]}", _loose(month), _loose(day)
    gap, between = r"[\W_]*", r"[\W_]+"
    orders = (
        gap.join((short_year, month, day)),
        gap.join((day, month, short_year)),
        gap.join((month, day, short_year)),
        between.join((year, loose_month, loose_day)),
        between.join((loose_day, loose_month, year)),
        between.join((loose_month, loose_day, year)),
        gap.join((loose_day, name, short_year)),
        gap.join((year, name, loose_day)),
    )
    return re.search(rf"(?<!\d)(?:{'|'.join(orders)})(?!\d)", part.casefold()) is not None


def _loose(digits: str) -> str:
    return f"0?{digits.lstrip('0')}"
