"""The SDK's client, made so that no answer of an endpoint can fill the memory.

Imported where it is used only: the SDK takes seconds to import, and most commands never ask an LLM.
"""

import logging
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

from backend.adapters.bounded import Body, TooLarge, text_of
from backend.domain.outside import base_url_problem
from backend.errors import LlmRefused

CONNECT_TIMEOUT_S = 10.0
NO_KEY = "not-needed"
"""Sent to local servers, which need none; the SDK insists on one."""
MAX_REPLY_BYTES = 32_000_000
"""Of an answer, unpacked: several times the longest one with log-probabilities, or the vectors of one request."""
MAX_FILE_BYTES = 256_000_000
"""Of a batch's results."""
MAX_ERROR_BYTES = 1_000_000


class _BoundedClient(DefaultAsyncHttpxClient):
    """Reads each answer itself, up to a size. The SDK gets it as plain UTF-8, and finds nothing left to unpack."""

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request; returns the answer with its body. Raises TooLarge."""
        response = await super().send(request, **(options | {"stream": True}))
        is_file = request.url.path.endswith("/content")
        body = Body(MAX_FILE_BYTES if is_file else MAX_REPLY_BYTES if response.status_code < 400 else MAX_ERROR_BYTES)
        try:
            async for piece in response.aiter_bytes():
                body.add(piece)
            content = body.content()
        except TooLarge:
            if response.status_code < 400:
                raise
            # Its status says enough.
            content = b""
        finally:
            await response.aclose()
        text = text_of(content, response.headers.get("content-type", ""))
        changed = {"content-encoding", "content-length", "content-type", "transfer-encoding"}
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in changed]
        return type(response)(
            response.status_code,
            headers=[*headers, ("content-type", "application/json; charset=utf-8")],
            content=text.encode("utf-8", "replace"),
            request=request,
            extensions=response.extensions,
        )


def open_client(base_url: str, key: str, timeout_s: float) -> AsyncOpenAI:
    """The SDK's client. Raises LlmRefused when address or key can't be used at all."""
    problem = base_url_problem(base_url)
    if problem:
        raise LlmRefused(f"OPENAI_BASE_URL {problem}")
    if not key.isascii() or not key.isprintable():
        raise LlmRefused("OPENAI_API_KEY has characters that an HTTP header can't carry; was it copied completely?")
    for name in ("openai", "httpx2", "httpcore2"):
        # They log addresses, passwords in them and all; before its version 3 the SDK logged whole requests.
        logging.getLogger(name).setLevel(logging.WARNING)
    timeout = Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
    # A redirect would take the request, with all that tasks say, to an address that nobody configured.
    transport = _BoundedClient(follow_redirects=False, timeout=timeout)
    return AsyncOpenAI(api_key=key or NO_KEY, base_url=base_url, timeout=timeout, max_retries=0, http_client=transport)
