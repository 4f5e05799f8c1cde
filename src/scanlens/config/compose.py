"""``conf/`` to ``params.yaml``, byte for byte as ``dvc exp run`` writes it.

DVC composes the settings only in ``dvc exp run``; ``dvc repro`` takes ``params.yaml`` as it stands. This
module is the other way to write that file. The four steps (compose, resolve, to_yaml, write) are DVC's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scanlens.atomic import write_text
from scanlens.config.kept import BUILT_IN, keep_data, kept_choice
from scanlens.config.load import check_sections
from scanlens.config.outputs import refuse_output
from scanlens.config.overrides import as_text, check_overrides, override_value
from scanlens.config.parse import nearest_name, refuse_moved
from scanlens.errors import SettingsError

CONF = "conf"
PARAMS = "params.yaml"


def choices(conf: Path, group: str) -> list[str]:
    """The choices of a group; ``base.yaml`` is what they share."""
    return sorted(path.stem for path in (conf / group).glob("*.yaml") if path.stem != "base")


def _choices_for(conf: Path, override: str) -> str:
    """The groups or keys that a misspelt override may have meant, as one sentence."""
    key = override.lstrip("+~").split("=")[0]
    refuse_moved(key)
    group, _, rest = key.partition(".")
    groups = sorted(p.name for p in conf.iterdir() if p.is_dir() and p.name != "sweep")
    if group not in groups:
        return nearest_name(group, groups, "Groups")
    if not rest:
        return f"Choices of {group}: {', '.join(choices(conf, group))}."
    with initialize_config_dir(str(conf), version_base=None):
        section: DictConfig = compose("config")[group]
    for part in rest.split(".")[:-1]:
        if not isinstance(section, DictConfig) or part not in section:
            break
        section = section[part]
    keys = [str(k) for k in section] if isinstance(section, DictConfig) else []
    return nearest_name(rest.rpartition(".")[2], keys)


def _offending(error: Exception, overrides: Sequence[str]) -> str:
    """The override an error is about: Hydra names it in its message."""
    text = str(error)
    named = [o for o in overrides if o.split("=")[0].lstrip("+~") in text]
    # The longest: the key model stands in a message about model.name too.
    return max(named, key=lambda o: len(o.split("=")[0])) if named else (overrides[0] if overrides else "")


def _composed(project: Path, overrides: Sequence[str]) -> str:
    """The YAML text that ``conf/`` gives under overrides, before its values are checked."""
    conf = (project / CONF).resolve()
    if not (conf / "config.yaml").is_file():
        raise SettingsError(f"{CONF}/config.yaml is missing.", "Run this in the project's root.")
    check_overrides(overrides)
    try:
        with initialize_config_dir(str(conf), version_base=None):
            settings = compose("config", overrides=[as_text(override) for override in overrides])
        OmegaConf.resolve(settings)
        return OmegaConf.to_yaml(settings)
    except (HydraException, OmegaConfBaseException) as error:
        override = _offending(error, overrides)
        reason = str(error).strip().splitlines()[0]
        if not override:
            raise SettingsError(f"conf/ does not compose: {reason}") from error
        raise SettingsError(f"'{override}' is refused: {reason}", _choices_for(conf, override)) from error


def compose_text(project: Path, overrides: Sequence[str] = ()) -> str:
    """Compose ``conf/`` with Hydra overrides.

    Args:
        project: Folder that holds ``conf/``.
        overrides: Hydra overrides such as ``model=resnet50`` or ``training.lr=3e-4``.

    Returns:
        The YAML text of ``params.yaml``, every section checked against the schema.

    Raises:
        SettingsError: On an override that can't be parsed; a misspelt group, key or value, naming it and the
            choices; and a data root among the outputs of ``dvc.yaml``.
    """
    text = _composed(project, overrides)
    composed = yaml.safe_load(text)
    check_sections(composed)
    refuse_output(project, composed["data"]["root"])
    return text


def with_kept_data(project: Path, overrides: Sequence[str]) -> list[str]:
    """Overrides with the data choice of the last run before them, where they would lead to phantoms unasked.

    Args:
        project: Folder that holds ``conf/``.
        overrides: As in :func:`compose_text`.
    """
    kept = [f"{key}={override_value(value)}" for key, value in kept_choice(project)]
    chosen = any(override.lstrip("+").startswith("data=") for override in overrides)
    if not kept or chosen or yaml.safe_load(_composed(project, overrides))["data"]["kind"] != BUILT_IN:
        return list(overrides)
    return [*kept, *overrides]


def write_params(project: Path, overrides: Sequence[str] = ()) -> bool:
    """Write ``params.yaml`` from ``conf/``.

    Returns:
        True where the file changed.
    """
    target = project / PARAMS
    text = compose_text(project, overrides)
    keep_data(project, yaml.safe_load(text)["data"])
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        # As new as conf/ again, or the stages would go on warning that it is not.
        target.touch()
        return False
    write_text(target, text)
    return True
