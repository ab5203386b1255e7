"""Three steps of many tasks, the outer two beside the middle one; results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
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
    n_predicted: int = 1,
) -> Generator[tuple[Task, Result | Exception], None, None]:
    """Results of all tasks, in their order.

    ``predict`` is called for one task after the other, or for ``n_predicted`` at a time. With
    threads, the next tasks are read and the previous ones finished meanwhile; at most
    2 ``n_threads`` + ``n_predicted`` tasks are held at a time. Results do not depend on the
    number of threads. Where the caller closes this early, the threads have ended when that returns.

    Args:
        tasks: what is to be done.
        read: first step.
        predict: second step.
        finish: third step.
        n_threads: that read and finish; 0 for none beside this one, whatever ``n_predicted``.
        n_predicted: tasks that ``predict`` is called for at a time, each in a thread of its own;
            with 1, it is called in this thread.

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
    running: deque[tuple[Task, Future[Read], Future[Found]]] = deque()
    behind: deque[tuple[Task, Future[Result]]] = deque()
    with ExitStack() as pools:
        pool = pools.enter_context(ThreadPoolExecutor(n_threads, thread_name_prefix="page"))
        networks: Executor | None = None
        if n_predicted > 1:
            networks = pools.enter_context(ThreadPoolExecutor(n_predicted, "predict"))

        def finish_oldest() -> None:
            """Hand the oldest task in prediction on, waiting for it."""
            task, reading, predicting = running[0]
            finished = _after(predicting, partial(_then, pool, finish, reading))
            running.popleft()  # only now: an interruption while waiting must not lose it
            behind.append((task, finished))

        try:
            for task in islice(remaining, n_threads):
                ahead.append((task, pool.submit(read, task)))
            while ahead or running:
                if ahead and len(running) < n_predicted:
                    task, reading = ahead.popleft()
                    for following in islice(remaining, 1):
                        ahead.append((following, pool.submit(read, following)))
                    running.append(
                        (task, reading, _after(reading, partial(_in, networks, predict)))
                    )
                    if len(running) < n_predicted and ahead:
                        continue
                finish_oldest()
                while behind and (len(behind) > n_threads or behind[0][1].done()):
                    yield _oldest(behind)
            while behind:
                yield _oldest(behind)
        except KeyboardInterrupt:
            # Reading ends, but what was predicted is not lost.
            for _, reading in ahead:
                reading.cancel()
            while running:
                finish_oldest()
            while behind:
                yield _oldest(behind)
            raise


def _after(first: Future[Any], step: Callable[[Any], Future[Any]]) -> Future[Any]:
    """What the next step makes of a result, waiting for that; or the exception instead of it."""
    try:
        return step(first.result())
    except Exception as error:
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed


def _in(networks: Executor | None, predict: Callable[[Read], Found], loaded: Read) -> Future[Found]:
    """Predict in one of the threads, or in this one if there are none."""
    if networks is not None:
        return networks.submit(predict, loaded)
    predicted: Future[Found] = Future()
    predicted.set_result(predict(loaded))
    return predicted


def _then(
    pool: Executor, finish: Callable[[Read, Found], Result], reading: Future[Read], found: Found
) -> Future[Result]:
    """Finish in one of the threads."""
    return pool.submit(finish, reading.result(), found)


def _oldest(behind: deque[tuple[Task, Future[Any]]]) -> tuple[Task, Any]:
    """What came of the oldest task, waiting for it: its result, or the exception of a step."""
    task, finished = behind[0]
    error = finished.exception()
    behind.popleft()  # only now: an interruption while waiting must not lose it
    if error is None:
        return task, finished.result()
    if isinstance(error, Exception):
        return task, error
    raise error
