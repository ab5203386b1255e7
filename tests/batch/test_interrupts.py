"""Ctrl-C waits until the results of a page agree."""

import os
import signal

import cv2
import pytest

from mito_instance.batch.interrupts import held_interrupt
from mito_instance.batch.run import Batch, Results
from tests.dark_objects import DarkObjects, micrograph


@pytest.fixture(autouse=True)
def heard():
    """A shell lets what it starts in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)
    signal.getsignal(signal.SIGINT)  # a bytecode, at which Python calls the handler


def test_a_page_is_written_as_a_whole(images):
    rows, results = [], Results()

    def on_row(row):
        if not rows:
            press_ctrl_c()
        rows.append(row)

    batch = Batch(sorted(images.iterdir()), DarkObjects(), keep_all=True)
    with pytest.raises(KeyboardInterrupt):
        batch.run(on_row, results)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(rows) == len(results.instances) == len(results.figures) == results.n_done >= 1


def test_a_second_one_strikes_at_once():
    done = []

    @held_interrupt()
    def block():
        press_ctrl_c()
        done.append(1)
        press_ctrl_c()
        done.append(2)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == [1]


def test_others_handlers_are_left_alone():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        with held_interrupt():
            press_ctrl_c()
            assert pressed == [1]
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.png"), micrograph())
    return folder
