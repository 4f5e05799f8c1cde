"""The text of a DICOM header, for :attr:`scanlens.types.Scan.header`.

Everything a person could read in it, private elements too, so that what looks for identifiers sees them
all. It is full of them: see the field's own warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain, islice

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from scanlens.sources.readers.dicom_elements import PIXEL_KEYWORDS
from scanlens.sources.readers.quiet import quiet

_CHARACTERS = 256  # a value is cut here
_ELEMENTS = 4096  # of one scan, nested ones counted
_LOOKED_AT = 16 * _ELEMENTS  # empty and binary ones too: a file may consist of them
_ITEMS = 8  # of one sequence: the functional groups of frame 9 repeat those of frame 1
_DEPTH = 4
_LARGEST = 1 << 16  # bytes of a value that is looked at
_BINARY = ("OB", "OD", "OF", "OL", "OV", "OW")


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
            every = islice(chain(_walk(meta, "", 0), _walk(self._dataset, "", 0)), _LOOKED_AT)
            return dict(islice(((name, shown) for name, shown in every if shown), _ELEMENTS))

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
    """Yield each element's name and text, empty where it has none to show."""
    for tag in sorted(dataset.keys()):
        found = _found(dataset, tag)
        name = prefix + (keyword_for_tag(tag) or str(tag))
        if isinstance(found, str):
            yield name, found
        elif depth < _DEPTH:
            for number, item in enumerate(found[:_ITEMS], start=1):
                yield from _walk(item, f"{name}." if number == 1 else f"{name}[{number}].", depth + 1)


def _found(dataset: Dataset, tag: BaseTag) -> str | Sequence:
    """Return an element's text or its items; of a malformed one its raw bytes' text."""
    raw: RawDataElement | None = None
    try:
        element = dataset.get_item(tag, keep_deferred=True)
        if element is None or element.VR in _BINARY:
            return ""
        raw = element if isinstance(element, RawDataElement) else None
        if raw is not None and raw.VR != "SQ" and raw.length > _LARGEST:
            return ""
        whole = dataset[tag]
        if isinstance(whole.value, Sequence):
            return whole.value
        return "" if whole.VR in _BINARY else _shown(whole.value)
    except MemoryError:
        raise
    # pydicom raises dozens of types on values that are not of their representation, on sequences nested too
    # deeply and on files gone since: whichever it is, the element has no text but its bytes'.
    except Exception:
        return _shown(raw.value) if raw is not None and isinstance(raw.value, bytes) else ""


def _shown(value: object) -> str:
    if isinstance(value, bytes):  # of unknown representation: shown where it is text
        text = value[: 4 * _CHARACTERS].decode("utf-8", "replace").rstrip("\0 ")
        return text[:_CHARACTERS].strip() if text.isprintable() else ""
    if isinstance(value, (MultiValue, list)):
        return "\\".join(str(one) for one in value[:_CHARACTERS])[:_CHARACTERS].strip()
    return "" if value is None else str(value)[:_CHARACTERS].strip()
