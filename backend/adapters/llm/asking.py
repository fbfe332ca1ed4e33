"""One request, asked in the strictest form that the endpoint takes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from backend.adapters.llm.calls import TRIES, Calls, JsonReply
from backend.adapters.llm.faults import SCHEMA, Asked, EndpointFault, FaultKind
from backend.adapters.llm.pace import Pace
from backend.adapters.llm.wire import (
    NO_CHOICES,
    chat_body,
    has_no_limit,
    merged,
    parse_reply,
    problem_reply,
    schema_key,
    without,
)
from backend.domain.llm.records import LlmReply, LlmRequest, Problem, ReplyFormat
from backend.domain.outside import read_json
from backend.ports.llm import EndpointMemory, EndpointState

Result = TypeVar("Result")
InThread = Callable[[Callable[[], Result]], Awaitable[Result]]
_TURNED_DOWN = {FaultKind.FILTERED: Problem.CONTENT_FILTER, FaultKind.REJECTED: Problem.REJECTED}
_MAX_REFUSED_PARAMETERS = 12
"""More than there are: a bound for an endpoint that refuses whatever it is sent."""


@dataclass(slots=True)
class Knowledge:
    """What this process knows of the endpoint's models.

    saved: as in the database. current: as far as found out. forms: for JSON schemas that a model can't use although it
    takes others (`schema_key`), the form to ask in instead. paces: when each may be asked, since limits are a model's.
    """

    clock: Callable[[], float]
    saved: dict[str, EndpointState] = field(default_factory=dict)
    current: dict[str, EndpointState] = field(default_factory=dict)
    forms: dict[str, ReplyFormat] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)

    def load(self, memory: EndpointMemory, address: str, model: str) -> bool:
        """Look up what others found out; returns whether there is anything."""
        if model not in self.saved:
            found = memory.endpoint_state(address, model)
            if found is not None:
                self.saved[model] = self.current[model] = found
        return model in self.saved

    def state(self, request: LlmRequest) -> EndpointState:
        """How to ask a request."""
        state = self.current.get(request.source.model, EndpointState())
        if state.form is ReplyFormat.JSON_SCHEMA:
            return replace(state, form=self.forms.get(schema_key(request), state.form))
        return state

    def leave_out(self, request: LlmRequest, asked_with: EndpointState, parameter: str) -> bool:
        """Learn that a parameter isn't taken; returns whether asking again makes sense."""
        if self.state(request) != asked_with:
            # Another request has learned something meanwhile.
            return True
        current = self.current.get(request.source.model, EndpointState())
        schema = schema_key(request)
        if current.form is ReplyFormat.JSON_SCHEMA and (
            parameter == SCHEMA or (parameter == "response_format" and schema in self.forms)
        ):
            # Only this schema is too much for it (too many labels, say): other projects' may do.
            known = self.forms.get(schema)
            self.forms[schema] = ReplyFormat.TEXT if known else ReplyFormat.JSON_OBJECT
            return known is not ReplyFormat.TEXT
        state = without(current, parameter)
        if state is None:
            return False
        self.current[request.source.model] = state
        return True

    def pace(self, model: str) -> Pace:
        """When a model may be asked."""
        return self.paces.setdefault(model, Pace(self.clock))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go: the SDK's client, the address without secrets, and the key to keep out of messages."""

    client: Any = field(repr=False)
    address: str
    key: str = field(repr=False)

    def asked(self, request: LlmRequest) -> Asked:
        """What messages about a request may name."""
        return Asked(self.address, request.source.model, self.key, bool(request.images))


class AskingRun:
    """Asks requests, one after the other or several at once."""

    def __init__(
        self, endpoint: Endpoint, knowledge: Knowledge, memory: EndpointMemory, calls: Calls, in_thread: InThread[None]
    ) -> None:
        self._endpoint = endpoint
        self._knowledge = knowledge
        self._memory = memory
        self._calls = calls
        self.in_thread = in_thread
        self._saving = asyncio.Lock()

    async def ask(self, request: LlmRequest, tries: int = TRIES) -> tuple[LlmReply | None, EndpointFault | None]:
        """The reply with as many samples as were asked for, or the fault that prevented it.

        Both where something is paid, or may be, and a fault ended it: where the endpoint takes no `n`, so that samples
        are asked for one by one, and one of the later ones failed; and where an answer got lost.
        """
        parts: list[LlmReply] = []
        while (missing := request.source.samples - sum(len(part.samples) for part in parts)) > 0:
            result = await self._part(request, missing, tries)
            if isinstance(result, LlmReply):
                parts.append(result)
            elif result.kind is FaultKind.TOO_LARGE:
                parts.append(replace(problem_reply(Problem.TOO_LARGE), lost=result.lost))
                return merged(parts), result
            elif result.kind in _TURNED_DOWN:
                turned_down = merged(parts) if parts else problem_reply(_TURNED_DOWN[result.kind])
                return replace(turned_down, lost=turned_down.lost + result.lost), result
            else:
                left = merged([*parts, LlmReply(lost=result.lost)])
                return (left if left.samples or left.lost else None), result
        return merged(parts), None

    async def _part(self, request: LlmRequest, missing: int, tries: int) -> LlmReply | EndpointFault:
        """As many of the missing samples as one call gives."""
        model = request.source.model
        asked = self._endpoint.asked(request)
        fault = EndpointFault(FaultKind.REJECTED, "")
        for _ in range(_MAX_REFUSED_PARAMETERS):
            state = self._knowledge.state(request)
            if has_no_limit(state):
                return no_limit(asked)
            samples = 1 if "n" in state.dropped else missing
            body = chat_body(request, state, samples)
            result = await self._calls.call(
                partial(self._endpoint.client.chat.completions.with_raw_response.create, **body),
                partial(_reply_in, samples),
                asked,
                self._knowledge.pace(model),
                tries,
            )
            if isinstance(result, JsonReply):
                if len(result.value.samples) < samples:
                    self._knowledge.leave_out(request, state, "n")
                await self.save(model)
                reply: LlmReply = result.value
                return replace(reply, latency_s=result.latency_s, lost=result.lost)
            if result.kind is not FaultKind.UNSUPPORTED:
                return result
            fault = result
            if not self._knowledge.leave_out(request, state, fault.parameter):
                break
        return replace(fault, kind=FaultKind.REJECTED)

    async def load(self, model: str) -> None:
        """Look up what others found out."""
        await self.in_thread(lambda: self._look_up(model))

    def _look_up(self, model: str) -> None:
        self._knowledge.load(self._memory, self._endpoint.address, model)

    async def save(self, model: str) -> None:
        """Tell other processes what was found out, once it has led to an answer."""
        async with self._saving:
            state = self._knowledge.current.setdefault(model, EndpointState())
            if self._knowledge.saved.get(model) != state:
                await self.in_thread(lambda: self._memory.save_endpoint_state(self._endpoint.address, model, state))
                self._knowledge.saved[model] = state


def _reply_in(samples: int, text: str) -> LlmReply | None:
    return parse_reply(read_json(text, too_deep=NO_CHOICES), samples)


def no_limit(asked: Asked) -> EndpointFault:
    """The fault of an endpoint whose answers can't be limited."""
    return EndpointFault(
        FaultKind.REFUSED,
        f"The LLM endpoint at {asked.address} takes neither max_tokens nor max_completion_tokens for the model "
        f"{asked.model}: without a limit on its answers no budget can be kept. Use another model in LLM_MODEL.",
    )
