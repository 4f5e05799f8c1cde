"""``params.yaml`` to checked dataclasses: unknown, missing and ill-typed keys fail by name.

No Hydra here: a stage, and batch inference, read the file with a plain YAML loader.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from scanlens.config.parse import fields_of, parse, section_in
from scanlens.config.settings import Settings
from scanlens.errors import SettingsError

_T = TypeVar("_T")

SECTIONS = {name: kind for name, kind in fields_of(Settings).items() if section_in(kind)}


def check_sections(settings: Mapping[str, Any]) -> None:
    """Check a whole composed configuration.

    Raises:
        SettingsError: On the first unknown, missing or ill-typed key, value out of bounds, or two values that
            do not go together.
    """
    parse(Settings, settings)


def read_settings(project: Path) -> dict[str, Any]:
    """The whole of ``params.yaml`` as plain data."""
    target = project / "params.yaml"
    if not target.is_file():
        raise SettingsError(f"{target.name} is missing.", "Run: scanlens params")
    try:
        settings = yaml.safe_load(target.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"params.yaml is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(settings, dict):
        raise SettingsError("params.yaml holds no sections.", "Run: scanlens params")
    return settings


def load_section(kind: type[_T], project: Path = Path()) -> _T:
    """One section of ``params.yaml`` as its dataclass.

    Args:
        kind: The schema class; it says which section.
        project: Folder that holds ``params.yaml``.

    Raises:
        SettingsError: Naming the key, what came and what may come.
    """
    name = next(section for section, candidate in SECTIONS.items() if candidate is kind)
    values = read_settings(project).get(name)
    if not isinstance(values, Mapping):
        raise SettingsError(f"Section {name} is missing from params.yaml.", "Run: scanlens params")
    return parse(kind, values, name)


def warn_if_stale(project: Path = Path()) -> bool:
    """Say so on stderr when ``conf/`` was edited after ``params.yaml`` was written.

    ``dvc repro`` never composes, so an edit of ``conf/`` alone would silently change nothing.
    """
    params = project / "params.yaml"
    newest = max((p.stat().st_mtime for p in (project / "conf").rglob("*.yaml")), default=0.0)
    stale = params.is_file() and newest > params.stat().st_mtime
    if stale:
        print(
            "warning: conf/ is newer than params.yaml, which this run uses. Run: scanlens params",
            file=sys.stderr,
        )
    return stale
