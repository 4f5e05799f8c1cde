"""The text of a DICOM header, for :attr:`scanlens.types.Scan.header`.

Everything a person could read in it, private elements too, so that what looks for identifiers sees them
all. It is full of them: see the field's own warning.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain, islice

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from scanlens.sources.dicom_file import PIXEL_KEYWORDS
from scanlens.sources.quiet import quiet

_CHARACTERS = 256  # a value is cut here
_ELEMENTS = 4096  # of one scan, nested ones counted
_ITEMS = 8  # of one sequence: the functional groups of frame 9 repeat those of frame 1
_DEPTH = 4
_LARGEST = 1 << 16  # bytes of a value that is looked at
_BINARY = ("OB", "OD", "OF", "OL", "OV", "OW")
# What pydicom raises where a value is not of its representation; the raw bytes are shown instead.
# OSError: a large sequence is read from the file when asked for, and the file may be gone.
_MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    NotImplementedError,
    OSError,
    struct.error,
)


class HeaderText(Mapping[str, str]):
    """The text of each element that has some, by keyword or ``(gggg,eeee)``.

    Elements in sequences are named ``Sequence.Keyword``, and ``Sequence[2].Keyword`` from the second item
    on. Several values are joined by a backslash, as they are stored. Pixels and other binary values, empty
    ones and those beyond the 4096th are left out.

    Converting all elements takes a third of the time that reading a CT slice takes, and whoever only wants
    pixels never asks: the text is made when first asked for. Pickled, it is a plain ``dict``.

    Args:
        dataset: The header; its pixels are dropped from it.
    """

    def __init__(self, dataset: FileDataset) -> None:
        for keyword in PIXEL_KEYWORDS:
            if keyword in dataset:
                del dataset[keyword]
        self._dataset = dataset

    @cached_property
    def _text(self) -> dict[str, str]:
        meta = getattr(self._dataset, "file_meta", None) or Dataset()
        with quiet():
            return dict(islice(chain(_walk(meta, "", 0), _walk(self._dataset, "", 0)), _ELEMENTS))

    def __getitem__(self, name: str) -> str:
        return self._text[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._text)

    def __len__(self) -> int:
        return len(self._text)

    def __repr__(self) -> str:
        return "HeaderText(...)"

    def __reduce__(self) -> tuple[type[dict], tuple[dict[str, str]]]:
        return dict, (self._text,)


def _walk(dataset: Dataset, prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    for tag in sorted(dataset.keys()):
        value = _value(dataset, tag)
        name = prefix + (keyword_for_tag(tag) or str(tag))
        if not isinstance(value, Sequence):
            shown = _shown(value)
            if shown:
                yield name, shown
        elif depth < _DEPTH:
            for number, item in enumerate(value[:_ITEMS], start=1):
                yield from _walk(item, f"{name}." if number == 1 else f"{name}[{number}].", depth + 1)


def _value(dataset: Dataset, tag: BaseTag) -> object:
    """Return an element's value; its raw bytes where it is malformed, None where it is binary or large."""
    element = dataset.get_item(tag, keep_deferred=True)
    if element is None or element.VR in _BINARY:
        return None
    raw = element if isinstance(element, RawDataElement) else None
    if raw is not None and raw.VR != "SQ" and raw.length > _LARGEST:
        return None
    try:
        whole = dataset[tag]
    except _MALFORMED:
        return raw.value if raw is not None else None
    return None if whole.VR in _BINARY else whole.value


def _shown(value: object) -> str:
    if isinstance(value, bytes):  # of unknown representation: shown where it is text
        text = value[: 4 * _CHARACTERS].decode("utf-8", "replace").rstrip("\0 ")
        return text[:_CHARACTERS].strip() if text.isprintable() else ""
    if isinstance(value, (MultiValue, list)):
        return "\\".join(str(one) for one in value[:_CHARACTERS])[:_CHARACTERS].strip()
    return "" if value is None else str(value)[:_CHARACTERS].strip()
