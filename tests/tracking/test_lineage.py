"""What makes two runs the same run, and where a run came from."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scanlens.tracking.lineage import flatten, revision_tags, settings_hash


def test_flatten(settings: dict[str, Any]) -> None:
    flat = flatten(settings)
    assert flat["data.columns.path"] == "auto"
    assert flat["model.width"] == "1.0"
    assert flat["seed"] == "0"
    assert "model.args" not in flat
    assert flatten({"a": None, "b": [1, 2]}) == {"a": "None", "b": "[1, 2]"}


def test_the_hash_ignores_order_machine_and_tracking(settings: dict[str, Any]) -> None:
    expected = settings_hash(settings)
    assert settings_hash(dict(reversed(settings.items()))) == expected
    assert settings_hash({**settings, "runtime": {"device": "cuda"}, "tracking": {}}) == expected


@pytest.mark.parametrize("change", [{"seed": 1}, {"model": {"name": "resnet18"}}, {"extra": {}}], ids=str)
def test_the_hash_changes_with_any_other_setting(settings: dict[str, Any], change: dict[str, Any]) -> None:
    assert settings_hash({**settings, **change}) != settings_hash(settings)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_revision_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "brave-scan")
    git(tmp_path, "init", "-q")
    (tmp_path / "dvc.lock").write_text("lock")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    tags = revision_tags(tmp_path)
    assert tags == {
        "git.commit": git(tmp_path, "rev-parse", "HEAD"),
        "git.dirty": "false",
        "dvc.lock": hashlib.sha256(b"lock").hexdigest(),
        "dvc.experiment": "brave-scan",
    }
    (tmp_path / "dvc.lock").write_text("changed")
    assert revision_tags(tmp_path)["git.dirty"] == "true"


def test_a_folder_without_git_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "git.commit" not in revision_tags(tmp_path)
    assert "git.dirty" not in revision_tags(tmp_path)
