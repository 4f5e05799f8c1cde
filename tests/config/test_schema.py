"""Settings are fixed once they are read, and conf/ holds each of them and no other."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanlens.config import schema
from scanlens.config.compose import compose_text
from scanlens.config.load import SECTIONS
from scanlens.config.parse import parse

PROJECT = Path(__file__).resolve().parent.parent.parent
SHIPPED = yaml.safe_load(compose_text(PROJECT))
KINDS: list[Any] = [
    kind
    for kind in vars(schema).values()
    if dataclasses.is_dataclass(kind) and getattr(kind, "__module__", "").startswith("scanlens.config")
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_settings_cannot_be_changed_on_the_way(kind: Any) -> None:
    made = object.__new__(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(kind)[0].name, None)


def test_settings_are_dataclasses_that_check_what_replaces_them() -> None:
    values = SHIPPED["training"]
    made = parse(schema.Training, values, "training")
    assert dataclasses.asdict(made) == values
    assert dataclasses.replace(made, lr=1).lr == 1.0
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(ValueError, match="augment_share"):
        dataclasses.replace(made, augment_share=7)


def test_settings_are_read_without_frameworks() -> None:
    heavy = {"torch", "numpy", "pandas", "hydra", "omegaconf", "mlflow"}
    code = f"import sys, scanlens.config.load; print(*{heavy} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not ended.stdout.strip()


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_every_setting_stands_in_conf(section: str) -> None:
    assert set(SHIPPED[section]) == {field.name for field in dataclasses.fields(SECTIONS[section])}
