"""What asking an LLM needs from outside: the endpoint, the record of what was asked and paid, prices and templates."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from backend.domain.codec import JsonObject
from backend.domain.llm.records import (
    Calibration,
    LlmAnswer,
    LlmReply,
    LlmRequest,
    LlmSource,
    ModelPrice,
    Problem,
    ReplyFormat,
)
from backend.domain.reports.llm import SourceReport

MOST_CHARGED = 2
"""A request whose answer got lost on the way is sent once more: it may be charged so often."""


class LlmEndpoint(Protocol):
    """An OpenAI-compatible endpoint."""

    def ask(self, requests: Iterable[LlmRequest], answered: Callable[[LlmRequest, LlmReply], None]) -> None:
        """Send requests, several at once, and hand over each reply.

        `requests` is asked for the next one only when it can be sent at once; `answered` has returned before another
        one is sent in its place. Neither is called from two threads at a time. When it raises, requests that were
        taken may be left without a reply.

        Raises:
            LlmUnavailable: the endpoint is down, or refuses for the time being (after its own word on how long to wait
                was heeded). What was answered before was handed over.
            LlmRefused: it refuses the key, the model or every request alike; the message says what to do.
        """

    def bulk_send(self, requests: Sequence[LlmRequest], announced: Callable[[str], None]) -> str:
        """Hand requests to the Batch API; returns the batch's id. Raises as `ask`, LlmRefused where it has none.

        `announced` has returned before the batch is made: it gets another id, by which `bulk_fetch` finds the batch
        too, should the caller not live to see its own.
        """

    def bulk_fetch(self, batch_id: str, requests: Mapping[str, LlmRequest]) -> "BulkResult":
        """What became of a batch; `requests` by `bulk_id`. Raises as `ask`.

        One that was announced and never made has ended without a reply.
        """


class BulkStatus(StrEnum):
    """State of a batch."""

    RUNNING = "running"
    ENDED = "ended"
    """Completed, failed, expired or cancelled: no more replies will come."""


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Replies of a batch by `bulk_id`; requests without one were not answered, and not charged."""

    status: BulkStatus
    replies: Mapping[str, LlmReply] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What is known of a model at an endpoint, found out once for all processes.

    form: the strictest one it takes. logprobs: whether it gives them. dropped: request parameters it doesn't take.
    """

    form: ReplyFormat = ReplyFormat.JSON_SCHEMA
    logprobs: bool = True
    dropped: tuple[str, ...] = ()


class EndpointMemory(Protocol):
    """What all workers know of the endpoints. `endpoint` is an address without credentials."""

    def endpoint_state(self, endpoint: str, model: str) -> EndpointState | None:
        """What was found out; None = nothing yet."""

    def save_endpoint_state(self, endpoint: str, model: str, state: EndpointState) -> None:
        """Remember it."""

    def mark_down(self, endpoint: str, reason: str, probe_each_s: float) -> None:
        """The endpoint doesn't answer: nobody asks it for so many seconds."""

    def mark_up(self, endpoint: str) -> None:
        """It answers again."""

    def may_ask(self, endpoint: str, probe_each_s: float) -> bool:
        """Whether to ask: True while it is up. While it is down, True for one caller in each `probe_each_s` seconds."""

    def down_reason(self, endpoint: str) -> str:
        """Why nobody asks it now; "" while it is up."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Contents that one worker may ask about now, with the money reserved for it. No other worker gets them.

    usd: what was reserved: `MOST_CHARGED` times the most that one request can cost.
    """

    id: str
    contents: tuple[str, ...]
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Spending:
    """Money of a project in USD. spent: for answers. held: reserved by requests under way. unknown: was reserved by
    workers that died before their answer came; it counts as spent, because it may have been charged."""

    spent: float = 0.0
    held: float = 0.0
    unknown: float = 0.0

    @property
    def total(self) -> float:
        """What counts against the budget."""
        return self.spent + self.held + self.unknown


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What we know of an LLM source of a project.

    text: the prompt in full, for the record. current: asked today (False: of an earlier prompt, kept for the record).
    trusted: it passed the gate, so its votes count. calibration: of its confidences. split: calibrated confidence below
    which a vote goes to the source's second, less trusted column; None = one column. report: None before its answers
    were compared. sample: contents of the random sample on which it is compared with people.
    """

    source: LlmSource
    text: str
    current: bool = True
    trusted: bool = False
    calibration: Calibration = field(default_factory=Calibration)
    split: float | None = None
    report: SourceReport | None = None
    sample: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BulkRecord:
    """A batch under way: `requests` are its requests as JSON, `claims` their claims by `bulk_id`."""

    id: str
    key: str
    claims: Mapping[str, str]
    requests: Mapping[str, JsonObject]
    created_at: float


class LlmRecords(EndpointMemory, Protocol):
    """Answers, money, sources and batches. Survives a kill -9 at any moment."""

    def answers(self, prompt: str, model: str, contents: Collection[str]) -> dict[str, LlmAnswer]:
        """Answers by content, whichever project paid for them."""

    def claim(
        self, key: str, source: LlmSource, contents: Sequence[str], price_usd: float, budget_usd: float, lasts_s: float
    ) -> Claim | None:
        """Take those of `contents` that have neither an answer nor a living claim, and reserve `price_usd` for them.

        None when none is left, or when the project's spending would exceed the budget: `price_usd` is reserved as a
        whole or not at all. A claim that its worker didn't settle within `lasts_s` seconds is free again, and its money
        counts as spent (`Spending.unknown`).
        """

    def reduce(self, claim: Claim, price_usd: float) -> None:
        """Reserve less, once it is known what the request will hold. Never more."""

    def settle(self, claim: Claim, answers: Sequence[LlmAnswer], price_usd: float) -> None:
        """Save answers, count their price as spent and give the rest of the reservation back: all or nothing. Contents
        of the claim without an answer are free again."""

    def forget_answers(self, source: LlmSource, contents: Collection[str], problems: Collection[Problem]) -> int:
        """Forget those answers of a source that have one of some problems, so that they are asked for again; returns
        how many. What they cost stays spent."""

    def spending(self, key: str) -> Spending:
        """Money of a project."""

    def sources(self, key: str) -> list[SourceRecord]:
        """All LLM sources that a project ever had."""

    def save_sources(self, key: str, records: Sequence[SourceRecord]) -> None:
        """Insert or replace, by model, prompt and question."""

    def bulks(self, key: str) -> list[BulkRecord]:
        """Batches under way."""

    def save_bulk(self, record: BulkRecord) -> None:
        """Remember a batch."""

    def forget_bulk(self, bulk_id: str) -> None:
        """It was fetched."""


@dataclass(frozen=True, slots=True)
class PromptContext:
    """What a template can use.

    labels: label -> what it means ("" where nobody said). tasks: id -> the fields sent. examples: fields with the
    labels that people chose, or for spans what they marked. marked: the field whose text is marked, "" for other
    questions.
    """

    question: str
    labels: Mapping[str, str]
    multiple: bool
    instructions: str
    tasks: Mapping[str, Mapping[str, object]] = field(repr=False)
    examples: Sequence[tuple[Mapping[str, object], Sequence[object]]] = field(default=(), repr=False)
    marked: str = ""


class PromptTemplates(Protocol):
    """Templates of prompts. Raises ConfigurationError, which names the file and the line."""

    def text(self, folder: str, *, marks: bool = False) -> str:
        """The templates themselves, system and user: what of a prompt they make changes with this text. marks: those of
        questions about spans."""

    def render(self, folder: str, context: PromptContext) -> tuple[str, str]:
        """System and user message."""


class Prices(Protocol):
    """Prices of models."""

    def of(self, model: str) -> ModelPrice | None:
        """Price of a model; None when nobody said."""


@dataclass(frozen=True, slots=True)
class LlmPorts:
    """All that asking LLMs needs from outside."""

    endpoint: LlmEndpoint
    records: LlmRecords
    templates: PromptTemplates
    prices: Prices
    fetch_image: Callable[[str], str]
    """An image, by its URL in the task data, as an http or data URL that an LLM can be sent. Raises BadRequest when it
    can't be had or is too large."""
