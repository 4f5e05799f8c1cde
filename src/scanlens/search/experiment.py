"""The best trial as ``conf/experiment/<name>.yaml``: only what differs from ``conf/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scanlens.atomic import write_text
from scanlens.config.compose import CONF, compose_text
from scanlens.config.load import DERIVED
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
    groups = [o for o in overrides if _is_group(project, o) and not o.startswith("experiment=")]
    groups = [o for o in groups if o.split("=")[0] not in NOT_IDENTITY]
    wanted = yaml.safe_load(compose_text(project, overrides))
    differing = difference(_composed(project, groups), wanted)
    content: dict[str, Any] = {}
    if groups:
        content["defaults"] = [dict([_group_choice(o)]) for o in groups]
    content |= {key: value for key, value in differing.items() if key not in (*NOT_IDENTITY, *DERIVED)}
    head = [
        "# @package _global_",
        f"{MARK}{name}: {provenance[0]}",
        *(f"# {line}" for line in provenance[1:]),
    ]
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True) if content else ""
    write_text(path, "\n".join(head) + "\n" + body)
    try:
        agrees = _compared(yaml.safe_load(compose_text(project, [f"experiment={name}"]))) == _compared(wanted)
    except SettingsError:
        agrees = False
    if not agrees:
        if before is None:
            path.unlink()
        else:
            write_text(path, before)
        raise ScanlensError(
            f"The best trial can't be written as an experiment: {path.name} would compose to other settings.",
            f"Its overrides were: {' '.join(o for o in overrides if _section(o) not in NOT_IDENTITY)}",
        )
    return path


def difference(base: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys of ``wanted`` whose values ``base`` does not hold."""
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        if key in base and base[key] == value:
            continue
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            found[key] = difference(base[key], value)
        else:
            found[key] = value
    return found


def _is_group(project: Path, override: str) -> bool:
    key = override.split("=")[0].lstrip("+")
    return "." not in key and (project / CONF / key).is_dir()


def _section(override: str) -> str:
    return override.split("=")[0].lstrip("+").split(".")[0]


def _group_choice(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return f"override /{key.lstrip('+')}", value


def _composed(project: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """``conf/`` with groups chosen; what must be given may still be missing."""
    with initialize_config_dir(str((project / CONF).resolve()), version_base=None):
        settings = compose("config", overrides=list(overrides))
    OmegaConf.resolve(settings)
    plain: dict[str, Any] = yaml.safe_load(OmegaConf.to_yaml(settings))
    return plain


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in NOT_IDENTITY}
