"""What all commands share: a parser with one-line errors, logs on stderr, exit codes."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Callable
from typing import NoReturn

from mito_instance.errors import MitoInstanceError

OK = 0
SOME_FAILED = 1
NOTHING_DONE = 2


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


def run(work: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Do a command's work with logs on stderr, and turn its errors into one line.

    Args:
        work: the command proper; returns its exit code.
        args: parsed arguments.

    Returns:
        0 all done, 1 some inputs failed, 2 nothing could be done, 130 interrupted.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        return work(args)
    except MitoInstanceError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return NOTHING_DONE
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left (`| head`): no one is there to tell.
        sys.stderr.close()
        return NOTHING_DONE
