"""Bulk: what is asked through the Batch API, cheaper and within a day. A batch outlives the worker that sent it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.codec import from_json, to_json
from backend.domain.llm.records import LlmReply, LlmRequest, LlmSource
from backend.domain.questions import Question, from_dict, to_dict
from backend.errors import LlmRefused, LlmUnavailable
from backend.ports.llm import BulkRecord, BulkStatus, Claim
from backend.workflows.llm.requests import Asking, AskReport, price_of, settle_reply
from backend.workflows.llm.view import LlmProject

CLAIM_S = 26 * 3600.0
"""The Batch API takes up to a day."""
MAX_REQUESTS = 5000
"""Requests in one batch: endpoints take up to 50,000, and so many fit into memory."""
MAX_CHARACTERS = 30_000_000
"""Of all requests in one batch. Endpoints take 200 MB; a character has up to 6 bytes in JSON."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What has to be remembered of a request to read its reply, also when the label config has changed meanwhile. usd:
    what was reserved; batches that an earlier release sent don't say."""

    source: LlmSource
    contents: Mapping[str, str]
    question: Mapping[str, object]
    usd: float = 0.0


def send_bulk(asking: Asking) -> None:
    """Send all requests for some rows as batches.

    Raises:
        LlmRefused: the endpoint has no Batch API.
        LlmUnavailable: it doesn't answer.
    """
    asking.claim_s = CLAIM_S
    asking.tally.until = float("inf")
    asking.price = asking.price.in_bulk
    requests = asking.requests()
    try:
        for batch in _batches(requests):
            if asking.view.is_outdated():
                return
            _send(asking, batch)
    finally:
        asking.give_back()


def _send(asking: Asking, batch: Sequence[LlmRequest]) -> None:
    """Send one batch. It is remembered before it is made: a worker killed between the two would leave it unknown."""
    records = asking.view.parts.records
    announced: list[str] = []

    def announce(bulk_id: str) -> None:
        records.save_bulk(_record(asking, bulk_id, batch))
        announced.append(bulk_id)

    try:
        bulk_id = asking.view.parts.endpoint.bulk_send(batch, announce)
        records.save_bulk(_record(asking, bulk_id, batch))
    except LlmUnavailable:
        # It may have been made all the same: the next job finds out.
        if announced:
            _let_go(asking, batch)
        raise
    except LlmRefused:
        for draft in announced:
            records.forget_bulk(draft)
        raise
    for draft in announced:
        records.forget_bulk(draft)
    _let_go(asking, batch)


def _let_go(asking: Asking, batch: Sequence[LlmRequest]) -> None:
    """Leave the claims of a batch to whoever fetches it."""
    for request in batch:
        del asking.claims[tuple(request.contents.values())]


def _record(asking: Asking, bulk_id: str, batch: Sequence[LlmRequest]) -> BulkRecord:
    claims = {request.bulk_id: asking.claims[tuple(request.contents.values())] for request in batch}
    question = to_dict(asking.prompt.question)
    memory = {
        name: to_json(_Remembered(request.source, request.contents, question, claims[name].usd))
        for name, request in ((request.bulk_id, request) for request in batch)
    }
    ids = {name: claim.id for name, claim in claims.items()}
    return BulkRecord(bulk_id, asking.view.key, ids, memory, asking.view.deps.now())


def _batches(requests: Iterator[LlmRequest]) -> Iterator[list[LlmRequest]]:
    batch: list[LlmRequest] = []
    size = 0
    for request in requests:
        length = len(request.system) + len(request.user) + len(str(request.schema)) + sum(map(len, request.images))
        if batch and (len(batch) == MAX_REQUESTS or size + length > MAX_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(request)
        size += length
    if batch:
        yield batch


def fetch_bulks(view: LlmProject, tally: AskReport) -> bool:
    """Take in what came back of the project's batches; returns whether one ended without any reply."""
    records = view.parts.records
    failed = False
    for bulk in records.bulks(view.key):
        remembered = {number: from_json(_Remembered, found) for number, found in bulk.requests.items()}
        requests = {
            number: LlmRequest(memory.source, memory.contents, "", "", {}, 0) for number, memory in remembered.items()
        }
        result = view.parts.endpoint.bulk_fetch(bulk.id, requests)
        if result.status is BulkStatus.RUNNING:
            continue
        for number, request in requests.items():
            memory = remembered[number]
            claim = Claim(bulk.claims[number], tuple(request.contents.values()), memory.usd)
            _take_in(view, tally, from_dict(memory.question), request, result.replies.get(number), claim)
        records.forget_bulk(bulk.id)
        tally.stopped = result.problem or tally.stopped
        failed = failed or not result.replies
    return failed


def _take_in(
    view: LlmProject,
    tally: AskReport,
    question: Question,
    request: LlmRequest,
    reply: LlmReply | None,
    claim: Claim,
) -> None:
    """Save the answers to one request of a batch that has ended; without a reply, its money goes back."""
    if reply is None:
        view.parts.records.settle(claim, [], 0.0)
    else:
        settle_reply(view, question, request, reply, price_of(view, request.source.model).in_bulk, claim, tally)
