"""Where the store of runs lies: in the project, also after it was moved, also for DVC's copies of it."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scanlens.config.project import original_project
from scanlens.config.schema import Tracking

ARTIFACTS = "mlruns"
"""Folder of a local store's artefacts, beside its database."""
_SQLITE = "sqlite:///"
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns in which MLflow keeps where artefacts lie."""


def artifacts_beside(uri: str) -> str | None:
    """Where a local store's new experiments keep their artefacts; None: the server decides."""
    if not uri.startswith("sqlite:"):
        return None
    return (Path(uri.removeprefix(_SQLITE)).resolve().parent / ARTIFACTS).as_uri()


def settle_store(tracking: Tracking, project: Path) -> Tracking:
    """The section with a relative store made absolute: that of the project, not of a copy that DVC made.

    MLflow knows artefacts by absolute places. Where the project was copied or moved, these are made to lie
    beside the store again, and a line says so; otherwise a copy would write among the original's.

    Args:
        tracking: Section ``tracking``.
        project: Folder that relative places are relative to.
    """
    uri = tracking.uri
    home = original_project(project)
    if not uri.startswith(_SQLITE):
        return tracking if urlsplit(uri).scheme else dataclasses.replace(tracking, uri=str(home / uri))
    path = Path(uri.removeprefix(_SQLITE))
    if path.is_absolute():
        # A store that several projects may share stays as it is.
        return tracking
    path = (home / path).resolve()
    if path.is_file() and (before := _rebase(path)):
        print(
            f"note: {path.name} came from {before}; the artefacts of its runs are looked for and written in "
            f"{path.parent / ARTIFACTS} from now on.",
            flush=True,
        )
    return dataclasses.replace(tracking, uri=f"{_SQLITE}{path}")


def _rebase(database: Path) -> str:
    """Make a store's artefacts lie beside it; returns the folder where they lay, or ""."""
    here = (database.parent / ARTIFACTS).as_uri()
    before = ""
    try:
        with sqlite3.connect(database, timeout=60) as store:
            known = store.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
            for (old,) in known:
                # One that a person gave an experiment elsewhere is no affair of the project's place.
                if old == here or not str(old).startswith("file://") or not old.endswith(f"/{ARTIFACTS}"):
                    continue
                before = unquote(urlsplit(old).path).removesuffix(f"/{ARTIFACTS}")
                for table, column in _PLACES:
                    store.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (here, len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )
    except sqlite3.Error:
        # No store of MLflow's, or another version's: whoever opens it says what is wrong.
        return ""
    return before
