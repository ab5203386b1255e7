"""Atomic output: a result file is either whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mito_instance.errors import ConfigError, DiskFullError, MitoInstanceError

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DISK_ERRORS = _DISK_FULL | {errno.EROFS, errno.EFBIG, errno.EACCES, errno.EIO, errno.ENAMETOOLONG}
_MAX_SUFFIX = 16
_SETTLED_NS = 3_000_000_000


def is_settled(changed_ns: int) -> bool:
    """Whether a file or folder would show a further change by its time of change.

    Right after a change it might not: some file systems keep times as coarse as two seconds.

    Args:
        changed_ns: time of change in ns; one in the future is that of another clock.
    """
    return abs(time.time_ns() - changed_ns) > _SETTLED_NS


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of ``path`` that becomes ``path`` when the block succeeds.

    The folder is made if absent. The temporary file keeps the suffix of ``path``, because
    many writers choose the format by it. A symbolic link is followed, not replaced. Devices
    and pipes (``/dev/stdout``) are written to, not replaced.

    Args:
        path: where the result shall lie.

    Yields:
        A path that does not exist yet; write the result there. Writing nothing leaves
        ``path`` as it was.

    Raises:
        DiskFullError: if the disk is full.
        ConfigError: if the folder cannot be made or written, or ``path`` is a folder.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: output must be a file, but this is a folder; give a file name")
    if is_special(path):
        with _copied_into(path) as temporary:
            yield temporary
        return
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    if not os.access(target.parent, os.W_OK):
        raise ConfigError(f"{path}: no permission to write in this folder; choose another output")
    suffix = target.suffix if len(target.suffix) <= _MAX_SUFFIX else ""
    temporary = target.parent / f".{uuid.uuid4().hex}.tmp{suffix}"
    try:
        yield temporary
        if temporary.exists():
            temporary.replace(target)
    except OSError as error:
        if error.errno in _DISK_ERRORS or error.filename == str(temporary):
            raise _cannot_write(path, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    r"""Write ``text`` as UTF-8 with ``\n`` line ends; the file is either whole or unchanged.

    Raises:
        ConfigError: as `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def make_folder(folder: Path) -> None:
    """Make an output folder before the work, so that a bad one is noticed at once.

    Args:
        folder: made with its parents if absent.

    Raises:
        ConfigError: if it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot make this folder ({error.strerror}); choose another"
        ) from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder}: cannot be written to; choose another folder")


@contextmanager
def _copied_into(path: Path) -> Iterator[Path]:
    """A temporary path whose content is copied into a device or pipe at the end."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / f"output{path.suffix}"
        yield temporary
        if temporary.exists():
            try:
                with temporary.open("rb") as source, path.open("ab") as sink:
                    shutil.copyfileobj(source, sink)
            except OSError as error:
                raise _cannot_write(path, error) from error


def is_special(path: Path) -> bool:
    """Whether ``path`` is a device, a pipe or a file descriptor, which must not be replaced."""
    absolute = path.absolute()
    if any(absolute.is_relative_to(root) for root in ("/dev", "/proc")):
        return not absolute.is_relative_to("/dev/shm")  # a file system, not a device
    return path.exists() and not path.is_file()


def _cannot_write(path: Path, error: OSError) -> MitoInstanceError:
    """One line for an output that the system refuses."""
    reason = error.strerror or str(error)
    if error.errno in _DISK_FULL:
        return DiskFullError(f"{path}: cannot write the output ({reason}); make room and run again")
    return ConfigError(f"{path}: cannot write the output ({reason}); choose another output")
