"""The `LlmEndpoint` port on any OpenAI-compatible API."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from backend.adapters.llm.asking import AskingRun, Endpoint, Knowledge
from backend.adapters.llm.batch_api import Bulk
from backend.adapters.llm.calls import REAL_TIME, TRIES, Calls, Timing, address_of
from backend.adapters.llm.faults import EndpointFault, FaultKind
from backend.domain.llm.records import LlmReply, LlmRequest
from backend.errors import LlmError, LlmRefused, LlmUnavailable
from backend.ports.llm import BulkResult, EndpointMemory

OPENAI_URL = "https://api.openai.com/v1"
PROBE_EACH_S = 60.0
"""While an endpoint is down, one request in so many seconds finds out whether it still is."""
REJECTED_ALIKE = 5
"""So many requests rejected in a row, before any was answered: it isn't the requests, it is the endpoint."""
Result = TypeVar("Result")


class OpenAiEndpoint:
    """One endpoint. Opens nothing before its first call."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        memory: EndpointMemory,
        concurrency: int = 8,
        timeout_s: float = 60.0,
        timing: Timing = REAL_TIME,
    ) -> None:
        """`base_url` "" = OpenAI's own. `concurrency`: requests under way at once. `timeout_s`: for each request."""
        self._base_url = base_url or OPENAI_URL
        self._key = api_key
        self._memory = memory
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._timing = timing
        self._knowledge = Knowledge(timing.clock)

    @property
    def address(self) -> str:
        """The endpoint's address without credentials."""
        return address_of(self._base_url)

    def ask(self, requests: Iterable[LlmRequest], answered: Callable[[LlmRequest, LlmReply], None]) -> None:
        """See the port."""
        self._run(lambda run: run.ask(iter(requests), answered, self._concurrency))

    def bulk_send(self, requests: Sequence[LlmRequest], announced: Callable[[str], None]) -> str:
        """See the port."""
        return self._run(lambda run: run.bulk(lambda bulk: bulk.send(requests, announced)))

    def bulk_fetch(self, batch_id: str, requests: Mapping[str, LlmRequest]) -> BulkResult:
        """See the port."""
        return self._run(lambda run: run.bulk(lambda bulk: bulk.fetch(batch_id, requests)))

    def _run(self, what: Callable[["_Run"], Coroutine[Any, Any, Result]]) -> Result:
        from backend.adapters.llm.client import open_client  # noqa: PLC0415 - see there

        # One thread for everything of the caller's and for the database: strictly one at a time, off the event loop.
        with ThreadPoolExecutor(1, "llm") as thread:

            async def main() -> Result:
                client = open_client(self._base_url, self._key, self._timeout_s)
                async with client:
                    endpoint = Endpoint(client, self.address, self._key)
                    run = _Run(endpoint, self._memory, self._knowledge, self._timing, self._timeout_s, thread)
                    return await what(run)

            return asyncio.run(main())


class _Run:
    """One call of the port: slots that take requests, send them and hand the replies over."""

    def __init__(
        self,
        endpoint: Endpoint,
        memory: EndpointMemory,
        knowledge: Knowledge,
        timing: Timing,
        timeout_s: float,
        thread: ThreadPoolExecutor,
    ) -> None:
        self._address = endpoint.address
        self._memory = memory
        self._knowledge = knowledge
        self._thread = thread
        self._stop = asyncio.Event()
        self._turn = asyncio.Lock()
        self._calls = Calls(timing, timeout_s, self._stop)
        self._asking = AskingRun(endpoint, knowledge, memory, self._calls, self._in_thread)
        self._endpoint = endpoint
        self._failure: Exception | None = None
        self._last_model: str | None = None
        self._rejected = 0
        self._was_answered = False

    async def ask(
        self, source: Iterator[LlmRequest], answered: Callable[[LlmRequest, LlmReply], None], concurrency: int
    ) -> None:
        """Send all requests; raises the first failure once the requests under way have ended."""
        async with asyncio.TaskGroup() as slots:
            for _ in range(concurrency):
                slots.create_task(self._slot(source, answered))
        if self._failure is not None:
            raise self._failure

    async def bulk(self, what: Callable[[Bulk], Coroutine[Any, Any, Result | EndpointFault]]) -> Result:
        """A call of the Batch API, under the same breaker."""
        probing = await self._in_thread(self._may_ask)
        result = await what(Bulk(self._endpoint, self._knowledge, self._calls, self._asking, probing))
        if isinstance(result, EndpointFault):
            await self._failed(result)
        elif probing:
            await self._in_thread(lambda: self._memory.mark_up(self._address))
        if self._failure is not None:
            raise self._failure
        assert not isinstance(result, EndpointFault)  # noqa: S101 - else there was a failure
        return result

    async def _slot(self, source: Iterator[LlmRequest], answered: Callable[[LlmRequest, LlmReply], None]) -> None:
        while not self._stop.is_set():
            try:
                done = await self._next(source, answered)
            except Exception as error:  # noqa: BLE001 - raised by `ask` once the other slots have ended
                self._fail(error)
                return
            if done:
                return

    async def _next(self, source: Iterator[LlmRequest], answered: Callable[[LlmRequest, LlmReply], None]) -> bool:
        """Take, send and hand over one request; returns whether none is left."""
        async with self._turn:
            if self._last_model is not None:
                await self._calls.pause(self._knowledge.pace(self._last_model))
            taken = await self._in_thread(lambda: self._take(source))
            if taken is None:
                return True
            request, probing, known = taken
            self._last_model = request.source.model
            alone = probing or not known
            # The first request to a model, and the probe of an endpoint that is down, go alone: the others wait for
            # their turn, and need not make the same mistakes.
            reply = await self._send(request, probing) if alone else None
        if not alone:
            reply = await self._send(request, probing)
        if reply is not None:
            paid = reply
            await self._in_thread(lambda: answered(request, paid))
        return False

    def _take(self, source: Iterator[LlmRequest]) -> tuple[LlmRequest, bool, bool] | None:
        """The next request, whether it is a probe, and whether its model is known. None = no more."""
        if self._stop.is_set():
            return None
        probing = self._may_ask()
        request = next(source, None)
        if request is None:
            return None
        return request, probing, self._knowledge.load(self._memory, self._address, request.source.model)

    def _may_ask(self) -> bool:
        """Whether the next request is a probe. Raises LlmUnavailable when nobody may ask."""
        reason = self._memory.down_reason(self._address)
        if reason and not self._memory.may_ask(self._address, PROBE_EACH_S):
            raise LlmUnavailable(f"{reason} It is tried again once a minute.")
        return bool(reason)

    async def _send(self, request: LlmRequest, probing: bool) -> LlmReply | None:
        """The reply to hand over, if any; a failure that concerns all requests ends the run."""
        reply, fault = await self._asking.ask(request, 1 if probing else TRIES)
        kind = None if fault is None else fault.kind
        if probing and kind not in {FaultKind.WAIT, FaultKind.DOUBTFUL}:
            await self._in_thread(lambda: self._memory.mark_up(self._address))
        if fault is None or kind in {FaultKind.FILTERED, FaultKind.TOO_LARGE}:
            self._was_answered = True
        elif kind is FaultKind.REJECTED:
            self._rejected += 1
            if self._rejected >= REJECTED_ALIKE and not self._was_answered:
                self._fail(LlmRefused(f"{fault.message} It rejects all requests alike: is LLM_MODEL a chat model?"))
        else:
            await self._failed(fault)
        return reply

    async def _failed(self, fault: EndpointFault) -> None:
        if fault.down and not self._stop.is_set():
            await self._in_thread(lambda: self._memory.mark_down(self._address, fault.message, PROBE_EACH_S))
        later = fault.kind in {FaultKind.WAIT, FaultKind.DOUBTFUL}
        kind: type[LlmError] = LlmUnavailable if later else LlmRefused
        self._fail(kind(fault.message))

    def _fail(self, failure: Exception) -> None:
        """End the run: nothing more is taken, nor tried again. The first failure is the one that is raised."""
        self._failure = self._failure or failure
        self._stop.set()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
