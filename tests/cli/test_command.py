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


@pytest.mark.parametrize("debug", ["", "1"])
def test_the_course_of_an_unforeseen_error_is_shown_where_asked_for(monkeypatch, debug):
    monkeypatch.setenv("MITO_DEBUG", debug)
    code = PRINT.replace("int(sys.argv[1])", "{}['nobody foresaw this']")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nobody foresaw this" in done.stderr.splitlines()[-1]
    assert ("Traceback" in done.stderr) == bool(debug)


def test_the_name_of_a_damaged_image_does_not_steer_the_terminal(tmp_path):
    """As those of other inputs that fail."""
    for name in ("good", "\x1b]52;c;cm0=\x07"):
        (tmp_path / f"{name}.png").write_bytes(b"no image")
    code = "from mito_instance.cli.quantify import main; import sys; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "]52;c;cm0=" in done.stderr
    assert not {"\x1b", "\x07"} & set(done.stderr)


def test_nothing_that_steers_a_terminal_is_printed():
    name = "\x1b]52;c;cm0=\x07\x1b[2Jx.png"
    code = PRINT.replace("print(number)", "logging.warning(args.x); raise ConfigError(args.x)")
    code = code.replace("argparse.Namespace()", "argparse.Namespace(x=sys.argv[2])")
    code = f"import logging\nfrom mito_instance.errors import ConfigError{code}"
    done = subprocess.run(
        [sys.executable, "-c", code, "1", name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("]52;c;cm0=") == 2
    assert not {"\x1b", "\x07"} & set(done.stderr)
