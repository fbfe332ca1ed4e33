"""Bounds on connections: how many there may be, and how long the other side may keep one waiting.

uvicorn waits for ever: for the rest of a request, and for its answer to be taken. Here a connection either works (we
owe an answer to a whole request, which has its own limits) or waits for the other side. One that waits too long is
ended. When there are too many, the one that has waited longest makes room, and some places are kept for probes, so that
`/health` is answered whatever others do.
"""

import asyncio
import json
import resource
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backend.entrypoints.web.access import PROBES

TICK_S = 1.0
"""A waiting connection is looked at so often. Its time is counted in looks: what stops us is not held against it."""
BYTES_PER_S = 1000
"""What a body or an answer must move in the mean, once its time is used up."""
MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 200
PLACES_FOR_PROBES = 8
OTHER_FILES = 64
"""Files that are kept for everything else: Redis, database, logs, versions, calls to Label Studio."""
FEWEST_CONNECTIONS = 16
KEEP_ALIVE_S = 5
SAY_EACH_S = 60.0

log = structlog.get_logger()


def connections_that_fit(wanted: int) -> int:
    """How many connections there may be: as many as wanted, as far as the limit of open files leaves room."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit - OTHER_FILES >= wanted:
        return wanted
    fit = min(wanted, max(FEWEST_CONNECTIONS, limit - OTHER_FILES))
    log.warning(f"this process may open {limit} files (ulimit -n): that is enough for {fit} connections", wanted=wanted)
    return fit


def bounded_protocol(timeout_s: float, most: int, note: Callable[[str], None]) -> type[asyncio.Protocol]:
    """The class that uvicorn is to serve each connection with.

    `timeout_s`: seconds for a request's headers, and again for its body and for taking the answer, which get one more
    for each `BYTES_PER_S`. `most`: connections at a time. `note` is called with the reason when one is ended.
    """

    class Bounded(BoundedProtocol):
        pass

    Bounded.timeout_s, Bounded.most, Bounded.note = timeout_s, most, staticmethod(_said_at_times(note))
    return Bounded


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to waiting. One object serves one connection."""

    timeout_s: float
    most: int
    note: Callable[[str], None]

    _reads_headers = True
    """Of the first request, or of a later one whose first byte is here."""
    _reads_body = False
    _header_bytes = 0
    _received = 0
    """Bytes since the last look."""
    _unsent = 0
    """Bytes that waited for the other side at the last look."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for the connection, and look at it from now on."""
        super().connection_made(transport)
        self._wait_anew()
        if len(self.connections) > self.most:
            waiting = [item for item in self._all() if item is not self and not item._works()] or [self]
            oldest = min(waiting, key=lambda item: (item._body_is_wanted(), item._since))
            # It is gone at once for those who count; several come before uvicorn hears of the first one's end.
            self.connections.discard(oldest)
            oldest._end("crowded", HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open: try again.")
        self._tick_s = min(TICK_S, self.timeout_s / 4)
        self._timer = self.loop.call_later(self._tick_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look at it no more."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; headers only up to a size."""
        self._received += len(data)
        super().data_received(data)
        if self._reads_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                text = (
                    f"The headers have more than {MAX_HEADER_BYTES // 1024} KB: send less in the address and in them."
                )
                self._end("headers", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)

    def on_message_begin(self) -> None:
        """The parser met the first byte of a request."""
        super().on_message_begin()
        self._reads_headers, self._header_bytes = True, 0
        self._wait_anew()

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser read a header, before or after the body. Raises ValueError for too many: uvicorn answers 400."""
        if len(self.headers) >= MAX_HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The parser read all headers."""
        super().on_headers_complete()
        self._reads_headers, self._reads_body = False, True
        self._wait_anew()

    def on_message_complete(self) -> None:
        """The parser read all of a request: it is worked on now, unless too many others are."""
        self._reads_body = False
        super().on_message_complete()
        spare = self.most - PLACES_FOR_PROBES
        if len(self.connections) <= spare or self.scope["path"] in PROBES or self.transport.is_closing():
            return
        if sum(item._works() for item in self._all()) > spare:
            self._end("busy", HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests are being worked on: try again.")

    def on_response_complete(self) -> None:
        """An answer was handed over: the next request, or the end, is waited for."""
        super().on_response_complete()
        self._wait_anew()

    def shutdown(self) -> None:
        """Finish what is worked on; nobody is waited for."""
        super().shutdown()
        if not self._works():
            self.transport.close()

    def _all(self) -> "set[BoundedProtocol]":
        return cast("set[BoundedProtocol]", self.connections)

    def _wait_anew(self) -> None:
        self._since = self.loop.time()
        self._patience_s = self.timeout_s

    def _works(self) -> bool:
        """Whether we owe an answer to a request that is here as a whole."""
        cycle = self.cycle
        return bool(self.pipeline) or (cycle is not None and not cycle.more_body and not cycle.response_complete)

    def _body_is_wanted(self) -> bool:
        """Whether a body is being read that its request was not refused without."""
        return self._reads_body and not self.cycle.response_complete

    def _look(self) -> None:
        """End the connection if the other side has kept it waiting for too long."""
        self._timer = self.loop.call_later(self._tick_s, self._look)
        unsent = self.transport.get_write_buffer_size()
        moved = max(0, self._unsent - unsent) + (self._received if self._body_is_wanted() else 0)
        self._unsent, self._received = unsent, 0
        if self._works() and not unsent:
            self._wait_anew()
            return
        self._patience_s = min(self.timeout_s, self._patience_s + moved / BYTES_PER_S) - self._tick_s
        if self._patience_s > 0:
            return
        text = f"The request didn't come within {self.timeout_s:g} seconds (REQUEST_TIMEOUT_S): send it faster."
        self._end("slow", HTTPStatus.REQUEST_TIMEOUT, text)

    def _end(self, reason: str, status: HTTPStatus, sentence: str) -> None:
        """Close the connection; say why where a request has begun and no answer to it has."""
        if self.transport.is_closing():
            self.transport.abort()
            return
        type(self).note(reason)
        if self.transport.get_write_buffer_size():
            # What was written before isn't taken: to close would be to wait for that.
            self.transport.abort()
            return
        if self._reads_headers or (self.cycle is not None and not self.cycle.response_started):
            body = json.dumps({"detail": sentence}).encode()
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            self.transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self.transport.close()


def _said_at_times(note: Callable[[str], None]) -> Callable[[str], None]:
    """As `note`; also says it in the log, but not for each of thousands."""
    said_at, ended = -SAY_EACH_S, dict[str, int]()

    def noted(reason: str) -> None:
        nonlocal said_at
        note(reason)
        ended[reason] = ended.get(reason, 0) + 1
        if time.monotonic() - said_at >= SAY_EACH_S:
            said_at = time.monotonic()
            log.warning("connections were ended", **cast("dict[str, Any]", ended))
            ended.clear()

    return noted
