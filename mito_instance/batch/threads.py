"""Three steps of many tasks, the outer two beside the middle one; results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

Task = TypeVar("Task")
Read = TypeVar("Read")
Found = TypeVar("Found")
Result = TypeVar("Result")


def in_three_steps(
    tasks: Iterable[Task],
    read: Callable[[Task], Read],
    predict: Callable[[Read], Found],
    finish: Callable[[Read, Found], Result],
    n_threads: int,
) -> Iterator[tuple[Task, Result | Exception]]:
    """Results of all tasks, in their order.

    ``predict`` is called in this thread, one task after the other. With threads, the next tasks
    are read and the previous ones finished meanwhile; at most 2 ``n_threads`` + 1 tasks are
    held at a time. Results do not depend on the number of threads.

    Args:
        tasks: what is to be done.
        read: first step.
        predict: second step.
        finish: third step.
        n_threads: beside this one; 0 for none.

    Yields:
        Each task with its result, or with the exception that one of its steps raised.
    """
    if n_threads == 0:
        for task in tasks:
            try:
                loaded = read(task)
                result: Result | Exception = finish(loaded, predict(loaded))
            except Exception as error:  # for the caller to tell apart
                result = error
            yield task, result
        return
    remaining = iter(tasks)
    ahead: deque[tuple[Task, Future[Read]]] = deque()
    behind: deque[tuple[Task, Future[Result]]] = deque()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="page") as pool:
        try:
            for task in islice(remaining, n_threads):
                ahead.append((task, pool.submit(read, task)))
            while ahead:
                task, reading = ahead.popleft()
                for following in islice(remaining, 1):
                    ahead.append((following, pool.submit(read, following)))
                finished: Future[Result] = Future()
                try:
                    loaded = reading.result()
                    finished = pool.submit(finish, loaded, predict(loaded))
                except Exception as error:
                    finished.set_exception(error)
                behind.append((task, finished))
                while behind and (len(behind) > n_threads or behind[0][1].done()):
                    yield _outcome(behind.popleft())
        except KeyboardInterrupt:
            # Reading ends, but what was predicted is not lost.
            for _, reading in ahead:
                reading.cancel()
            while behind:
                yield _outcome(behind.popleft())
            raise
        while behind:
            yield _outcome(behind.popleft())


def _outcome(waiting: tuple[Task, Future[Any]]) -> tuple[Task, Any]:
    """What came of a task, waiting for it: its result, or the exception that a step raised."""
    task, finished = waiting
    error = finished.exception()
    if error is None:
        return task, finished.result()
    if isinstance(error, Exception):
        return task, error
    raise error
