"""Plain data to checked dataclasses: what is wrong is refused in one line that names key, value and bound."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from scanlens.config.kinds import expected
from scanlens.errors import SettingsError

_T = TypeVar("_T")

MOVED: dict[str, str] = {
    "explanation.regions.least_places": "explanation.regions.least_cells",
    "explanation.scores": "map_scores",
    "explanation.shortcuts": "shortcuts",
}
"""Keys, or sections, that have another name now: old to new, dotted from the top."""


def refuse_moved(key: str) -> None:
    """Refuse a key that :data:`MOVED` knows, or one below such a key.

    Raises:
        SettingsError: With the new name.
    """
    for old, new in MOVED.items():
        if key == old or key.startswith(f"{old}."):
            raise SettingsError(
                f"{key} is now {new}{key.removeprefix(old)}.", "Rename it in conf/ or the override."
            )


def nearest_name(name: str, known: Sequence[str], several: str = "Keys") -> str:
    """The name that a misspelt one may have meant, and all of them."""
    close = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return f"{hint}{several}: {', '.join(known)}."


@cache
def fields_of(kind: type) -> dict[str, Any]:
    """The fields of a dataclass of settings: name to annotated type."""
    return get_type_hints(kind, include_extras=True)


def section_in(kind: Any) -> type | None:
    """The dataclass that a field holds: itself, or null, or a list of it."""
    if get_origin(kind) is Annotated:
        return section_in(get_args(kind)[0])
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return kind
    return next((found for option in get_args(kind) if (found := section_in(option))), None)


def parse(kind: type[_T], values: Mapping[str, Any], key: str = "") -> _T:
    """Settings as a dataclass.

    Args:
        kind: The dataclass.
        values: One value a field.
        key: What errors call them; empty at the top.

    Raises:
        SettingsError: On the first unknown, missing or ill-typed key, value out of bounds, or two values that
            do not go together.
    """
    _check_keys(kind, values, key)
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        cause = first.get("ctx", {}).get("error")
        raise _refusal(kind, values, key, first["loc"], str(cause) if cause else "") from error


def _check_keys(kind: type, values: Mapping[str, Any], key: str) -> None:
    """Refuse the first unknown key, missing key, or value still to be given (``???``)."""
    fields = fields_of(kind)
    for name in values:
        if name not in fields:
            refuse_moved(_below(key, name))
            raise SettingsError(
                f"{_below(key, name)} is not a setting.", nearest_name(str(name), tuple(fields))
            )
    for name, field in fields.items():
        below, inner = _below(key, name), section_in(field)
        if name not in values:
            raise SettingsError(f"{below} is missing.", "Run: scanlens params")
        value = values[name]
        if value == "???":
            raise SettingsError(
                f"{below} must be given.", f"Add the override {below}=... ({expected(field)})."
            )
        if inner and isinstance(value, Mapping):
            _check_keys(inner, value, below)
        elif inner and isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, Mapping):
                    _check_keys(inner, item, f"{below}[{number}]")


def shown_value(value: object) -> str:
    """A value as YAML writes it, text in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _below(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _refusal(kind: type, values: Any, key: str, place: Sequence[str | int], reason: str) -> SettingsError:
    """What is wrong at a place in the values.

    Args:
        kind: The dataclass.
        values: What came for it.
        key: What errors call it.
        place: Keys down to the setting; what follows goes into its value and is not needed.
        reason: Of two settings that do not go together: which, and why.
    """
    name, *rest = place or [""]
    if not name:
        return SettingsError(_below(key, reason))
    field, value, key = fields_of(kind)[str(name)], values[name], _below(key, name)
    inner = section_in(field)
    if inner and isinstance(value, list) and rest:
        number, *rest = rest
        field, value, key = inner, value[int(number)], f"{key}[{number}]"
    if inner and isinstance(value, Mapping):
        return _refusal(inner, value, key, rest, reason)
    remedy = ""
    if re.match("text|a list of different names", expected(field)):
        if isinstance(value, bool | float):
            remedy = f"To mean a text, quote it: '{key}=\"...\"'"
        elif isinstance(value, list):
            remedy = f'Texts that read as numbers or as yes and no are quoted: \'{key}=["yes","no"]\''
    return SettingsError(f"{key} is {shown_value(value)}; expected {expected(field)}.", remedy)
