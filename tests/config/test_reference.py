"""docs/settings.md is what conf/ and the schema make of it, and says of every setting what it means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from scanlens.config.compose import compose_text
from scanlens.config.load import SECTIONS
from scanlens.config.reference import REFERENCE_PAGE, reference

PROJECT = Path(__file__).resolve().parent.parent.parent
PAGE_NOW = reference(PROJECT)


def rows(page: str) -> dict[str, list[str]]:
    """Settings of the page: value, default and meaning."""
    cells = [re.split(r" ?(?<!\\)\| ?", line)[1:-1] for line in page.splitlines() if line.startswith("| `")]
    return {name.strip("`"): rest for name, *rest in cells}


def test_the_committed_page_is_up_to_date() -> None:
    committed = (PROJECT / REFERENCE_PAGE).read_text(encoding="utf-8")
    assert committed == PAGE_NOW, "run: scanlens params --reference"


def leaves(table: dict[str, list[str]], value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Keys and values below a key that are no sections."""
    if isinstance(value, dict) and "section" in table.get(key, ["a section"])[0]:
        for name, inner in value.items():
            yield from leaves(table, inner, f"{key}.{name}")
    else:
        yield key, value


def test_the_page_holds_every_setting_its_default_and_its_comment() -> None:
    table = rows(PAGE_NOW)
    composed = yaml.safe_load(compose_text(PROJECT))
    settings = [leaf for name in SECTIONS for leaf in leaves(table, composed[name], name)]
    assert len(settings) > 150
    for key, value in settings:
        assert yaml.safe_load(table[key][1].strip("`")) == value
    assert table["training.augment_share"][0] == "a number between 0 and 1"
    assert table["model.stem"][2].startswith("auto by the scan's longest side: small")
    assert table["data.phantom.patients"][2] == "Drawn patients."


def test_every_setting_has_a_comment_or_stands_in_a_section_that_has_one() -> None:
    table = rows(PAGE_NOW)
    explained = {key for key, (*_, meaning) in table.items() if meaning}
    silent = [
        key
        for key in set(table) - explained
        if not any(key.startswith((f"{other}.", f"{other}[")) for other in explained)
    ]
    assert not silent
