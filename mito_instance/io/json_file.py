"""JSON files of strangers: read whole, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mito_instance.errors import AnnotationError

MAX_JSON_BYTES = 2 * 1024**3


MARK_OF_EVALUATION = '"command": "evaluate"'
"""Stands in every ``metrics.json`` of an evaluation, and in none of a training."""


def read_json(path: Path, form: str) -> Any:
    """What a JSON file holds.

    Args:
        path: the file; UTF-8, with or without a byte order mark.
        form: what it should be, for the messages: ``"COCO JSON"``.

    Returns:
        Any JSON value. Python's extensions NaN and Infinity are accepted as floats.

    Raises:
        AnnotationError: if the file cannot be read, is larger than 2 GiB, is not JSON, or is
            nested more deeply than Python can follow.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_JSON_BYTES:
            raise AnnotationError(
                f"{path}: {form} must be <= {MAX_JSON_BYTES} bytes, got {n_bytes}; split the file"
            )
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise AnnotationError(f"{path}: cannot read ({reason}); check the path") from error
    except RecursionError as error:
        raise AnnotationError(f"{path}: JSON is nested too deeply; this is no {form}") from error
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, too many digits
        reason = str(error).splitlines()[0][:120]
        raise AnnotationError(f"{path}: not a JSON file ({reason}); give a {form}") from error
