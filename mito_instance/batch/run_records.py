"""What results were made with, as a JSON file beside them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mito_instance.errors import AnnotationError
from mito_instance.io.files import write_text_atomic
from mito_instance.io.json_file import read_json

logger = logging.getLogger(__name__)

RECORD_NAME = "run.json"
"""The name of the table that it stands beside is in front."""

_MARK = "mito_instance"
_MAX_BYTES = 1 << 20


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record, unless another file of that name is there; the log says so.

    Args:
        path: the file.
        record: of ``batch.run.run_record``, and the options that say what counts.

    Raises:
        ConfigError: if it cannot be written.
    """
    if path.exists() and not _is_record(path):
        logger.warning("%s: was not written by this program; it is kept", path)
        return
    write_text_atomic(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _is_record(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return False
        found = read_json(path, "run record")
    except (OSError, AnnotationError):
        return False
    return isinstance(found, dict) and _MARK in found
