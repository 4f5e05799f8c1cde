"""The Ray engine gives what the local one gives, and says what is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from scanlens.errors import SettingsError
from scanlens.scaling import ray_engine
from scanlens.scaling.engine import Engine, Failed, Limits, map_ordered
from tests.helpers.crashes import act

LIMITS = Limits(seconds=3, memory_mib=256)


@pytest.mark.whole
def test_it_gives_what_the_local_engine_gives(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order, limits, crashes, exceptions, relative paths; and nothing of the cluster stays behind."""
    ray = pytest.importorskip("ray", reason="the extra 'scale' is not installed")
    monkeypatch.setenv("PYTHONPATH", str(project))  # nodes must have the function's module
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # another cluster is none of its business
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").touch()
    engine = Engine("ray", 2, None)
    items = [1, "segfault", 2, "exit", "hang", "memory", "noise", *range(3, 60)]
    expected = list(map_ordered(act, items, engine=Engine("local", 2, None), limits=LIMITS))
    assert list(map_ordered(act, items, engine=engine, limits=LIMITS)) == expected
    assert not ray.is_initialized()
    results = map_ordered(Path.is_file, [Path("here"), Path("there")], engine=engine)
    assert list(results) == [True, False]
    results = map_ordered(act, [1, "raise", 2], engine=engine)
    assert next(results) == 1
    with pytest.raises(Exception, match=r"a\.png: broken"):
        next(results)
    names = [child.name() for child in psutil.Process().children(recursive=True)]
    assert not [name for name in names if "ray" in name or "gcs_server" in name]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """This process as a worker of a node, which may change its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_engine, "_guard", None)
    yield
    if ray_engine._guard is not None:
        ray_engine._guard[1].close()


def answering(result: Any) -> Any:
    """A Ray whose only task has ended like this; its exceptions are the real ones."""
    ray = pytest.importorskip("ray", reason="the extra 'scale' is not installed")

    def get(_: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    return SimpleNamespace(exceptions=ray.exceptions, wait=lambda found, **_: (found, []), get=get)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("WorkerCrashedError", "lost its node 20 times"),
        ("NodeDiedError", "lost its node 20 times"),
        ("ObjectLostError", "lost its node 20 times"),
        ("OutOfMemoryError", "its node ran out of memory"),
    ],
)
def test_what_befalls_a_node_costs_the_item(name: str, reason: str) -> None:
    exceptions = pytest.importorskip("ray", reason="the extra 'scale' is not installed").exceptions
    kind = getattr(exceptions, name)
    error = {
        "WorkerCrashedError": lambda: kind(),
        "ObjectLostError": lambda: kind("0" * 56, None, ""),
    }.get(name, lambda: kind("node"))()
    assert ray_engine._result(answering(error), None, "/project") == Failed(reason)


def test_what_ails_the_cluster_is_said_without_its_own_message() -> None:
    exceptions = pytest.importorskip("ray", reason="the extra 'scale' is not installed").exceptions
    for error in (
        exceptions.RuntimeEnvSetupError("Doe"),
        exceptions.RayTaskError("run", "Doe", ModuleNotFoundError("Doe")).as_instanceof_cause(),
    ):
        with pytest.raises(SettingsError, match=r"cannot run the work \((Runtime|Module)") as refused:
            ray_engine._result(answering(error), None, "/project")
        assert "Doe" not in str(refused.value)


def test_a_node_without_the_folder_is_a_settings_error(node: None, tmp_path: Path) -> None:
    result = ray_engine._run(act, 1, None, str(tmp_path / "absent"))
    with pytest.raises(SettingsError, match="does not see the project folder"):
        ray_engine._result(answering(result), None, "/project")


def test_a_worker_follows_the_caller_into_another_folder(node: None, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in_{name}").touch()
        assert ray_engine._run(Path.is_file, Path(f"in_{name}"), None, str(tmp_path / name)) is True


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere.invalid:6379", "nonsense"])
def test_a_cluster_that_does_not_answer(address: str) -> None:
    pytest.importorskip("ray", reason="the extra 'scale' is not installed")
    with pytest.raises(SettingsError, match=rf"no Ray cluster answers at runtime\.address={address}"):
        list(map_ordered(act, [1], engine=Engine("ray", 2, address)))


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r'pip install "scanlens\[scale\]"'):
        list(map_ordered(act, [1], engine=Engine("ray", 2, None)))


def test_nothing_else_needs_ray() -> None:
    code = "import sys, scanlens.scaling.engine, scanlens.scaling.ray_engine; print('ray' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
