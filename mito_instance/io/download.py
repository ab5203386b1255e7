"""Fetch one published file over https, whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from mito_instance.errors import ConfigError
from mito_instance.io.files import atomic_path

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20


class HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The next request, refused when it leaves https."""
        if not newurl.lower().startswith("https://"):
            raise urllib.error.URLError(
                f"the server redirects to {newurl[:80]!r}, which is no https"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str, path: Path, *, max_bytes: int, starts_with: Sequence[bytes] = (), md5: str = ""
) -> None:
    """Fetch a file over https into a temporary file that becomes ``path`` when it is whole.

    Args:
        url: https address.
        path: where the file shall lie; its folder is made.
        max_bytes: a larger file is refused.
        starts_with: the file must begin with one of these; any content when empty.
        md5: published checksum, in hexadecimal digits; any content when empty.

    Raises:
        ConfigError: if the address is no https, the server cannot be reached, or the file is
            too large, cut off, of another kind, or another than the published one.
    """
    where = f"{url}: cannot be downloaded"
    remedy = f"fetch it with a browser and save it as {path}"
    if not url.startswith("https://"):
        raise ConfigError(f"{where} (only https addresses are); {remedy}")
    opener = urllib.request.build_opener(HttpsRedirects)
    try:
        with opener.open(url, timeout=TIMEOUT_S) as response, atomic_path(path) as temporary:
            _receive(response, temporary, path.name, max_bytes, starts_with)
            _compare_md5(temporary, md5)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        text = " ".join(str(reason).split())[:120] or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in text:  # python.org's Python on a Mac has none at first
            remedy = f"on a Mac, run Install Certificates.command of your Python once; or {remedy}"
        raise ConfigError(f"{where} ({text}); {remedy}") from error
    logger.info("%s: downloaded, %d bytes", path, path.stat().st_size)


def _receive(
    response: Any, path: Path, name: str, max_bytes: int, starts_with: Sequence[bytes]
) -> None:
    """Copy a response into a file.

    Raises:
        ValueError: if it is too large, cut off, or of another kind.
    """
    from tqdm import tqdm

    announced = response.headers.get("Content-Length") or ""
    n_expected = int(announced) if announced.isascii() and announced.isdigit() else None
    if n_expected is not None and n_expected > max_bytes:
        raise ValueError(f"the file has {n_expected} bytes, at most {max_bytes} are taken")
    n_bytes = 0
    with (
        path.open("wb") as sink,
        tqdm(total=n_expected, desc=name, unit="B", unit_scale=True, disable=None) as progress,
    ):
        while chunk := response.read(_CHUNK_BYTES):
            if n_bytes == 0 and starts_with and not chunk.startswith(tuple(starts_with)):
                raise ValueError("the server sent another kind of file")
            n_bytes += len(chunk)
            if n_bytes > max_bytes:
                raise ValueError(f"the file has more than the {max_bytes} bytes that are taken")
            sink.write(chunk)
            progress.update(len(chunk))
    if n_bytes == 0 or (n_expected is not None and n_bytes != n_expected):
        raise ValueError(f"only {n_bytes} of {announced or 'some'} bytes arrived")


def _compare_md5(path: Path, md5: str) -> None:
    """Refuse another file than the published one.

    Raises:
        ValueError: if the checksum is another.
    """
    if not md5:
        return
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != md5:
        raise ValueError(f"its md5 is {digest.hexdigest()}, but {md5} is published")
