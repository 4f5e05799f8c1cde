"""Hydra overrides as people write them: one that can't be parsed is named itself, with how to quote it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from scanlens.config.kinds import expected
from scanlens.config.parse import fields_of, section_in
from scanlens.config.settings import Settings
from scanlens.errors import SettingsError


def override_value(value: Any) -> str:
    """A value as an override spells it; text is quoted only where Hydra would read something else."""
    if isinstance(value, list):
        return f"[{','.join(map(override_value, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        parsed = OverridesParser.create().parse_override(f"key={value}")
        plain = not parsed.is_sweep_override() and parsed.value() == value
    except HydraException:
        plain = False
    return value if plain else str(QuotedString(value, Quote.double).with_quotes())


def shell_word(key: str, value: Any) -> str:
    """An override as it is typed in a shell."""
    return shlex.quote(f"{key}={override_value(value)}")


def as_text(override: str) -> str:
    """An override of a setting that is text, in quotes where Hydra would read a number or a truth value.

    Args:
        override: That :func:`check_overrides` takes.
    """
    key, _, text = override.partition("=")
    kind: Any = Settings
    for part in key.lstrip("+").split("."):
        kind = fields_of(section).get(part) if (section := section_in(kind)) else None
    value = OverridesParser.create().parse_override(override).value()
    if kind is not None and expected(kind).startswith("text") and isinstance(value, bool | int | float):
        return f"{key}={QuotedString(text, Quote.double).with_quotes()}"
    return override


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse the first override that Hydra can't parse, or that has several values.

    Raises:
        SettingsError: Naming the override, and how to write what it may have meant.
    """
    parser = OverridesParser.create()
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign and not override.startswith("~"):
            raise SettingsError(
                f"'{override}' is no override: key=value is expected.",
                "A value with spaces is quoted as a whole, e.g. 'data.root=\"/my scans\"'.",
            )
        try:
            parsed = parser.parse_override(override)
        except HydraException as error:
            raise SettingsError(
                f"'{override}' can't be parsed: its key, or its value without quotes, has a character that "
                "stands for something else (letters beyond ASCII, = , brackets, quotes).",
                f"Quote the value: {shell_word(key, text)}",
            ) from error
        if parsed.is_sweep_override():
            raise SettingsError(
                f"'{override}' has several values; one is expected.",
                f"To try each: scanlens sweep {shlex.quote(override)} (one text: {shell_word(key, text)}; "
                f"a list: {shlex.quote(f'{key}=[{text}]')}).",
            )
