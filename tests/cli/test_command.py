"""What every command does when its output or its own code fails: one line and a fitting status."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from mito_instance.cli.command import run
from mito_instance.errors import ConfigError


def failing(error):
    def work(_args):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        pytest.param(ConfigError("a:\n b"), 2, "error: a: b", id="ours"),
        pytest.param(KeyboardInterrupt(), 130, "error: interrupted", id="interrupted"),
        pytest.param(MemoryError(), 2, "error: not enough memory; close other", id="memory"),
        pytest.param(
            PermissionError(13, "Permission denied", "x.csv"), 2, "error: x.csv: Permission denied",
            id="file",
        ),
        pytest.param(
            OSError(28, "No space left on device"), 2,
            "error: standard output or a file: No space left on device", id="stdout",
        ),
        pytest.param(
            KeyError("x"), 2, "error: KeyError in test_command.py line 18: 'x'; this is a defect",
            id="defect",
        ),
        pytest.param(BrokenPipeError(), 2, None, id="reader-left"),
    ],
)  # fmt: skip
def test_errors_are_one_line(capsys, error, status, line):
    assert run(failing(error), argparse.Namespace()) == status
    lines = capsys.readouterr().err.splitlines()
    if line is None:
        assert lines == []
    else:
        assert len(lines) == 1
        assert lines[0].startswith(line)


PRINT = """
import argparse, sys
from mito_instance.cli.command import run
def work(args):
    for number in range(int(sys.argv[1])):
        print(number)
    return 0
sys.exit(run(work, argparse.Namespace()))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("n_lines", [1, 100_000])
def test_a_full_disk_behind_stdout_is_one_line(n_lines):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PRINT, str(n_lines)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: standard output or a file: No space left on device; check space and permissions, "
        "and run again"
    ]


def test_a_reader_that_leaves_is_no_error_to_speak_of():
    command = [sys.executable, "-c", PRINT, "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 2
