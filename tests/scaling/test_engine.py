"""Order, limits, crashes and clean ends of the local engine."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from pebble import ProcessFuture, ProcessPool

from scanlens.errors import UnreadableScan
from scanlens.scaling.cores import available_cores
from scanlens.scaling.engine import IN_PROCESS, Engine, Failed, Limits, engine_of, map_ordered
from scanlens.scaling.local import Guard
from tests.helpers.crashes import act, process_id, slow, threads
from tests.helpers.tiny import runtime

LOCAL = Engine("local", 2, None)
LIMITS = Limits(seconds=3, memory_mib=256)


def test_engine_of() -> None:
    assert engine_of(runtime(workers="auto")) == Engine("local", available_cores(), None)
    assert engine_of(runtime(workers=0)) == IN_PROCESS
    assert engine_of(runtime(engine="ray", workers=3, address="auto")) == Engine("ray", 3, "auto")


@pytest.mark.parametrize("engine", [IN_PROCESS, LOCAL], ids=["in process", "local"])
@pytest.mark.parametrize("limits", [None, LIMITS], ids=["no limits", "limits"])
def test_results_come_in_order(engine: Engine, limits: Limits | None) -> None:
    assert list(map_ordered(act, range(100), engine=engine, limits=limits)) == [n**2 for n in range(100)]
    assert list(map_ordered(act, [], engine=engine, limits=limits, total=0)) == []


def test_the_slowest_first_keeps_the_order() -> None:
    assert list(map_ordered(slow, [0.5, 0.0, 0.1, 0.0], engine=LOCAL)) == [0.5, 0.0, 0.1, 0.0]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("segfault", "crashed its reader (signal 11)"),
        ("abort", "crashed its reader (signal 6)"),
        ("kill", "crashed its reader (signal 9)"),
        ("exit", "crashed its reader (exit code 7)"),
        ("hang", "took longer than 3 s"),
        ("hang in C", "took longer than 3 s"),
        ("memory", "needs more than 256 MiB"),
    ],
)
def test_an_item_fails_alone(command: str, reason: str) -> None:
    items = [1, 2, command, *range(3, 30)]
    results = list(map_ordered(act, items, engine=LOCAL, limits=LIMITS))
    assert results == [1, 4, Failed(reason), *[n**2 for n in range(3, 30)]]


def test_many_crashes_lose_nothing() -> None:
    items: list[str | int] = list(itertools.chain.from_iterable(("exit", n) for n in range(25)))
    results = list(map_ordered(act, items, engine=LOCAL, limits=LIMITS))
    assert results[1::2] == [n**2 for n in range(25)]
    assert set(results[::2]) == {Failed("crashed its reader (exit code 7)")}


def test_a_crash_without_limits_costs_its_own_item_only() -> None:
    assert list(map_ordered(act, [1, "segfault", 3], engine=LOCAL)) == [
        1,
        Failed("crashed its reader (signal 11)"),
        9,
    ]


def test_the_memory_limit_is_of_each_item_not_of_their_sum() -> None:
    results = list(map_ordered(act, ["half the memory"] * 6, engine=Engine("local", 1, None), limits=LIMITS))
    assert results == [100 << 20] * 6
    assert list(map_ordered(act, ["memory"], engine=LOCAL, limits=Limits(60, 1024))) == [512 << 20]


@pytest.mark.parametrize("engine", [IN_PROCESS, LOCAL], ids=["in process", "local"])
def test_the_first_exception_in_order_reaches_the_caller(engine: Engine) -> None:
    results = map_ordered(act, [1, 2, "raise", 4], engine=engine)
    assert [next(results), next(results)] == [1, 4]
    with pytest.raises(Exception, match=r"a\.png: broken") as caught:
        next(results)
    if engine == IN_PROCESS:
        assert caught.type is UnreadableScan
    else:
        assert "crashes.py" in caught.value.__notes__[0]  # the traceback came along


@pytest.mark.parametrize("what", ["raise what does not travel", "return what does not travel"])
def test_what_does_not_travel_is_an_exception_not_a_hang(what: str) -> None:
    with pytest.raises(Exception, match=r"NotPortable|pickle"):
        list(map_ordered(act, [what], engine=LOCAL))
    assert list(map_ordered(act, [2], engine=LOCAL)) == [4]


def test_it_runs_ahead_by_a_bounded_number() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1, 10_001):
            taken = number
            yield number

    results = map_ordered(act, items(), engine=LOCAL)
    assert next(results) == 1
    assert taken <= 32
    results.close()  # type: ignore[attr-defined]


def test_no_more_processes_than_items_and_none_left() -> None:
    engine = Engine("local", 8, None)
    assert len(set(map_ordered(process_id, range(40), engine=engine, total=40))) <= 8
    (only,) = set(map_ordered(process_id, [0], engine=engine, total=1))
    assert only != os.getpid()
    assert not psutil.pid_exists(only)
    assert list(map_ordered(process_id, [0], engine=IN_PROCESS)) == [os.getpid()]


def test_one_thread_a_worker() -> None:
    assert set(map_ordered(threads, range(4), engine=LOCAL)) == {1}


def test_workers_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(map_ordered(act, ["noise"], engine=LOCAL)) == ["silent"]
    assert capfd.readouterr().err == ""


def test_a_pool_that_breaks_while_an_item_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard(1, act)
    try:
        guard._pool.stop()
        with monkeypatch.context() as before:
            before.setattr(ProcessPool, "active", True)  # as it was when last asked
            task = guard.submit(act, 3, None)
        assert pickle.loads(task.future.result(timeout=30)) == 9
    finally:
        guard.close()


def test_an_item_that_a_broken_pool_never_took_runs_in_the_next() -> None:
    guard = Guard(1, act)
    try:
        lost = replace(guard.submit(act, 3, None), future=ProcessFuture())
        guard._pool.stop()
        assert guard.outcome(lost) == 9
    finally:
        guard.close()


def _run_until_busy(project: Path) -> subprocess.Popen[str]:
    code = (
        "from scanlens.scaling.engine import *\nfrom tests.helpers.crashes import act\n"
        "if __name__ == '__main__':\n"
        "    results = map_ordered(act, [1, 'hang', 'hang in C'], engine=Engine('local', 2, None))\n"
        "    print(next(results), flush=True)\n    next(results)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    time.sleep(0.5)  # both workers are at it
    return process


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a thread ends the workers, and C code holds it up"
)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_no_worker_outlives_its_parent(project: Path, how: signal.Signals) -> None:
    parent = _run_until_busy(project)
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 3  # the server that starts workers, and two of them
    parent.send_signal(how)
    parent.communicate(timeout=20)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
