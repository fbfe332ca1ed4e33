"""Fakes of what asking LLMs needs from outside. `tests/contract` holds each to the same tests as the real thing."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.llm.records import LlmReply, LlmRequest
from backend.ports.llm import BulkResult, BulkStatus, EndpointState

Reply = Callable[[LlmRequest], LlmReply]


class MemoryOfEndpoints:
    """The EndpointMemory port in memory, for one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.states: dict[tuple[str, str], EndpointState] = {}
        self.saves: list[EndpointState] = []
        self.down: dict[str, tuple[str, float]] = {}
        self._clock = clock

    def endpoint_state(self, endpoint: str, model: str) -> EndpointState | None:
        return self.states.get((endpoint, model))

    def save_endpoint_state(self, endpoint: str, model: str, state: EndpointState) -> None:
        self.states[endpoint, model] = state
        self.saves.append(state)

    def mark_down(self, endpoint: str, reason: str, probe_each_s: float) -> None:
        self.down[endpoint] = (reason, self._clock() + probe_each_s)

    def mark_up(self, endpoint: str) -> None:
        self.down.pop(endpoint, None)

    def may_ask(self, endpoint: str, probe_each_s: float) -> bool:
        if endpoint not in self.down:
            return True
        reason, probe_at = self.down[endpoint]
        if self._clock() < probe_at:
            return False
        self.down[endpoint] = (reason, self._clock() + probe_each_s)
        return True

    def down_reason(self, endpoint: str) -> str:
        return self.down.get(endpoint, ("", 0.0))[0]


@dataclass
class FakeLlmEndpoint:
    """An endpoint that answers by a function; an LlmError that it raises ends the run, as the real one's.

    concurrency: requests in hand at once; the oldest is answered before another one is taken. asked: all requests that
    the function was given. bulk_status: what batches are when fetched.
    """

    reply: Reply
    concurrency: int = 1
    asked: list[LlmRequest] = field(default_factory=list)
    bulk_status: BulkStatus = BulkStatus.ENDED
    batches: dict[str, list[LlmRequest]] = field(default_factory=dict)

    def ask(self, requests: Iterable[LlmRequest], answered: Callable[[LlmRequest, LlmReply], None]) -> None:
        source = iter(requests)
        in_hand: deque[LlmRequest] = deque()
        failure: Exception | None = None
        while True:
            while failure is None and len(in_hand) < self.concurrency:
                try:
                    request = next(source, None)
                except Exception as error:  # noqa: BLE001 - raised below
                    failure = error
                    break
                if request is None:
                    break
                in_hand.append(request)
            if not in_hand:
                break
            request = in_hand.popleft()
            try:
                self.asked.append(request)
                answered(request, self.reply(request))
            except Exception as error:  # noqa: BLE001 - raised below, once what is under way has ended
                failure = failure or error
        if failure is not None:
            raise failure

    def bulk_send(self, requests: Sequence[LlmRequest], announced: Callable[[str], None]) -> str:
        name = f"batch_{len(self.batches) + 1}"
        announced(f"file:{name}")
        self.batches[name] = list(requests)
        return name

    def bulk_fetch(self, batch_id: str, requests: Mapping[str, LlmRequest]) -> BulkResult:
        if self.bulk_status is BulkStatus.RUNNING:
            return BulkResult(BulkStatus.RUNNING)
        name = batch_id.removeprefix("file:")
        if name != batch_id and name not in self.batches:
            return BulkResult(BulkStatus.ENDED, problem="A batch was not sent.")
        mine = [request for request in self.batches[name] if request.bulk_id in requests]
        self.asked.extend(mine)
        return BulkResult(BulkStatus.ENDED, {request.bulk_id: self.reply(request) for request in mine})
