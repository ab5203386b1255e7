"""Fetch the published files of a data set that are not in its folder, and unpack its zips."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

from mito_instance.annotations.published import DataSet, RemoteFile
from mito_instance.errors import ConfigError
from mito_instance.io import download as downloads
from mito_instance.io.files import atomic_path
from mito_instance.io.zip_damage import ZIP_DAMAGE

logger = logging.getLogger(__name__)

_BEGINS_WITH = {
    ".tif": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".zip": (b"PK\x03\x04",),
}
_CHUNK_BYTES = 1 << 20


def fetch(data_set: DataSet, folder: Path) -> None:
    """Download what is not there yet; a zip is unpacked and kept.

    Args:
        data_set: with its files.
        folder: of the data set; made if absent.

    Raises:
        ConfigError: if a file cannot be fetched or unpacked; those before it stay.
    """
    n_there = 0
    for file in data_set.files:
        path = folder / file.name
        if path.exists():
            n_there += 1
        else:
            downloads.download(
                file.url,
                path,
                max_bytes=file.max_bytes,
                starts_with=_BEGINS_WITH[path.suffix],
                md5=file.md5,
            )
        for member, name in file.members:
            if not (folder / name).exists():
                _unpack(path, member, folder / name, file)
    if n_there:
        logger.info("%s: %d of %d files are there already", folder, n_there, len(data_set.files))


def _unpack(archive_path: Path, member: str, path: Path, file: RemoteFile) -> None:
    """Write one member of a zip to a path that the zip has no say in."""
    try:
        with (
            zipfile.ZipFile(archive_path) as archive,
            archive.open(member) as source,
            atomic_path(path) as temporary,
            temporary.open("wb") as sink,
        ):
            n_bytes = 0
            while chunk := source.read(_CHUNK_BYTES):
                n_bytes += len(chunk)
                if n_bytes > file.max_bytes:
                    raise ValueError(f"more than {file.max_bytes} bytes")
                sink.write(chunk)
    except ZIP_DAMAGE as error:
        text = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"{archive_path}: {member} cannot be unpacked ({text}); remove the zip, fetch it anew"
        ) from error
    logger.info("%s: unpacked from %s", path, archive_path.name)
