"""The same work on many files, several at a time; results in the order of the files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_order(
    tasks: Iterable[Task], work: Callable[[Task], Result], n_threads: int
) -> Iterator[tuple[Task, Future[Result]]]:
    """Every task with its finished future, in the order of the tasks.

    Decoders and array operations leave Python's lock while they compute, so that threads share
    the cores. ``n_threads`` tasks are under way while one is handed out. When the iterator is
    closed early, tasks that have not begun are dropped.

    Args:
        tasks: what is to be done; taken from as work goes on.
        work: called for each task, in one of the threads; an exception stays in the future.
        n_threads: 1 or more.
    """
    remaining = iter(tasks)
    under_way: deque[tuple[Task, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="file")
    try:
        for task in islice(remaining, n_threads):
            under_way.append((task, pool.submit(work, task)))
        while under_way:
            task, future = under_way.popleft()
            future.exception()  # waits
            for following in islice(remaining, 1):
                under_way.append((following, pool.submit(work, following)))
            yield task, future
    finally:
        pool.shutdown(cancel_futures=True)
