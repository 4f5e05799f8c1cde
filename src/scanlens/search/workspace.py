"""A copy of the project in which trials run, so that the project's own outputs stay as they are.

The copy holds what the stages read (conf, code, dvc.yaml) and shares the project's DVC cache: stages that a
trial does not change come from there. It has no git of its own; DVC's ``core.no_scm`` allows that, and git
commands find the project around it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scanlens.errors import ScanlensError
from scanlens.search.space import quoted
from scanlens.search.study import FOLDER

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
PID = "trial.pid"
GRACE_S = 30.0
"""A stage that was asked to stop gets so long to close its run before it is killed."""


def prepare_workspace(project: Path, name: str, worker: int) -> Path:
    """Make the copy, or bring an earlier sweep's up to date.

    Args:
        project: The project.
        name: Of the study.
        worker: Each has a copy of its own.

    Returns:
        The copy's folder.
    """
    folder = project.resolve() / FOLDER / name / f"worker-{worker}"
    folder.mkdir(parents=True, exist_ok=True)
    end_left_over(folder)
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
    for setting, value in (("core.no_scm", "true"), ("cache.dir", _cache(project))):
        _dvc(folder, "config", "--local", setting, value)
    return folder


def _cache(project: Path) -> str:
    return _dvc(project, "cache", "dir")


def _dvc(folder: Path, *arguments: str) -> str:
    result = subprocess.run(["dvc", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no reason given"]
        raise ScanlensError(f"dvc {arguments[0]} failed: {lines[-1]}", "Is this the project's root?")
    return result.stdout.strip()


def bring_paths(project: Path, workspace: Path, settings: Mapping[str, Any]) -> list[str]:
    """Make the files that settings name relative to the project found from the copy.

    Paths inside the project become links at the same place; those outside become overrides with the absolute
    path, for a link there would stand outside the copy.

    Args:
        project: The project.
        workspace: Its copy.
        settings: Composed settings of a trial.

    Returns:
        Overrides.
    """
    overrides = []
    for key in ("data.root", "transfer.file"):
        section, name = key.split(".")
        value = (settings.get(section) or {}).get(name)
        if not value or Path(value).is_absolute() or str(value).startswith("~"):
            continue
        source = Path(os.path.normpath(project.resolve() / value))
        if not source.is_relative_to(project.resolve()):
            overrides.append(f"{key}={quoted(str(source))}")
        elif source.exists() and not (workspace / value).exists():
            (workspace / value).parent.mkdir(parents=True, exist_ok=True)
            (workspace / value).symlink_to(source)
    return overrides


def end_left_over(workspace: Path) -> None:
    """End the processes that a killed sweep left running in this copy."""
    path = workspace / PID
    if not path.is_file():
        return
    try:
        # A kill may have come before the number was written.
        group = int(path.read_text())
        # The number may be another process's by now: only one that works in this folder is ours.
        ours = Path(f"/proc/{group}/cwd").resolve() == workspace.resolve()
    except (OSError, ValueError):
        group, ours = 0, False
    if ours:
        end_group(group)
    path.unlink(missing_ok=True)


def end_group(group: int, grace_s: float = 5.0) -> None:
    """Ask a process group to end, and make it after ``grace_s`` seconds."""
    for number, patience in ((signal.SIGTERM, grace_s), (signal.SIGKILL, grace_s)):
        try:
            os.killpg(group, number)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                os.killpg(group, 0)
                time.sleep(0.05)
        except ProcessLookupError:
            return


def clean_checkpoints(workspace: Path) -> None:
    """Remove what an ended trial would have gone on from."""
    shutil.rmtree(workspace / ".scanlens" / "checkpoints", ignore_errors=True)


def remove_workspaces(project: Path, name: str) -> None:
    """Remove the copies of a finished sweep; its logs stay."""
    for folder in (project / FOLDER / name).glob("worker-*"):
        shutil.rmtree(folder, ignore_errors=True)
