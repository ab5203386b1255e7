"""What all commands share: a parser with one-line errors, logs on stderr, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from mito_instance.errors import MitoInstanceError, is_out_of_memory

logger = logging.getLogger(__name__)

OK = 0
SOME_FAILED = 1
NOTHING_DONE = 2

DEBUG = "MITO_DEBUG"
"""Environment variable; where it is set, an error that nobody foresaw is shown with its course."""


_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class CommandParser(argparse.ArgumentParser):
    """A parser that keeps the layout of its texts and reports misuse in one line.

    Args:
        name: the command as users type it after ``mito``.
        description: what it does.
        example: one or more lines that a user can copy.
    """

    def __init__(self, name: str, description: str, example: str) -> None:
        super().__init__(
            prog=f"mito {name}",
            description=description,
            epilog=example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Report a usage error and leave with 2."""
        self.exit(NOTHING_DONE, f"error: {' '.join(message.split())}; see {self.prog} --help\n")


def checked_number(low: float, high: float) -> Callable[[str], float]:
    """An argument type: a number in [low, high].

    Args:
        low: least value.
        high: greatest value.
    """

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"must be a number from {low:g} to {high:g}, got {text!r}"
            )
        return number

    return parse


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number in [low, high].

    Args:
        low: least value, >= 0.
        high: greatest value.
    """

    def parse(text: str) -> int:
        is_number = text.isascii() and text.isdigit() and len(text) < 20
        if not (is_number and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, got {text[:40]!r}"
            )
        return int(text)

    return parse


def plain(text: str) -> str:
    """Text without characters that steer a terminal, such as those in a stranger's file names."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


class _Plain(logging.Formatter):
    """Log lines without such characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return plain(super().formatMessage(record))


def log_to_stderr(level: int) -> None:
    """Send log lines of this process to stderr, unless they go somewhere already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(levelname)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def run(work: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Do a command's work with logs on stderr, and turn its errors into one line.

    Args:
        work: the command proper; returns its exit code.
        args: parsed arguments.

    Returns:
        0 all done, 1 some inputs failed, 2 nothing could be done, 130 interrupted.
    """
    log_to_stderr(logging.INFO)
    with contextlib.suppress(AttributeError, OSError, ValueError):  # a stream of somebody else
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if os.environ.get(DEBUG):
        logging.getLogger("mito_instance").setLevel(logging.DEBUG)
    try:
        status = work(args)
        sys.stdout.flush()  # here, where a full disk can still be told
        return status
    except MitoInstanceError as error:
        print(f"error: {plain(' '.join(str(error).split()))}", file=sys.stderr)
        return NOTHING_DONE
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left (`| head`): no one is there to tell.
        _discard_stdout()
        return NOTHING_DONE
    except Exception as error:
        logger.debug("what led to the error", exc_info=True)
        print(f"error: {plain(_unforeseen(error))}", file=sys.stderr)
        _discard_stdout()
        return NOTHING_DONE


def _unforeseen(error: Exception) -> str:
    """One line on what no other place has an answer to."""
    if is_out_of_memory(error):
        return "not enough memory; close other programs, give smaller files, or lower MITO.TILE_PX"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else "standard output or a file: "
        return f"{where}{error.strerror or error}; check space and permissions, and run again"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name} line {frame.lineno}"
    text = " ".join(str(error).split())[:300]
    return (
        f"{type(error).__name__} in {place}: {text}; this is a defect of mito-instance: please "
        f"report it, with what {DEBUG}=1 says"
    )


def _discard_stdout() -> None:
    """What could not be written must not be tried again when Python ends."""
    if sys.__stdout__ is None or sys.stdout is not sys.__stdout__:
        return
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.__stdout__.fileno())
        os.close(nothing)
