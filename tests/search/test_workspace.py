"""The copy a trial runs in: what it holds, its paths, and the processes that may be left in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml
from dvc.config import Config

from scanlens.config.compose import compose_text
from scanlens.search import workspace
from scanlens.search.workspace import bring_paths, end_processes, prepare_workspace
from scanlens.tracking.trial import VARIABLE


def test_the_copy_is_brought_up_to_date_and_shares_the_cache(tmp_path: Path) -> None:
    project, copy = tmp_path / "project", tmp_path / "copy"
    for name, text in (
        (".dvc/config", "[cache]\n    type = symlink\n"),
        ("src/a.py", "1"),
        ("dvc.lock", "first"),
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    for source, lock in (("a.py", "first"), ("b.py", "own")):
        assert prepare_workspace(project, copy) == copy
        assert [path.name for path in (copy / "src").iterdir()] == [source]
        assert (copy / "dvc.lock").read_text() == lock
        # A copy that has run trials has a lock file of its own.
        (copy / "dvc.lock").write_text("own")
        (project / "src/a.py").rename(project / "src/b.py") if source == "a.py" else None
    config = Config(str(copy / ".dvc"))
    assert config["core"]["no_scm"] is True
    assert config["cache"]["dir"] == str(project / ".dvc/cache")
    assert config["cache"]["type"] == ["symlink"]


def test_relative_paths_are_found_from_the_copy(tmp_path: Path) -> None:
    project, copy = tmp_path / "project", tmp_path / "project/.scanlens/sweeps/s/worker-0"
    copy.mkdir(parents=True)
    for folder in (project / "scans/deep", tmp_path / "outside"):
        folder.mkdir(parents=True)
    inside = {"data": {"root": "scans/deep"}, "transfer": {"file": None}}
    for _ in range(2):
        assert bring_paths(project, copy, inside) == []
    assert (copy / "scans/deep").resolve() == project / "scans/deep"
    outside = {"data": {"root": "../outside"}, "transfer": {"file": "w.safetensors"}}
    assert bring_paths(project, copy, outside) == [f"data.root={tmp_path / 'outside'}"]
    odd = tmp_path / "o'brien\\"
    odd.mkdir()
    (override,) = bring_paths(project, copy, {"data": {"root": "../o'brien\\"}})
    composed = compose_text(Path(__file__).parents[2], ["data=table", "data.table=t.csv", override])
    assert yaml.safe_load(composed)["data"]["root"] == str(odd)
    absolute = {"data": {"root": str(tmp_path)}, "transfer": {"file": "~/w"}}
    assert bring_paths(project, copy, absolute) == []


def test_a_sweeps_processes_are_made_to_end_and_no_others(tmp_path: Path, monkeypatch: object) -> None:
    code = "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print(1, flush=True); time.sleep(600)"
    own, elsewhere = {**os.environ, VARIABLE: "{}"}, tmp_path.parent
    places = ((tmp_path, own), (tmp_path, dict(os.environ)), (elsewhere, own))
    trial, persons, other = (
        subprocess.Popen([sys.executable, "-c", code], cwd=cwd, env=env, stdout=subprocess.PIPE)
        for cwd, env in places
    )
    try:
        for process in (trial, persons, other):
            assert process.stdout is not None
            process.stdout.readline()
        workspace.GRACE_S, before = 0.3, workspace.GRACE_S
        end_processes(tmp_path)
        workspace.GRACE_S = before
        assert trial.poll() is not None
        assert persons.poll() is None
        assert other.poll() is None
    finally:
        for process in (trial, persons, other):
            process.kill()
