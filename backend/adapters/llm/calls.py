"""One call to an endpoint, tried again as often as makes sense."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from backend.adapters.bounded import TooLarge
from backend.adapters.certificates import tls_problem
from backend.adapters.llm.faults import (
    Asked,
    EndpointFault,
    FaultKind,
    connection_fault,
    not_an_answer,
    status_fault,
    too_large,
    untrusted,
)
from backend.adapters.llm.pace import MAX_WAIT_S, Pace, backoff_s, used_up_s
from backend.domain.outside import bounded_whole, read_json
from backend.ports.llm import MOST_CHARGED

TRIES = 6
"""Of one call. With back-off of 1, 2, 4 .. s at most, an endpoint is given half a minute to come back."""
_NOT_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
"""The transport's errors before anything was sent. By name: which transport the SDK brings changes with its version."""


class RawReply(Protocol):
    """What we need of the SDK's raw response."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers; names in any case."""

    @property
    def text(self) -> str:
        """The body."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Time and chance, replaceable in tests: seconds that never go back, a pause, a uniform number in [0, 1)."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]


REAL_TIME = Timing(time.monotonic, asyncio.sleep, random.random)


@dataclass(frozen=True, slots=True)
class JsonReply:
    """A body with status 200, as JSON; `latency_s` of the attempt that brought it. lost: see `LlmReply`."""

    value: Any
    latency_s: float
    lost: int = 0


def address_of(base_url: str) -> str:
    """An address without user, password and query: fit for messages and for the database."""
    try:
        parts = urlsplit(base_url)
    except ValueError:
        # A bracket that isn't closed. It is refused where it is used.
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")


class Calls:
    """Calls of one run. `stop` is set when the run is to end: nothing is tried again after that."""

    def __init__(self, timing: Timing, timeout_s: float, stop: asyncio.Event) -> None:
        self._timing = timing
        self._timeout_s = timeout_s
        self._stop = stop
        self._answered = 0

    async def call(
        self,
        send: Callable[[], Awaitable[RawReply]],
        read: Callable[[str], Any],
        asked: Asked,
        pace: Pace,
        tries: int = TRIES,
        doubtful_tries: int = MOST_CHARGED,
    ) -> JsonReply | EndpointFault:
        """Send until there is an answer, or a fault that a further try would not mend.

        `read` makes something of the answer's text; None = it isn't what was asked for.
        """
        doubtful = 0
        tried = 0
        answered = self._answered
        while True:
            await self.pause(pace)
            if pace.wait_s > 0:
                return EndpointFault(
                    FaultKind.WAIT, f"The LLM endpoint at {asked.address} was not asked: the run has ended."
                )
            result = await self._once(send, read, asked, pace)
            # While others are answered, an endpoint that limits its rate works: a request that came too late each time
            # waits for its turn, however long the queue.
            tried += not (isinstance(result, EndpointFault) and result.limited and self._answered > answered)
            answered = self._answered
            if isinstance(result, EndpointFault):
                doubtful += result.kind is FaultKind.DOUBTFUL
            result = replace(result, lost=doubtful)
            if isinstance(result, JsonReply) or result.kind not in {FaultKind.WAIT, FaultKind.DOUBTFUL}:
                return result
            if result.wait_s is not None and result.wait_s > MAX_WAIT_S:
                return replace(result, message=f"{result.message} It wants us to wait {result.wait_s:.0f} s.")
            if result.wait_s is not None:
                pace.hold(result.wait_s)
            if tried >= tries or doubtful >= doubtful_tries or self._stop.is_set():
                return result
            # After the endpoint's own moment all slots would start at once: a little jitter spreads them.
            await self._sleep(backoff_s(0 if result.wait_s is not None else max(0, tried - 1), self._timing.random))
            if self._stop.is_set():
                return result

    async def pause(self, pace: Pace) -> None:
        """Wait until the endpoint wants to be asked again; less long when the run is to end."""
        while (wait_s := pace.wait_s) > 0 and not self._stop.is_set():
            await self._sleep(wait_s)

    async def _once(
        self, send: Callable[[], Awaitable[RawReply]], read: Callable[[str], Any], asked: Asked, pace: Pace
    ) -> JsonReply | EndpointFault:
        # Exceptions of the SDK carry request and response. They end here, and no other is raised while one is handled:
        # else it would hold them as its context.
        import openai  # noqa: PLC0415 - as above

        began = self._timing.clock()
        try:
            async with asyncio.timeout(self._timeout_s):
                raw = await send()
        except (TimeoutError, openai.APITimeoutError) as error:
            sent = type(error.__cause__).__name__ not in _NOT_SENT
            return connection_fault(asked, f"nothing within {self._timeout_s:.0f} s", sent=sent)
        except openai.APIStatusError as error:
            return status_fault(asked, error.status_code, read_json(error.response.text), error.response.headers)
        except openai.APIConnectionError as error:
            if problem := tls_problem(error):
                return untrusted(asked, problem)
            sent = type(error.__cause__).__name__ not in _NOT_SENT
            return connection_fault(asked, "connection cut" if sent else "no connection", sent=sent)
        except TooLarge as error:
            return too_large(asked, str(error))
        except openai.APIError:
            return not_an_answer(asked)
        used_up = used_up_s(raw.headers)
        if used_up is not None and used_up <= MAX_WAIT_S:
            pace.hold(used_up)
        failed = _failed_behind(raw.text)
        if failed is not None:
            return status_fault(asked, *failed, raw.headers)
        value = read(raw.text)
        if value is None:
            return not_an_answer(asked)
        self._answered += 1
        return JsonReply(value, self._timing.clock() - began)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the run."""
        sleeper = asyncio.ensure_future(self._timing.sleep(seconds))
        stopper = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({sleeper, stopper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            stopper.cancel()


def _failed_behind(text: str) -> tuple[int, object] | None:
    """Status and body of an error that came with status 200: OpenRouter's, when the model behind it fails."""
    body = read_json(text)
    if not isinstance(body, Mapping) or not isinstance(body.get("error"), Mapping) or "custom_id" in body:
        return None
    return bounded_whole(body["error"].get("code"), 400, 599) or 500, body
