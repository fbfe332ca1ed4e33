"""The Batch API: many requests in a file, answered within a day at a lower price."""

import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from backend.adapters.llm.asking import AskingRun, Endpoint, Knowledge, no_limit
from backend.adapters.llm.calls import TRIES, Calls, RawReply
from backend.adapters.llm.faults import Asked, EndpointFault, FaultKind, status_fault
from backend.adapters.llm.wire import NO_CHOICES, chat_body, has_no_limit, merged, parse_reply, problem_reply
from backend.domain.llm.records import LlmReply, LlmRequest, Problem
from backend.domain.outside import bounded_whole, read_json
from backend.errors import BadRequest
from backend.ports.llm import BulkResult, BulkStatus

WINDOW = "24h"
"""The only one there is."""
PATH = "/v1/chat/completions"
MAX_LINES = 50_000
MAX_BYTES = 200_000_000
"""What OpenAI takes in one batch."""
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_ANNOUNCED = "file:"
"""Begins the id of a batch that is known by its input file only."""
_CUSTOM_ID = re.compile(r'"custom_id"\s*:\s*"([^"\\]+)"')
_SEPARATOR = "."
"""Between a request's `bulk_id` and the number of its sample, where each sample is a line of its own."""


class Bulk:
    """Batches of one endpoint. Methods return an EndpointFault where the endpoint doesn't do what it was asked."""

    def __init__(
        self,
        endpoint: Endpoint,
        knowledge: Knowledge,
        calls: Calls,
        asking: AskingRun,
        probing: bool,
    ) -> None:
        self._endpoint = endpoint
        self._knowledge = knowledge
        self._calls = calls
        self._asking = asking
        self._tries = 1 if probing else TRIES

    async def send(self, requests: Sequence[LlmRequest], announced: Callable[[str], None]) -> str | EndpointFault:
        """Make a batch; returns its id. Raises BadRequest when it is more than a batch takes."""
        if not requests:
            raise BadRequest("A batch needs at least one request.")
        for model in {request.source.model for request in requests}:
            await self._asking.load(model)
        lines = self._lines(requests)
        if isinstance(lines, EndpointFault):
            return lines
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        if len(lines) > MAX_LINES or len(content) > MAX_BYTES:
            raise BadRequest(
                f"A batch takes {MAX_LINES:,} requests and {MAX_BYTES // 10**6} MB at most; these are {len(lines):,} "
                f"and {len(content) // 10**6} MB. Send several smaller batches."
            )
        model = requests[0].source.model
        files = self._endpoint.client.files.with_raw_response
        upload = partial(files.create, file=("requests.jsonl", content), purpose="batch")
        file_id = await self._call(upload, _id, model)
        if not isinstance(file_id, EndpointFault):
            await self._asking.in_thread(lambda: announced(_ANNOUNCED + file_id))
        result = file_id if isinstance(file_id, EndpointFault) else await self._make(file_id, model)
        if isinstance(result, EndpointFault) and result.missing:
            return EndpointFault(
                FaultKind.REFUSED,
                f"The LLM endpoint at {self._endpoint.address} has no Batch API. Ask without it, or set "
                "OPENAI_BASE_URL to an endpoint that has one.",
            )
        return result

    async def fetch(self, batch_id: str, requests: Mapping[str, LlmRequest]) -> BulkResult | EndpointFault:
        """Status of a batch and, once it has ended, its replies."""
        model = next((request.source.model for request in requests.values()), "")
        await self._asking.load(model)
        if batch_id.startswith(_ANNOUNCED):
            made = await self._made(batch_id.removeprefix(_ANNOUNCED), model)
            if not made:
                return BulkResult(BulkStatus.ENDED, problem="A batch was not sent: its worker ended before.")
            if isinstance(made, EndpointFault):
                return made
            batch_id = made
        batches = self._endpoint.client.batches.with_raw_response
        batch = await self._call(lambda: batches.retrieve(batch_id), _mapping, model)
        if isinstance(batch, EndpointFault) and batch.missing:
            return EndpointFault(
                FaultKind.REFUSED,
                f"The LLM endpoint at {self._endpoint.address} doesn't know the batch {batch_id}: was it sent with "
                "another OPENAI_BASE_URL or OPENAI_API_KEY?",
            )
        if isinstance(batch, EndpointFault):
            return batch
        status = str(batch.get("status"))
        if status not in _ENDED:
            return BulkResult(BulkStatus.RUNNING)
        parts: dict[str, list[LlmReply]] = defaultdict(list)
        problems: list[str] = [] if status == "completed" else [f"The batch is {status}."]
        for name in ("output_file_id", "error_file_id"):
            file_id = batch.get(name)
            if not file_id:
                continue
            files = self._endpoint.client.files.with_raw_response
            found = await self._call(partial(files.content, file_id), _lines_of, model)
            if isinstance(found, EndpointFault) and found.kind is FaultKind.TOO_LARGE:
                # They would be as large the next time.
                replies = {bulk_id: problem_reply(Problem.TOO_LARGE) for bulk_id in requests}
                return BulkResult(BulkStatus.ENDED, replies, found.message)
            if isinstance(found, EndpointFault):
                return found
            await self._read(found, requests, parts, problems)
        replies = {bulk_id: merged(replies) for bulk_id, replies in parts.items()}
        if not problems and len(replies) < len(requests):
            problems.append(f"{len(requests) - len(replies)} of {len(requests)} requests were not answered.")
        return BulkResult(BulkStatus.ENDED, replies, " ".join(dict.fromkeys(problems)))

    def _lines(self, requests: Sequence[LlmRequest]) -> list[dict[str, Any]] | EndpointFault:
        lines: dict[str, dict[str, Any]] = {}
        for request in requests:
            state = self._knowledge.state(request)
            if has_no_limit(state):
                return no_limit(self._endpoint.asked(request))
            single = "n" in state.dropped and request.source.samples > 1
            body = chat_body(request, state, 1 if single else request.source.samples)
            for number in range(request.source.samples if single else 1):
                name = f"{request.bulk_id}{_SEPARATOR}{number}" if single else request.bulk_id
                lines[name] = {"custom_id": name, "method": "POST", "url": PATH, "body": body}
        return list(lines.values())

    async def _make(self, file_id: str, model: str) -> str | EndpointFault:
        """Make the batch of a file. Never twice: a call of which nothing came back is looked up among the batches."""
        batches = self._endpoint.client.batches.with_raw_response
        result: str | EndpointFault = EndpointFault(FaultKind.DOUBTFUL, "")
        for _ in range(2):
            result = await self._call(
                lambda: batches.create(input_file_id=file_id, endpoint=PATH, completion_window=WINDOW),
                _id,
                model,
                doubtful_tries=1,
            )
            if not isinstance(result, EndpointFault) or result.kind is not FaultKind.DOUBTFUL:
                return result
            made = await self._made(file_id, model)
            if isinstance(made, EndpointFault) or made:
                return made
        return result

    async def _made(self, file_id: str, model: str) -> str | EndpointFault:
        """Id of the batch that was made of a file; "" = none was."""
        batches = self._endpoint.client.batches.with_raw_response
        made: str | EndpointFault = await self._call(
            lambda: batches.list(limit=100), lambda text: _made_of(file_id, text), model
        )
        return made

    async def _read(
        self,
        lines: Sequence[Mapping[str, Any]],
        requests: Mapping[str, LlmRequest],
        parts: dict[str, list[LlmReply]],
        problems: list[str],
    ) -> None:
        asked_with = {bulk_id: self._knowledge.state(request) for bulk_id, request in requests.items()}
        for line in lines:
            bulk_id = str(line.get("custom_id")).split(_SEPARATOR)[0]
            request = requests.get(bulk_id)
            response = line.get("response")
            if request is None or not isinstance(response, Mapping):
                # Not ours, or not sent before the batch ended: nothing was charged.
                continue
            status = bounded_whole(response.get("status_code"), 100, 599) or 500
            if status == 200:
                reply = parse_reply(response.get("body"), request.source.samples)
                if reply is not None:
                    await self._asking.save(request.source.model)
                # Whatever was answered was charged.
                parts[bulk_id].append(reply or problem_reply(Problem.UNREADABLE))
                continue
            fault = status_fault(self._endpoint.asked(request), status, response.get("body"), {})
            if fault.kind is FaultKind.FILTERED:
                parts[bulk_id].append(problem_reply(Problem.CONTENT_FILTER))
            elif fault.kind is FaultKind.REJECTED:
                parts[bulk_id].append(problem_reply(Problem.REJECTED))
            else:
                problems.append(fault.message)
                if fault.kind is FaultKind.UNSUPPORTED:
                    # Not charged; the next batch, or the next request, goes without it.
                    self._knowledge.leave_out(request, asked_with[bulk_id], fault.parameter)
                    await self._asking.save(request.source.model)

    async def _call(
        self,
        send: Callable[[], Awaitable[RawReply]],
        read: Callable[[str], Any],
        model: str,
        doubtful_tries: int = 2,
    ) -> Any:
        asked = Asked(self._endpoint.address, model, self._endpoint.key)
        result = await self._calls.call(send, read, asked, self._knowledge.pace(model), self._tries, doubtful_tries)
        return result if isinstance(result, EndpointFault) else result.value


def _mapping(text: str) -> Mapping[str, Any] | None:
    body = read_json(text)
    return body if isinstance(body, Mapping) else None


def _id(text: str) -> str | None:
    found = (_mapping(text) or {}).get("id")
    return found if isinstance(found, str) and found else None


def _made_of(file_id: str, text: str) -> str | None:
    """Id of the batch made of a file; "" = there is none."""
    listed = (_mapping(text) or {}).get("data")
    if not isinstance(listed, list):
        return None
    made = [item.get("id") for item in listed if isinstance(item, Mapping) and item.get("input_file_id") == file_id]
    return str(made[0]) if made else ""


def _lines_of(text: str) -> list[Mapping[str, Any]]:
    items = [read_json(line) or _unread_line(line) for line in text.split("\n") if line.strip()]
    return [item for item in items if isinstance(item, Mapping)]


def _unread_line(line: str) -> Mapping[str, Any] | None:
    """What stands for a line that is no JSON, or nested too deeply, as far as it says whose it is."""
    said = _CUSTOM_ID.search(line)
    return {"custom_id": said[1], "response": {"status_code": 200, "body": NO_CHOICES}} if said else None
