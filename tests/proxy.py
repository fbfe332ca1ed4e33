"""A real HTTP forwarder on 127.0.0.1 that can be told to go wrong: between the backend and Label Studio, both ways."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType

import httpx

from tests.quiet_server import QuietServer

HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "content-encoding"}
"""Headers that concern one connection, or a body as it was packed on the way."""


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with one request.

    status: the answer instead of the real one; 0 = the real one. delay_s: before anything happens. how: "" = the
    request is not carried out where there is a status; "carried out" = it is, and then answered with the status;
    "cut" = it is, and the connection is closed without an answer; "refuse" = closed at once; "drop" = answered with
    201 and never carried out; "double" = carried out twice; "hold" = answered with 201, carried out by `release`.
    """

    status: int = 0
    how: str = ""
    delay_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request, and the status that it was answered with (0: none)."""

    method: str
    path: str
    status: int


Request = tuple[str, str, dict[str, str], bytes]


class Proxy:
    """A context manager. `trouble` is asked about each request (method, path); None = it goes through."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.trouble: Callable[[str, str], Trouble | None] = lambda *_: None
        self.seen: list[Seen] = []
        self.held: list[Request] = []
        self._client = httpx.Client(base_url=target, timeout=120, trust_env=False)
        self._http = _Server(("127.0.0.1", 0), self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._client.close()

    def heal(self) -> None:
        """From now on everything goes through."""
        self.trouble = lambda *_: None

    def release(self, order: Callable[[list[Request]], list[Request]]) -> None:
        """Carry out what was held, in an order."""
        held, self.held = self.held, []
        for request in order(held):
            self.forward(*request)

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        return self._client.request(method, path, headers=headers, content=body)


class _Server(QuietServer):
    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        trouble = proxy.trouble(self.command, self.path) or Trouble()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {*HOP, "host"}}
        # Unpacked on the way, an answer would no longer have the length that it says.
        headers["accept-encoding"] = "identity"
        request = (self.command, self.path, headers, body)
        time.sleep(trouble.delay_s)
        if trouble.how == "hold":
            proxy.held.append(request)
        carried_out = trouble.how in {"carried out", "cut", "double"} or (not trouble.how and not trouble.status)
        answer = None
        with suppress(httpx.HTTPError):
            for _ in range(carried_out + (trouble.how == "double")):
                answer = proxy.forward(*request)
        if trouble.how in {"cut", "refuse"}:
            proxy.seen.append(Seen(self.command, self.path, 0))
            self.close_connection = True
            return
        if trouble.how in {"drop", "hold"}:
            self._answer(201, {}, b"{}")
        elif trouble.status:
            self._answer(trouble.status, trouble.headers, b'{"detail": "trouble"}')
        elif answer is None:
            self._answer(502, {}, b"<html>Bad gateway</html>")
        else:
            self._answer(answer.status_code, answer.headers, answer.content)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.server.proxy.seen.append(Seen(self.command, self.path, status))
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:
        pass
