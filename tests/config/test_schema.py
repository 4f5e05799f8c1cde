"""Settings are fixed once they are read, and conf/ holds each of them and no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanlens.config import schema
from scanlens.config.compose import compose_text
from scanlens.config.load import SECTIONS

PROJECT = Path(__file__).resolve().parent.parent.parent
KINDS: list[Any] = [
    kind
    for kind in vars(schema).values()
    if dataclasses.is_dataclass(kind) and getattr(kind, "__module__", "") == schema.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_settings_cannot_be_changed_on_the_way(kind: Any) -> None:
    made = object.__new__(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(kind)[0].name, None)


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_every_setting_stands_in_conf(section: str) -> None:
    composed = yaml.safe_load(compose_text(PROJECT))[section]
    assert set(composed) == {field.name for field in dataclasses.fields(SECTIONS[section])}
