"""Downloads: https only, whole or not at all, one line offline."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request

import pytest

from mito_instance.errors import ConfigError
from mito_instance.io.download import HttpsRedirects, download

URL = "https://example.org/a.tif"
CONTENT = b"II*\0" + bytes(100)


class Response(io.BytesIO):
    def __init__(self, content, length):
        super().__init__(content)
        self.headers = {} if length is None else {"Content-Length": str(length)}


@pytest.fixture
def serve(monkeypatch):
    def set_answer(content=CONTENT, length=104, error=None):
        def answer(opener, url, timeout):
            if error:
                raise error
            return Response(content, length)

        monkeypatch.setattr(urllib.request.OpenerDirector, "open", answer)

    return set_answer


@pytest.mark.parametrize("length", [len(CONTENT), None], ids=["length", "no-length"])
def test_a_whole_file(tmp_path, serve, length):
    serve(length=length)
    path = tmp_path / "new" / "a.tif"
    download(URL, path, max_bytes=200, starts_with=[b"II*\0"])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "url", "message"),
    [
        pytest.param({}, "http://example.org/a.tif", "only https", id="http"),
        pytest.param({}, "file:///etc/passwd", "only https", id="file"),
        pytest.param({"length": 10**12}, URL, "at most 200 are taken", id="announced-too-large"),
        pytest.param(
            {"content": CONTENT * 9, "length": None}, URL, "more than the 200 bytes", id="too-large"
        ),
        pytest.param({"length": 150}, URL, "only 104 of 150 bytes arrived", id="cut-off"),
        pytest.param({"content": b"", "length": None}, URL, "only 0 of some bytes", id="empty"),
        pytest.param({"content": b"<html>", "length": 6}, URL, "another kind of file", id="html"),
        pytest.param(
            {"error": urllib.error.URLError("Name or service not known")},
            URL,
            r"Name or service not known\); fetch it with a browser",
            id="offline",
        ),
        pytest.param({"error": TimeoutError("timed out")}, URL, "timed out", id="timeout"),
        pytest.param({"error": ConnectionResetError()}, URL, "ConnectionResetError", id="reset"),
    ],
)
def test_nothing_is_left_of_a_failed_download(tmp_path, serve, answer, url, message):
    serve(**answer)
    with pytest.raises(ConfigError, match=message) as caught:
        download(url, tmp_path / "a.tif", max_bytes=200, starts_with=[b"II*\0"])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_published_checksum_is_compared(tmp_path, serve):
    right = hashlib.md5(CONTENT).hexdigest()
    serve()
    download(URL, tmp_path / "a.tif", max_bytes=200, md5=right)
    assert (tmp_path / "a.tif").read_bytes() == CONTENT
    with pytest.raises(ConfigError, match=rf"its md5 is {right}, but 0123 is published\); fetch"):
        download(URL, tmp_path / "b.tif", max_bytes=200, md5="0123")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_redirect_must_not_leave_https():
    request = urllib.request.Request(URL)
    handler = HttpsRedirects()
    with pytest.raises(urllib.error.URLError, match="no https"):
        handler.redirect_request(request, None, 302, "", {}, "http://example.org/b.tif")
    followed = handler.redirect_request(request, None, 302, "", {}, "https://example.org/b.tif")
    assert followed.full_url == "https://example.org/b.tif"
