"""The Ray engine gives what the local one gives, and says what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scanlens.errors import SettingsError
from scanlens.scaling.engine import Engine, Limits, map_ordered
from tests.helpers.crashes import act

LIMITS = Limits(seconds=3, memory_mib=256)


@pytest.mark.slow
def test_it_gives_what_the_local_engine_gives(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order, limits, crashes, exceptions, relative paths; and nothing of the cluster stays behind."""
    ray = pytest.importorskip("ray", reason="the extra 'scale' is not installed")
    monkeypatch.setenv("PYTHONPATH", str(project))  # nodes must have the function's module
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
