"""Images of tasks, made fit for an LLM, with a server in Label Studio's place."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.media import Images
from backend.errors import BadRequest

KEY = "0123456789abcdef"
PNG = b"\x89PNG\r\n"
FILES = {
    "/data/upload/1/a%20b.png": ("image/png", PNG),
    "/data/local-files/?d=images/c.jpg": ("image/jpeg; charset=binary", PNG),
    "/data/upload/1/large.png": ("image/png", PNG * 1000),
    "/data/upload/1/note.txt": ("text/plain", b"secret note"),
}


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.headers.get("authorization") != f"Token {KEY}":
            self._write(401, "application/json", b'{"detail": "Invalid token."}')
            return
        if self.path.endswith("endless.png"):
            self._go_on()
            return
        kind, content = FILES.get(self.path.removeprefix("/studio"), ("", b""))
        self._write(200 if kind else 404, kind or "text/html", content)

    def _go_on(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "image/png")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(PNG * 10_000)

    def _write(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()


@pytest.fixture(params=["", "/studio"], ids=["at the root", "under a path"])
def images(request: pytest.FixtureRequest, server: str) -> Images:
    url = server + request.param
    return Images(url, LabelStudioApi(url, KEY).download, max_bytes=1000)


@pytest.mark.parametrize("url", ["https://example.org/a.png?signature=x", "http://example.org/a.png"])
def test_what_anyone_can_read_is_passed_on(images: Images, url: str) -> None:
    assert images(url) == url


def test_a_data_url_is_passed_on(images: Images) -> None:
    assert images("data:image/png;base64,iVBORw0K") == "data:image/png;base64,iVBORw0K"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data/upload/1/a%20b.png", "image/png"), ("/data/local-files/?d=images/c.jpg", "image/jpeg")],
)
def test_what_label_studio_holds_is_fetched_with_our_key(images: Images, server: str, path: str, kind: str) -> None:
    expected = f"data:{kind};base64,iVBORw0K"
    assert images(path) == expected
    assert images(server + path) == expected


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data:image/png;base64," + "A" * 2000, "MB"),
        ("/data/upload/1/large.png", "MB"),
        ("/data/upload/1/endless.png", "MB"),
        ("data:text/html;base64,AAAA", "not an image"),
        ("/data/upload/1/note.txt", "not an image"),
        ("/data/upload/1/missing.png", "404"),
        ("s3://bucket/tortoise.png", "s3:// address"),
        ("gs://bucket/tortoise.png", "pre-signed"),
        ("azure-blob://container/tortoise.png", "pre-signed"),
        ("file:///etc/passwd", "file:// address"),
        ("https://user:hunter2@example.org/tortoise.png", "password"),
        ("/api/projects/", "isn't one of Label Studio's files"),
        ("/data/../api/current-user/token", "isn't one of Label Studio's files"),
        ("/data/%2e%2e/api/current-user/token", "isn't one of Label Studio's files"),
        ("//example.org/tortoise.png", "can't be sent"),
        ("http://[broken", "can't be sent"),
        ("tortoise.png", "can't be sent"),
        ("", "can't be sent"),
    ],
)
def test_what_cant_be_sent_is_said_without_its_address(images: Images, url: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        images(url)
    for secret in ("tortoise", "hunter2", "secret note", "/upload/1", KEY):
        assert secret not in str(caught.value)


def test_a_key_that_label_studio_refuses_is_named(server: str) -> None:
    images = Images(server, LabelStudioApi(server, "wrong-key").download)
    with pytest.raises(BadRequest, match="LABEL_STUDIO_API_KEY"):
        images("/data/upload/1/a%20b.png")
