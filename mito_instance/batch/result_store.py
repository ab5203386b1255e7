"""A folder of finished pages, from which an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mito_instance.batch.page_result import PageResult
from mito_instance.errors import ImageError, MitoInstanceError
from mito_instance.io.files import make_folder, write_text_atomic

logger = logging.getLogger(__name__)

FORMAT = 3
MAX_BYTES = 1024**3
"""A page of a million objects has some 300 MB; what is larger was not written here."""


@dataclass(frozen=True, slots=True)
class PageKey:
    """What a stored result depends on; any difference makes it another page.

    Args:
        path: the image.
        frame: 0-based page.
        values: JSON values: image, size and time of its file, page, model and settings.
    """

    path: Path
    frame: int
    values: Mapping[str, Any]

    @property
    def file_name(self) -> str:
        """Readable, and unique by the hash of all values."""
        digest = hashlib.sha256(_canonical(self.values).encode()).hexdigest()[:24]
        stem = "".join(sign if sign.isalnum() else "_" for sign in self.path.stem[:40])
        return f"{stem.encode('ascii', 'replace').decode().replace('?', '_')}-{digest}.json"


class ResultStore:
    """One small file a finished page, written atomically.

    The name of a file holds the hash of all that its result depends on: path, size and time of
    change of the image, page, weights, config and settings. So a changed image or setting finds
    no file and is computed anew, and results of several settings live side by side. Each file
    begins with the hash of its content: what is cut off or damaged is computed anew, too.
    Failed pages are not stored; they are tried again.

    Args:
        folder: made if absent.
        settings: JSON values that stand for the model and how it is used. Of devices only the kind
            tells results apart: a run goes on with another GPU, or more of them.

    Raises:
        ConfigError: if the folder cannot be made or written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = dict(settings)
        if "device" in settings:
            kinds = {name.partition(":")[0] for name in str(settings["device"]).split(",")}
            self._settings["device"] = ",".join(sorted(kinds))
        make_folder(folder)

    def key(
        self,
        path: Path,
        frame: int,
        pixel_size_nm: float | None = None,
        beside: Sequence[Path] = (),
    ) -> PageKey:
        """The key of a page as its file is now; ask before reading the page.

        Args:
            path: the image.
            frame: 0-based page.
            pixel_size_nm: the user's, for a model that resamples; None for the file's own.
            beside: further files that the result depends on; they may be gone.

        Raises:
            ImageError: if the file is gone.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path") from None
        further = {"beside": [_state(other) for other in beside]} if beside else {}
        values = {
            "format": FORMAT,
            "image": os.path.abspath(path),  # noqa: PTH100 - links in the path are kept as they are
            "bytes": status.st_size,
            "changed_ns": status.st_mtime_ns,
            "frame": frame,
            "pixel_size_nm": pixel_size_nm,
            "settings": self._settings,
            **further,
        }
        return PageKey(path, frame, values)

    def load(self, key: PageKey) -> PageResult | None:
        """The stored result; None if there is none, or none that is whole."""
        file = self.folder / key.file_name
        try:
            if file.stat().st_size > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
            digest, _, content = file.read_bytes().partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() != digest:
                raise ValueError("checksum does not fit")
            stored = json.loads(content)
            if stored["key"] != json.loads(_canonical(key.values)):
                raise ValueError("belongs to another page")
            return PageResult.from_json(stored["result"], key.path, key.frame)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            reason = str(error)[:120]
        except MitoInstanceError as error:
            reason = str(error)
        logger.warning("%s: stored result is damaged (%s); computed anew", file, reason)
        return None

    def save(self, key: PageKey, result: PageResult) -> None:
        """Keep a result; it is either whole in the folder or not there.

        Raises:
            ConfigError: if the file cannot be written.
        """
        content = _canonical({"key": key.values, "result": result.to_json()})
        digest = hashlib.sha256(content.encode()).hexdigest()
        write_text_atomic(self.folder / key.file_name, f"{digest}\n{content}")


def _state(path: Path) -> list[Any]:
    """What tells that a file changed."""
    try:
        status = path.stat()
    except OSError:
        return [path.name, None, None]
    return [path.name, status.st_size, status.st_mtime_ns]


def _canonical(values: Mapping[str, Any]) -> str:
    """The same text for the same values."""
    return json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
