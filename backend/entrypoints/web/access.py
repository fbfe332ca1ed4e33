"""Who may come in, and how much they may bring. Both are checked before a request's body is read into memory."""

import base64
import ipaddress
import json
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.bootstrap import same_secret
from backend.settings import Settings

PROBES = frozenset({"/", "/health", "/ready"})
EVENTS = frozenset({"/webhook", "/train"})
MEGABYTE = 1_000_000
WRONG_NAME = (
    "Without credentials this backend answers under localhost and the host of BACKEND_URL only: set BACKEND_URL to the "
    "address under which Label Studio reaches it, or set BASIC_AUTH_USER and BASIC_AUTH_PASS, and start it again."
)
"""A page of the web may give its own name this machine's address (DNS rebinding): the name is what tells it apart."""
MAX_DIGITS = 18


def listen_address(settings: Settings) -> tuple[str, str]:
    """The address to listen on, and why it isn't the one that was asked for ("" when it is).

    Whoever reaches the backend can read suggestions, and make it train: without credentials that is this machine only.
    """
    if settings.basic_auth_user or _is_loopback(settings.host):
        return settings.host, ""
    return "127.0.0.1", (
        f"Prelabel listens on 127.0.0.1 only, not on {settings.host} (BIND_HOST): no credentials are set, so anybody "
        "who reaches it could use it. Set BASIC_AUTH_USER and BASIC_AUTH_PASS, then `prelabel connect` each project."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_names(settings: Settings) -> frozenset[str]:
    """Names under which this service answers without credentials, besides the addresses of this machine's own loop."""
    return frozenset({"localhost", urlsplit(settings.public_url).hostname or "localhost"})


def is_own_name(host: str, names: Set[str]) -> bool:
    """Whether a request's Host header (name, perhaps port) names this machine, or the service as it is known."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return name in names or _is_loopback(name)


class Guard:
    """Lets in who has the credentials, on every path, known or not: a route that is added later is guarded too.

    Webhooks carry our secret instead of basic auth; Start Training carries basic auth instead of the secret. Without
    basic auth an event needs neither (a backend connected by hand in Label Studio sends none): all it can cause is that
    we read the project again. A wrong secret is always refused.
    """

    def __init__(self, app: ASGIApp, settings: Settings, secret: Callable[[], str]) -> None:
        """`secret`: the webhooks' secret; called with each event."""
        self._app = app
        self._user = settings.basic_auth_user
        self._password = settings.basic_auth_pass.get_secret_value()
        self._secret = secret
        self._names = own_names(settings)
        self._max_bytes = settings.max_body_mb * MEGABYTE
        self._open = (frozenset() if settings.health_auth else PROBES) | (
            frozenset() if settings.metrics_auth else frozenset({"/metrics"})
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._user and not is_own_name(headers.get("host", ""), self._names):
            await JSONResponse({"detail": WRONG_NAME}, 421)(scope, receive, send)
            return
        problem = self._problem(scope["path"], headers)
        if problem:
            refusal = JSONResponse({"detail": problem}, 401, {"WWW-Authenticate": "Basic"})
            await refusal(scope, receive, send)
            return
        length = headers.get("content-length", "")
        # int() takes no superscripts, which isdigit() does, and no thousands of digits.
        if length.isdecimal() and (len(length) > MAX_DIGITS or int(length) > self._max_bytes):
            await JSONResponse({"detail": self._too_large()}, 413)(scope, receive, send)
            return
        received = 0

        async def receive_some() -> Message:
            # Also without a Content-Length, or with a wrong one.
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, self._too_large())
            return message

        await self._app(scope, receive_some, send)

    def _problem(self, path: str, headers: Headers) -> str:
        """Why a request may not come in; "" when it may."""
        secret = headers.get("x-webhook-secret") if path in EVENTS else None
        if secret is not None:
            right = same_secret(secret, self._secret())
            return "" if right else "The webhook's secret is not ours: `prelabel doctor --fix` renews it."
        if not self._user or path in self._open or self._matches(headers.get("authorization", "")):
            return ""
        if path in EVENTS:
            return "Send the webhook's secret or basic auth: `prelabel doctor --fix` sets it up."
        return "Send BASIC_AUTH_USER and BASIC_AUTH_PASS."

    def _matches(self, authorization: str) -> bool:
        kind, _, encoded = authorization.partition(" ")
        if kind.lower() != "basic":
            return False
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return False
        # Both are compared, whatever the first comparison says: the time tells nothing of either.
        return same_secret(user, self._user) & same_secret(password, self._password)

    def _too_large(self) -> str:
        most = self._max_bytes // MEGABYTE
        return f"The request has more than {most} MB. Send fewer tasks at a time, or raise MAX_BODY_MB."


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How deep and how long the values of a body may be."""

    depth: int
    text_chars: int

    def problem(self, value: Any) -> str:
        """What is too deep or too long in a parsed body; "" when nothing is."""
        level = [value]
        for _ in range(self.depth + 1):
            inner: list[Any] = []
            for item in level:
                if isinstance(item, str):
                    if len(item) > self.text_chars:
                        return (
                            f"A text of the request has {len(item):,} characters, {self.text_chars:,} are the most. "
                            "Shorten the task, or raise MAX_TEXT_CHARS."
                        )
                elif isinstance(item, dict):
                    inner += item.values()
                elif isinstance(item, list):
                    inner += item
            if not inner:
                return ""
            level = inner
        return self.too_deep()

    def too_deep(self) -> str:
        """What is said of a body that is nested too deeply."""
        return f"The request is nested more than {self.depth} deep. Flatten the tasks' data, or raise MAX_JSON_DEPTH."


class _LimitedRequest(Request):
    """A request whose JSON is checked against the limits of its application."""

    async def json(self) -> Any:
        """The body; HTTPException 422 when it is none, or too deep or long."""
        limits: BodyLimits = self.app.state.limits
        try:
            body = json.loads(await self.body())
        except RecursionError:
            raise HTTPException(422, limits.too_deep()) from None
        except ValueError:
            # Python's own words would quote the body.
            raise HTTPException(422, "The body is not JSON: send it as UTF-8 text.") from None
        problem = limits.problem(body)
        if problem:
            raise HTTPException(422, problem)
        return body


class LimitedRoute(APIRoute):
    """A route whose body is checked before it is validated."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """FastAPI's handler on a checked request."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_LimitedRequest(request.scope, request.receive))

        return handle
