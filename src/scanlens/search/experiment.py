"""The best trial as ``conf/experiment/<name>.yaml``: its overrides and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from scanlens.atomic import write_text
from scanlens.config.compose import CONF, compose_text
from scanlens.errors import ScanlensError, SettingsError
from scanlens.tracking.lineage import NOT_IDENTITY

MARK = "# Best of the sweep "


def experiment_path(project: Path, name: str) -> Path:
    """Where the best goes.

    Raises:
        SettingsError: A file stands there that no sweep wrote.
    """
    path = project / CONF / "experiment" / f"{name}.yaml"
    if path.is_file() and MARK not in path.read_text(encoding="utf-8"):
        raise SettingsError(f"{path} exists and is no sweep's.", "Give the sweep another --name.")
    return path


def write_experiment(project: Path, name: str, overrides: Sequence[str], provenance: Sequence[str]) -> Path:
    """Write the experiment and prove that it composes to the trial's settings.

    Args:
        project: Folder that holds ``conf/``.
        name: Of the experiment.
        overrides: Of the best trial.
        provenance: Comment lines after the first.

    Returns:
        The file, which ``experiment=<name>`` now names.

    Raises:
        ScanlensError: The experiment would give other settings than the trial had; it is removed again.
    """
    path = experiment_path(project, name)
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    kept = [o for o in overrides if o.lstrip("+").split("=")[0].split(".")[0] not in NOT_IDENTITY]
    head = [
        "# @package _global_",
        f"{MARK}{name}: {provenance[0]}",
        *(f"# {line}" for line in provenance[1:]),
    ]
    body = yaml.safe_dump(_content(project, kept), sort_keys=False, allow_unicode=True)
    write_text(path, "\n".join(head) + "\n" + body)
    try:
        agrees = _composed(project, [f"experiment={name}"]) == _composed(project, overrides)
    except SettingsError:
        agrees = False
    if not agrees:
        if before is None:
            path.unlink()
        else:
            write_text(path, before)
        raise ScanlensError(
            f"The best trial can't be written as an experiment: {path.name} would compose to other settings.",
            f"Its overrides were: {' '.join(kept)}",
        )
    return path


def _content(project: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """An experiment's YAML: groups as its defaults, an experiment it builds on before them, then values."""
    defaults: list[Any] = []
    values = OmegaConf.create()
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if key == "experiment":
            defaults.insert(0, override.value())
        elif "." not in key and (project / CONF / key).is_dir():
            defaults.append({f"override /{key}": override.value()})
        else:
            OmegaConf.update(values, key, override.value())
    content: dict[str, Any] = {"defaults": [*defaults, "_self_"]} if defaults else {}
    return {**content, **yaml.safe_load(OmegaConf.to_yaml(values))}


def _composed(project: Path, overrides: Sequence[str]) -> Mapping[str, Any]:
    settings = yaml.safe_load(compose_text(project, overrides))
    return {key: value for key, value in settings.items() if key not in NOT_IDENTITY}
