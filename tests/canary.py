"""Addresses that nobody configured: what asks them is noticed. And servers that send their clients there."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Asked:
    """Where a server listens, and each request that it got: method, path, headers and body in one text."""

    url: str
    requests: list[str] = field(default_factory=list)


@contextmanager
def server(status: int = 200, location: str = "", certificate: Path | None = None) -> Iterator[Asked]:
    """A server that answers everything alike, with a redirect when `location` is given, by https with a certificate."""
    asked = Asked("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.requests.append(f"{self.command} {self.path}\n{self.headers}\n{body.decode(errors='replace')}")
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    if certificate is not None:
        # A client that hangs up because of the certificate is what some want to see.
        http.handle_error = lambda *_: None  # type: ignore[method-assign]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    asked.url = f"http{'s' if certificate else ''}://127.0.0.1:{http.server_port}"
    yield asked
    http.shutdown()
    http.server_close()
