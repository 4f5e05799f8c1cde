"""What a run came from: code revision, data, settings."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Where a run happened and where it is logged do not change what it is.
NOT_IDENTITY = ("runtime", "tracking")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as ``section.key`` to text, as MLflow parameters want them."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def settings_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 over the settings that decide a run's result."""
    kept = {key: value for key, value in settings.items() if key not in NOT_IDENTITY}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _git(project: Path, *arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def revision_tags(project: Path) -> dict[str, str]:
    """Git commit, whether the tree was changed since, DVC lock hash and DVC experiment name."""
    lock = project / "dvc.lock"
    commit = _git(project, "rev-parse", "HEAD")
    changed = bool(_git(project, "status", "--porcelain", "--untracked-files=no"))
    tags = {
        "git.commit": commit,
        "git.dirty": str(changed).lower() if commit else "",
        "dvc.lock": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "",
        "dvc.experiment": os.environ.get("DVC_EXP_NAME", ""),
    }
    return {key: value for key, value in tags.items() if value}
