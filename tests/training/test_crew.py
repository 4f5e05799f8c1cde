"""That tasks are done once each, whoever does them, and that what goes wrong is told."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from scanlens.training.crew import Crew


def test_a_thread_alone_does_its_tasks_in_order() -> None:
    done: list[int] = []
    Crew().share([lambda n=n: done.append(n) for n in range(5)])  # type: ignore[misc]
    assert done == [0, 1, 2, 3, 4]
    Crew().share([])


def test_who_waits_for_the_result_does_what_is_not_begun() -> None:
    crew, done = Crew(), []
    stuck, free = threading.Event(), threading.Event()

    def first() -> None:
        stuck.set()
        assert free.wait(60)
        done.append(("first", threading.get_ident()))

    def other(number: int) -> None:
        done.append((str(number), threading.get_ident()))
        if number == 3:
            free.set()

    def make() -> str:
        crew.share([first, *(lambda n=n: other(n) for n in range(4))])  # type: ignore[misc]
        return "made"

    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(make)
        assert stuck.wait(60)
        assert crew.result_of(coming) == "made"
    mine = threading.get_ident()
    assert sorted(name for name, _ in done) == ["0", "1", "2", "3", "first"]
    assert {name for name, thread_id in done if thread_id == mine} == {"0", "1", "2", "3"}


def test_tasks_that_are_shared_out_while_one_waits_are_begun_by_it_too() -> None:
    crew, waiting, helped = Crew(), threading.Event(), threading.Event()

    def make() -> int:
        assert waiting.wait(60)
        # The first task of this thread ends only when the other thread has taken one.
        crew.share([lambda: assert_set(helped), helped.set])
        return 7

    def assert_set(event: threading.Event) -> None:
        assert event.wait(60)

    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(make)
        threading.Timer(0.1, waiting.set).start()
        assert crew.result_of(coming) == 7


def test_two_jobs_at_once_are_told_apart() -> None:
    crew, begun, free, done = Crew(), threading.Event(), threading.Event(), []

    def wait() -> None:
        begun.set()
        assert free.wait(60)

    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(crew.share, [wait])
        assert begun.wait(60)
        crew.share([lambda: done.append(1)])
        assert done == [1]
        assert not other.done()
        free.set()
        other.result(60)


@pytest.mark.parametrize("helped", [False, True])
def test_a_failure_is_told_once_and_ends_the_job(helped: bool) -> None:
    crew, done = Crew(), []

    def fail() -> None:
        raise ValueError("of the second task")

    tasks = [lambda: done.append(1), fail, lambda: done.append(3)]
    if helped:
        with ThreadPoolExecutor(1) as thread, pytest.raises(ValueError, match="second task"):
            crew.result_of(thread.submit(crew.share, tasks))
    else:
        with pytest.raises(ValueError, match="second task"):
            crew.share(tasks)
    crew.share([lambda: done.append(4)])
    assert done in ([1, 4], [1, 3, 4])


def test_an_interrupt_of_who_helps_is_its_own_and_does_not_keep_the_other_waiting() -> None:
    crew, stuck, free = Crew(), threading.Event(), threading.Event()

    def first() -> None:
        stuck.set()
        assert free.wait(60)

    def interrupt() -> None:
        free.set()
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as thread:
        coming: Future[None] = thread.submit(crew.share, [first, interrupt])
        assert stuck.wait(60)
        with pytest.raises(KeyboardInterrupt):
            crew.result_of(coming)
        assert isinstance(coming.exception(60), KeyboardInterrupt)


def test_another_process_gets_a_crew_of_its_own() -> None:
    crew = Crew()
    assert isinstance(pickle.loads(pickle.dumps(crew)), Crew)
    crew.share([])
