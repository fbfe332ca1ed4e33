"""Records of requests to an LLM and of its answers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from backend.domain.codec import JsonObject
from backend.domain.sources import LLM
from backend.domain.tasks import Answer

PROMPT_DIGITS = 8
"""So much of a prompt's hash is in its source's name."""


@dataclass(frozen=True, slots=True)
class LlmSource:
    """A source: one model, asked one question by one prompt.

    prompt: hash of all that makes the prompt (templates, instructions, labels, definitions, settings), without the
    tasks and the examples. examples: labeled tasks shown with each request; 0 = none. samples: answers asked for each
    task.
    """

    question: str
    model: str
    prompt: str
    examples: int = 0
    samples: int = 1

    @property
    def name(self) -> str:
        """Name of its column in a vote matrix."""
        return f"{LLM}:{self.model}:{self.prompt[:PROMPT_DIGITS]}"


class Problem(StrEnum):
    """Why an answer counts as an abstention although the model didn't choose to abstain."""

    NONE = ""
    OFF_LIST = "off list"
    """A label that the question doesn't have; never guessed to the nearest one."""
    UNREADABLE = "unreadable"
    """JSON of another form, or with the task's id missing."""
    CUT_OFF = "cut off"
    """It ends before its answer does: it had too little room, or thought too long."""
    NO_JSON = "no JSON"
    AMBIGUOUS = "two answers"
    """It answers twice, and not alike."""
    TOO_LARGE = "too large"
    """Of more characters than are read."""
    REFUSAL = "refusal"
    CONTENT_FILTER = "content filter"
    REJECTED = "rejected"
    """The endpoint takes this request for invalid (too long, say): asking again would not help."""


UNREADABLE = frozenset({Problem.UNREADABLE, Problem.CUT_OFF, Problem.NO_JSON, Problem.AMBIGUOUS, Problem.TOO_LARGE})
"""The model answered, and was paid, and nobody can say what it meant."""


class ConfidenceKind(StrEnum):
    """The origins of a confidence, best first."""

    LOGPROBS = "logprobs"
    AGREEMENT = "agreement"
    STATED = "stated"
    NONE = ""


@dataclass(frozen=True, slots=True)
class LlmAnswer:
    """What an LLM answered for one content under one prompt. Never asked again.

    content: hash of what was sent of the task. labels: () = abstained. confidence: 0..1 in the labels, uncalibrated;
    None where the endpoint gave none. Tokens, price and latency are this task's share of its request.
    """

    content: str
    prompt: str
    model: str
    labels: Answer
    problem: Problem = Problem.NONE
    confidence: float | None = None
    confidence_kind: ConfidenceKind = ConfidenceKind.NONE
    input_tokens: int = 0
    output_tokens: int = 0
    price_usd: float = 0.0
    latency_s: float = 0.0
    answered_at: float = 0.0


class ReplyFormat(StrEnum):
    """How an endpoint can be held to a form, strictest first."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One request: one or several tasks, each with an id that its answer must repeat.

    contents: `LlmAnswer.content` of the tasks, by id, in the prompt's order. images: URLs (http or data) shown with the
    text. schema: JSON schema of the reply. What a task holds stays out of the repr: reprs end in logs.
    """

    source: LlmSource
    contents: Mapping[str, str]
    system: str = field(repr=False)
    user: str = field(repr=False)
    schema: JsonObject = field(repr=False)
    max_output_tokens: int
    images: tuple[str, ...] = field(default=(), repr=False)

    @property
    def bulk_id(self) -> str:
        """Its name in a batch: 32 hex digits, the same for the same tasks under the same prompt and model."""
        source = self.source
        asked = [source.question, source.model, source.prompt, source.samples, list(self.contents.items())]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply with the natural logarithm of its probability."""

    text: str = field(repr=False)
    logprob: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One text that a model gave. tokens: () where the endpoint gives no log-probabilities. problem: the endpoint's own
    word that this is no answer (refusal, content filter), or no whole one (cut off)."""

    text: str = field(repr=False)
    tokens: tuple[Token, ...] = field(default=(), repr=False)
    problem: Problem = Problem.NONE


@dataclass(frozen=True, slots=True)
class LlmReply:
    """What came back for one request: `source.samples` texts; none when its last try got no answer either.

    lost: tries that got no answer (a timeout, a cut connection) and may have been charged all the same.
    """

    samples: tuple[Sample, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Price of a model in USD per million tokens. batch: share of it that the Batch API costs. image_tokens: the most
    tokens that one image counts as."""

    input_usd: float
    output_usd: float
    batch: float = 0.5
    image_tokens: int = 2000

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Price in USD of so many tokens."""
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / 1e6

    @property
    def in_bulk(self) -> "ModelPrice":
        """The price through the Batch API."""
        return replace(self, input_usd=self.input_usd * self.batch, output_usd=self.output_usd * self.batch)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map from a model's own confidence to the share of such answers that people agree with.

    method: "none" (too few human labels: the identity), "isotonic" or "temperature". knots: isotonic (x, y) pairs;
    temperature: its one value.
    """

    method: str = "none"
    temperature: float = 1.0
    knots: tuple[tuple[float, float], ...] = field(default=())
