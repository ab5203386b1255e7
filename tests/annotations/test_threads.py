"""Work on many files in threads."""

import threading

import pytest

from mito_instance.annotations.threads import in_order


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(n_threads: int) -> None:
    first_may_end = threading.Event()

    def work(task: int) -> int:
        if task == 0 and n_threads > 1:
            assert first_may_end.wait(10)  # the second ends before the first
        if task == 1:
            first_may_end.set()
        return task * task

    found = [(task, future.result()) for task, future in in_order(range(20), work, n_threads)]
    assert found == [(task, task * task) for task in range(20)]


def test_an_exception_stays_with_its_task() -> None:
    def work(task: int) -> float:
        return 1 / task

    futures = dict(in_order([1, 0, 2], work, 2))
    assert isinstance(futures[0].exception(), ZeroDivisionError)
    assert [futures[1].result(), futures[2].result()] == [1.0, 0.5]


def test_tasks_are_taken_as_work_goes_on_and_no_more_after_an_early_end() -> None:
    taken: list[int] = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(tasks(), lambda task: task, 3)
    for _ in range(5):
        next(results)
    assert len(taken) <= 5 + 3
    results.close()
    assert len(taken) <= 5 + 3


def test_no_task_no_result() -> None:
    assert list(in_order([], str, 2)) == []
