"""A copy of the project in which trials run, so that the project's own outputs stay as they are.

The copy holds what the stages read (conf, code, dvc.yaml) and shares the project's DVC cache: stages that a
trial does not change come from there. It has no git of its own; DVC's ``core.no_scm`` allows that, and git
commands find the project around it. DVC's own ``dvc exp run --temp`` would do the same, but while it prepares
a run it stashes and resets the project's working tree: edits of that moment, or a kill, lose changes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from dvc.config import Config

from scanlens.config.overrides import override_value
from scanlens.tracking.trial import VARIABLE

COPIED = (
    "conf",
    "pipelines",
    "src",
    "dvc.yaml",
    "pyproject.toml",
    ".dvcignore",
    ".dvc/config",
    ".dvc/config.local",
)
GRACE_S = 5.0
"""Processes that were asked to end get so long before they are killed."""


def prepare_workspace(project: Path, folder: Path) -> Path:
    """Make the copy, or bring an earlier sweep's up to date; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in COPIED:
        source, target = project / part, folder / part
        if target.is_dir():
            shutil.rmtree(target)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    # The copy's own lock file, once it has one, says what lies in it.
    if (project / "dvc.lock").is_file() and not (folder / "dvc.lock").exists():
        shutil.copy2(project / "dvc.lock", folder / "dvc.lock")
    cache = Config(str(project / ".dvc"))["cache"].get("dir", str(project / ".dvc/cache"))
    with Config(str(folder / ".dvc")).edit("local") as local:
        local["core"] = {**local.get("core", {}), "no_scm": True}
        local["cache"] = {**local.get("cache", {}), "dir": cache}
    return folder


def bring_paths(project: Path, workspace: Path, settings: Mapping[str, Any]) -> list[str]:
    """Make files that settings name relative to the project found from the copy; returns overrides.

    Paths inside the project become links at the same place, so that DVC knows the stages that read them;
    those outside become overrides with the absolute path.
    """
    overrides = []
    for section, name in (("data", "root"), ("transfer", "file")):
        value = (settings.get(section) or {}).get(name)
        if not value or Path(value).is_absolute() or str(value).startswith("~"):
            continue
        source = Path(os.path.normpath(project / value))
        if not source.is_relative_to(project):
            overrides.append(f"{section}.{name}={override_value(str(source))}")
        elif source.exists() and not (workspace / value).exists():
            (workspace / value).parent.mkdir(parents=True, exist_ok=True)
            (workspace / value).symlink_to(source)
    return overrides


def end_processes(folder: Path) -> None:
    """End what sweeps have started in copies below this folder: asked first, then killed."""
    for _ in range(3):  # one that ended may have started another meanwhile
        found = [
            process
            for process in psutil.process_iter(["cwd", "environ"])
            if VARIABLE in (process.info["environ"] or {})
            and Path(process.info["cwd"] or "/").is_relative_to(folder)
        ]
        if not found:
            return
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(found, timeout=GRACE_S)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=GRACE_S)


def remove_workspaces(folder: Path) -> None:
    """Remove the copies of a finished sweep; its logs stay."""
    for copy in folder.glob("worker-*"):
        shutil.rmtree(copy, ignore_errors=True)
