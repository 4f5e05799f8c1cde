"""A git and DVC repository of its own, with the project's files as they stand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pipeline import Run


@pytest.fixture(scope="session")
def checkout(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh repository: tracked and new files, no stage outputs, no cache."""
    target = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.splitlines()):
        if (project / name).is_file() and name != "dvc.lock":
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, target / name)
    for command in (
        ["git", "init", "-q"],
        ["git", "add", "-A"],
        ["git", "-c", "user.name=test", "-c", "user.email=test@example.invalid", "commit", "-qm", "test"],
    ):
        subprocess.run(command, cwd=target, check=True)
    subprocess.run(["git", "config", "user.name", "test"], cwd=target, check=True)
    subprocess.run(["git", "config", "user.email", "test@example.invalid"], cwd=target, check=True)
    return target


@pytest.fixture(scope="session")
def run(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command in the checkout, with this interpreter's tools first and the checkout's own code."""
    key = tmp_path_factory.mktemp("key") / "pseudonym.key"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(checkout / "src"),
        "SCANLENS_KEY_FILE": str(key),
    }

    def call(*command: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=1500, check=False
        )
        assert result.returncode == expect, f"{command}: {result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        return result

    return call
