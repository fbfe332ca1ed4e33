"""Requests and replies as the chat completions API writes them."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from backend.adapters.llm.faults import SCHEMA
from backend.domain.llm.records import LlmReply, LlmRequest, Problem, ReplyFormat, Sample, Token
from backend.domain.llm.reply_text import ends_in_json
from backend.domain.outside import bounded_number, bounded_whole
from backend.ports.llm import EndpointState

MANY_SAMPLES_TEMPERATURE = 0.7
"""Where several samples are asked for, they must be able to differ. Wang et al., "Self-Consistency Improves Chain of
Thought Reasoning in Language Models" (2023), find 0.5 to 0.7 best."""
MAX_TOKENS = 10_000_000
"""In one reply: several times what any model reads or writes. A larger count is a mistake, and counts as none."""
MAX_LOGPROB = 0.01
"""A logarithm of a probability is 0 at most; rounding may give a little more."""
NO_CHOICES: Mapping[str, Any] = {"choices": None}
"""A completion of which nothing can be read."""
_WEAKER = {ReplyFormat.JSON_SCHEMA: ReplyFormat.JSON_OBJECT, ReplyFormat.JSON_OBJECT: ReplyFormat.TEXT}
_PROBLEMS = {
    "content_filter": Problem.CONTENT_FILTER,
    "safety": Problem.CONTENT_FILTER,
    "length": Problem.CUT_OFF,
    "max_tokens": Problem.CUT_OFF,
    "model_length": Problem.CUT_OFF,
}
"""By `finish_reason`, in any case. Gateways pass on what the APIs behind them say (Gemini, Anthropic, Mistral)."""


def chat_body(request: LlmRequest, state: EndpointState, samples: int) -> dict[str, Any]:
    """The body of a request for so many samples, with nothing that the endpoint is known not to take."""
    content: object = request.user
    if request.images:
        images = [{"type": "image_url", "image_url": {"url": url}} for url in request.images]
        content = [{"type": "text", "text": request.user}, *images]
    body: dict[str, Any] = {
        "model": request.source.model,
        "messages": [{"role": "system", "content": request.system}, {"role": "user", "content": content}],
        limit_name(state): request.max_output_tokens,
    }
    if "temperature" not in state.dropped:
        body["temperature"] = MANY_SAMPLES_TEMPERATURE if request.source.samples > 1 else 0
    if state.logprobs:
        body["logprobs"] = True
    if samples > 1:
        body["n"] = samples
    if state.form is ReplyFormat.JSON_SCHEMA:
        schema = {"name": "answers", "strict": True, "schema": dict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif state.form is ReplyFormat.JSON_OBJECT:
        body["response_format"] = {"type": "json_object"}
    return body


def limit_name(state: EndpointState) -> str:
    """The parameter that limits an answer's length.

    `max_tokens` first: models that don't take it say so, while servers that don't know `max_completion_tokens` (Ollama)
    leave it out without a word, and the answer has no limit.
    """
    return "max_completion_tokens" if "max_tokens" in state.dropped else "max_tokens"


def without(state: EndpointState, parameter: str) -> EndpointState | None:
    """The state after a refusal of `parameter`; None when nothing is left to leave out."""
    if parameter in {"response_format", SCHEMA}:
        return replace(state, form=_WEAKER[state.form]) if state.form in _WEAKER else None
    if parameter == "logprobs":
        return replace(state, logprobs=False) if state.logprobs else None
    if parameter in {"max_tokens", "max_completion_tokens"}:
        parameter = limit_name(state)
    return None if parameter in state.dropped else replace(state, dropped=(*state.dropped, parameter))


def has_no_limit(state: EndpointState) -> bool:
    """Whether the endpoint takes neither parameter that limits an answer's length."""
    return {"max_tokens", "max_completion_tokens"} <= set(state.dropped)


def schema_key(request: LlmRequest) -> str:
    """Names a model with a schema."""
    text = json.dumps([request.source.model, request.schema], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_reply(body: object, samples: int, latency_s: float = 0.0) -> LlmReply | None:
    """The first so many samples of a chat completion; None when `body` isn't one. One without a usable choice was paid
    for all the same: it has one sample, which is unreadable."""
    if not isinstance(body, Mapping) or "choices" not in body:
        return None
    choices = body["choices"] if isinstance(body["choices"], list) and body["choices"] else [None]
    input_tokens, output_tokens = _used(body.get("usage"))
    return LlmReply(tuple(_sample(choice) for choice in choices[:samples]), input_tokens, output_tokens, latency_s)


def merged(parts: Sequence[LlmReply]) -> LlmReply:
    """Replies to the same request, as one: all samples, the sum of all else. Of tokens, the sum of what is known counts
    only where all are known."""
    counted = all(part.input_tokens for part in parts if part.samples)
    return LlmReply(
        tuple(sample for part in parts for sample in part.samples),
        sum(part.input_tokens for part in parts) if counted else 0,
        sum(part.output_tokens for part in parts) if counted else 0,
        sum(part.latency_s for part in parts),
        sum(part.lost for part in parts),
    )


def problem_reply(problem: Problem) -> LlmReply:
    """The reply to a request that was turned down: one empty sample, no tokens."""
    return LlmReply((Sample("", problem=problem),))


def _sample(choice: object) -> Sample:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        return Sample("", problem=Problem.UNREADABLE)
    if message.get("refusal"):
        return Sample("", problem=Problem.REFUSAL)
    problem = _PROBLEMS.get(str(choice.get("finish_reason")).casefold(), Problem.NONE)
    text = _content(message.get("content"))
    if not text.strip() and problem is Problem.NONE:
        # Servers that take thoughts apart may take the answer for one. A draft has more thoughts behind its JSON.
        thoughts = (_content(message.get(name)) for name in ("reasoning_content", "reasoning"))
        text = next((thought for thought in thoughts if ends_in_json(thought)), text)
    return Sample(text, _tokens(choice.get("logprobs")), problem)


def _content(content: object) -> str:
    if isinstance(content, list):
        # Some endpoints answer in parts, of which those of other types (thinking) aren't the answer.
        parts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _tokens(logprobs: object) -> tuple[Token, ...]:
    items = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        # Log-probabilities in a form we don't know are as good as none.
        return ()
    return tuple(Token(str(item.get("token", "")), _logprob(item.get("logprob"))) for item in items)


def _logprob(value: object) -> float:
    found = bounded_number(value, -1e6, MAX_LOGPROB)
    return math.nan if found is None else found


def _used(usage: object) -> tuple[int, int]:
    """Input and output tokens; (0, 0) where the endpoint doesn't say, or says what can't be."""
    said = usage if isinstance(usage, Mapping) else {}
    asked = bounded_whole(said.get("prompt_tokens"), 1, MAX_TOKENS)
    got = bounded_whole(said.get("completion_tokens"), 0, MAX_TOKENS)
    return (0, 0) if asked is None or got is None else (asked, got)
