"""The types of settings, each with its bound; :func:`expected` says a bound in words.

YAML's values are taken as they are: ``"3"`` is no whole number and ``true`` is not 1. A whole number may
stand where any number may, and so may ``1e-3``, which YAML 1.1 reads as text.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict
from pydantic.fields import FieldInfo

SECTION = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
"""Of every dataclass of settings."""


def _unquoted(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _digits(value: object) -> object:
    """Text that is all digits, such as 32 or 2024, as people write it: without quotes."""
    return str(value) if type(value) is int else value


def ordered(values: list[int]) -> list[int]:
    """Refuse values that fall."""
    if values != sorted(values):
        raise ValueError
    return values


def _rising(values: list[float]) -> list[float]:
    if not values[0] < values[1]:
        raise ValueError
    return values


def _odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError
    return number


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError
    return values


_SIGNS = {"ge": "of at least", "gt": "above", "le": "at most", "lt": "below"}

Auto = Literal["auto"]
Bool = Annotated[bool, Strict()]
Int = Annotated[int, Strict()]
Float = Annotated[float, Strict(), BeforeValidator(_unquoted)]

PrecisionChoice = Annotated[Literal["auto", "32", "bf16", "fp16"], BeforeValidator(_digits)]

Count = Annotated[Int, Field(ge=0)]
"""How many of something that may be left out."""
Positive = Annotated[Int, Field(ge=1)]
Seed = Annotated[Int, Field(ge=0, le=2**31 - 1)]
Width = Annotated[Int, Field(ge=1, le=65536)]
"""Of a layer."""
Odd = Annotated[
    Int, Field(ge=1, le=99, description="an odd whole number between 1 and 99"), AfterValidator(_odd)
]

Share = Annotated[Float, Field(ge=0, le=1)]
ProperShare = Annotated[Float, Field(ge=0, lt=1)]
Confidence = Annotated[Float, Field(gt=0, lt=1)]
Factor = Annotated[Float, Field(ge=0, le=10)]
Rate = Annotated[Float, Field(gt=0, le=10)]
"""Learning rate."""
Amount = Annotated[Float, Field(ge=0)]
Above = Annotated[Float, Field(gt=0)]

Text = Annotated[str, BeforeValidator(_digits)]
Filled = Annotated[Text, Field(min_length=1, description="text, not empty")]
Label = Annotated[Text, Field(min_length=1, description="the name of a class")]
Names = Annotated[list[Text], Field(description="a list of different names"), AfterValidator(_distinct)]
Percentiles = Annotated[
    list[Annotated[Float, Field(ge=0, le=100)]],
    Field(min_length=2, max_length=2, description="two numbers between 0 and 100, the lower first"),
    AfterValidator(_rising),
]
Window = Annotated[
    list[Annotated[Float, Field(ge=-1e9, le=1e9)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_rising),
]
Windows = Annotated[
    list[Window], Field(min_length=1, description="a list of pairs [lower, upper] between -1e9 and 1e9")
]


def expected(kind: Any) -> str:
    """What a setting may be, in words a person who edits YAML understands.

    >>> expected(Share)
    'a number between 0 and 1'
    >>> expected(Auto | Positive | None)
    'auto | a whole number of at least 1 | null'
    """
    if get_origin(kind) is Annotated:
        return _bounded(get_args(kind)[0], get_args(kind)[1:])
    if get_origin(kind) is Literal:
        return " | ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(expected(option) for option in get_args(kind))
    if kind is type(None):
        return "null"
    if dataclasses.is_dataclass(kind):
        return "a section"
    if get_origin(kind) is list:
        inner = expected(get_args(kind)[0])
        return "a list of sections" if inner == "a section" else f"a list of {inner}"
    if get_origin(kind) is dict:
        return "a mapping"
    return {str: "text", int: "a whole number", float: "a number", bool: "true | false"}[kind]


def _bounded(kind: Any, metadata: Sequence[Any]) -> str:
    """An annotated type in words: its own description, or its kind and bounds."""
    bounds: dict[str, float] = {}
    for item in metadata:
        if isinstance(item, FieldInfo):
            if item.description:
                return item.description
            bounds |= {
                sign: getattr(bound, sign)
                for bound in item.metadata
                for sign in _SIGNS
                if hasattr(bound, sign)
            }
    if bounds.keys() == {"ge", "le"}:
        return f"{expected(kind)} between {bounds['ge']:.10g} and {bounds['le']:.10g}"
    words = " and ".join(f"{word} {bounds[sign]:.10g}" for sign, word in _SIGNS.items() if sign in bounds)
    return f"{expected(kind)} {words}".strip()
