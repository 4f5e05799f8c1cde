"""The data choice of the last run: one that leaves it out must not fall back to phantoms in silence.

``conf/`` names phantoms, and both ``scanlens params`` and ``dvc exp run -S`` compose from it anew: overrides
of an earlier command are gone. What was chosen is therefore remembered beside the project's other state.
``scanlens params`` and ``scanlens sweep`` take it up; DVC composes by itself, so its stages stop instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from scanlens.atomic import write_json
from scanlens.config.project import original_project
from scanlens.errors import SettingsError

KEPT = Path(".scanlens/data.json")
_GROUND = Path("conf/data/folder.yaml")
BUILT_IN = "phantom"


def _leaves(values: Mapping[str, Any], key: str = "data") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{key}.{name}")
        else:
            yield f"{key}.{name}", value


def kept_choice(project: Path) -> list[tuple[str, Any]]:
    """Keys and values that give the remembered data choice; none where there is none.

    Args:
        project: Holds ``conf/``; a copy of it that DVC made (``--temp``, ``--queue``) will do.
    """
    try:
        section = json.loads((original_project(project) / KEPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    # Plain YAML, as in all that stages load.
    ground = dict(_leaves(yaml.safe_load((project / _GROUND).read_text(encoding="utf-8"))))
    kind = section.pop("kind")
    section.pop("phantom", None)
    changed = [(key, value) for key, value in _leaves(section) if ground.get(key) != value]
    return [("data", kind), *changed]


def keep_data(project: Path, section: Mapping[str, Any]) -> None:
    """Remember a run's section ``data``; phantoms that were asked for by name forget it."""
    path = original_project(project) / KEPT
    if section["kind"] == BUILT_IN:
        path.unlink(missing_ok=True)
    elif not path.is_file() or json.loads(path.read_text(encoding="utf-8")) != section:
        write_json(path, section)


def refuse_forgotten_data(project: Path, settings: Mapping[str, Any]) -> None:
    """Stop a stage that would run on phantoms after a run on own data; else remember its data.

    Raises:
        SettingsError: With the overrides that were forgotten.
    """
    section = settings["data"]
    if section["kind"] == BUILT_IN and (kept := kept_choice(project)):
        # Hydra's part, which stages need for this line alone.
        from scanlens.config.overrides import shell_word

        raise SettingsError(
            f"these settings are of the built-in phantoms, but the data chosen before are {kept[0][1]} "
            f"{dict(kept).get('data.root')}.",
            f"Say it again: dvc exp run {' '.join(f'-S {shell_word(*one)}' for one in kept)} ... "
            "(or scanlens params ... and dvc repro). To take the phantoms: scanlens params data=phantom",
        )
    keep_data(project, section)
