"""Two threads that work on one batch: the one that prepares ahead, and the one that waits for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

Task = Callable[[], None]
T = TypeVar("T")


class _Job:
    """Tasks that were shared out together.

    Args:
        tasks: In the order in which they are begun.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.open = deque(tasks)
        self.unfinished = len(self.open)
        self.error: BaseException | None = None


class Crew:
    """Share tasks among the threads that wait for them.

    A thread that shares tasks out works on them itself. One that waits for what that thread makes of them
    takes its share instead of waiting: where the first gets little of a processor, the second does the work.
    """

    def __init__(self) -> None:
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()

    def __reduce__(self) -> tuple[type[Crew], tuple[()]]:
        """Another process has threads of its own."""
        return Crew, ()

    def share(self, tasks: Iterable[Task]) -> None:
        """Have tasks done, by this thread and by those in :meth:`result_of`.

        Raises:
            BaseException: What the first task raised that failed.
        """
        job = _Job(tasks)
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
        try:
            self._work(job)
        finally:
            with self._changed:
                self._changed.wait_for(lambda: not job.unfinished)
                self._jobs.remove(job)
        if job.error is not None:
            raise job.error

    def result_of(self, coming: Future[T]) -> T:
        """What another thread makes, with this thread's help.

        Raises:
            BaseException: What the other thread raised.
        """
        coming.add_done_callback(self._wake)
        while not coming.done():
            if (job := self._open_job()) is not None:
                self._work(job)
            with self._changed:
                self._changed.wait_for(lambda: coming.done() or self._open_job() is not None)
        return coming.result()

    def _open_job(self) -> _Job | None:
        return next((job for job in tuple(self._jobs) if job.open), None)

    def _wake(self, _: Future[T]) -> None:
        with self._changed:
            self._changed.notify_all()

    def _work(self, job: _Job) -> None:
        while (task := self._next(job)) is not None:
            try:
                task()
            except BaseException as error:
                self._done(job, error)
                # The thread that shared the tasks out tells what failed; an interrupt is each thread's own.
                if not isinstance(error, Exception):
                    raise
            else:
                self._done(job)

    def _next(self, job: _Job) -> Task | None:
        with self._changed:
            return job.open.popleft() if job.open else None

    def _done(self, job: _Job, error: BaseException | None = None) -> None:
        with self._changed:
            job.unfinished -= 1
            if error is not None:
                # What has not been begun is in vain.
                job.error = job.error or error
                job.unfinished -= len(job.open)
                job.open.clear()
            if not job.unfinished:
                self._changed.notify_all()
