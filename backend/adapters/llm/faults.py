"""What an endpoint's error means for us.

An endpoint's message may quote the task or the key, so none is passed on: only its status and its short codes are.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from backend.adapters.llm.pace import retry_after_s

WAIT_STATUSES = frozenset({408, 409, 429})
REJECTED_STATUSES = frozenset({400, 413, 422})
SCHEMA = "schema"
"""The name, among parameters, of a JSON schema that the endpoint can't use although it takes others."""

_NAMES = {
    "response_format": r"response_format|json[_ ]schema|json_object|json mode|structured outputs?|guided_\w+|grammar",
    "logprobs": r"(?:top_)?logprobs?",
    "temperature": r"temperature",
    "max_completion_tokens": r"max_completion_tokens",
    "max_tokens": r"max_tokens",
    "n": r"['\"`]n['\"`]|\bn ?[>=]|\bn:? must be|(?:only one|multiple) (?:completion )?choices?",
}
_NAME = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _NAMES.items()))
_UNSUPPORTED = re.compile(
    r"not supported|n't support|not support|unsupported|not allowed|not permitted|extra[_ ](?:inputs|fields|forbidden)"
    r"|unknown|unrecognized|unexpected|unavailable|not available|not enabled|not implemented|must be one of|must be '"
    r"|must be exactly"
    r"|literal_error|must contain the word|only one|only the default|invalid schema|parse grammar|invalid grammar"
)
_BAD_SCHEMA = re.compile(r"invalid (?:json )?schema|schema contains|parse grammar|invalid grammar|enum values")
_BAD_KEY = re.compile(r"api key (?:is )?(?:not valid|not found|invalid|expired)")
"""Gemini says so with status 400, as if the request were to blame."""
_TOO_LONG = re.compile(r"too large|too long|context length|context size|at most \d")
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,59}")


class FaultKind(Enum):
    """What to do about a fault."""

    WAIT = auto()
    """Ask again later: it wasn't answered, nor charged."""
    DOUBTFUL = auto()
    """Ask again, but not often: it may have been charged."""
    UNSUPPORTED = auto()
    """Ask again without `parameter`."""
    FILTERED = auto()
    TOO_LARGE = auto()
    """It was answered, and charged, with more than is read."""
    REJECTED = auto()
    """This request is invalid; others may not be."""
    REFUSED = auto()
    """All requests would be refused."""


@dataclass(frozen=True, slots=True)
class EndpointFault:
    """A request that wasn't answered.

    message: safe to show, says what to do. wait_s: the endpoint's word on how long to wait. down: it is a sign that the
    endpoint as a whole doesn't work. missing: the endpoint knows no such address or thing (404, 405).
    limited: it has had too many requests (429). lost: see `LlmReply`.
    """

    kind: FaultKind
    message: str
    parameter: str = ""
    wait_s: float | None = None
    down: bool = False
    missing: bool = False
    limited: bool = False
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a message about a fault may name, and the key that it must not."""

    address: str
    model: str
    key: str
    images: bool = False

    def __repr__(self) -> str:
        return f"Asked({self.address!r}, {self.model!r})"


def connection_fault(asked: Asked, reason: str, *, sent: bool) -> EndpointFault:
    """No answer: `reason` in a few of our own words; `sent`: the request may have arrived."""
    kind = FaultKind.DOUBTFUL if sent else FaultKind.WAIT
    message = (
        f"The LLM endpoint at {asked.address} doesn't answer ({reason}). Is it running, and is OPENAI_BASE_URL right?"
    )
    return EndpointFault(kind, message, down=True)


def too_large(asked: Asked, size: str) -> EndpointFault:
    """An answer that was not read to its end; `size`: what it has more than."""
    return EndpointFault(FaultKind.TOO_LARGE, f"The LLM endpoint at {asked.address} sends {size} for an answer.")


def untrusted(asked: Asked, problem: str) -> EndpointFault:
    """No TLS connection, which waiting doesn't change; `problem`: see `tls_problem`."""
    return EndpointFault(FaultKind.REFUSED, f"The LLM endpoint at {asked.address} {problem}")


def not_an_answer(asked: Asked) -> EndpointFault:
    """Status 200 with something else than a chat completion: a proxy's page, an answer cut off."""
    message = (
        f"The LLM endpoint at {asked.address} answers with something that is no chat completion. Is OPENAI_BASE_URL "
        "the address of an OpenAI-compatible API (it usually ends in /v1)?"
    )
    return EndpointFault(FaultKind.DOUBTFUL, message, down=True)


def status_fault(asked: Asked, status: int, body: object, headers: Mapping[str, str]) -> EndpointFault:
    """What an error status means; `body` is its JSON, in any of the shapes that endpoints use."""
    error = _error(body)
    said = f"The LLM endpoint at {asked.address} answered {_codes(asked, status, error)}"
    code = str(error.get("code") or "")
    if 300 <= status < 400:
        return EndpointFault(
            FaultKind.REFUSED,
            f"{said}: it sends us to another address, which is not followed. Set OPENAI_BASE_URL to the final address.",
        )
    text = _text(error)
    if code == "insufficient_quota" or status == 402:
        return EndpointFault(FaultKind.REFUSED, f"{said}: the account of OPENAI_API_KEY has no credit left. Add some.")
    if asked.images and status in REJECTED_STATUSES | {404, 500} and "image" in text and "support" in text:
        return EndpointFault(FaultKind.REJECTED, f"{said}: the model {asked.model} doesn't take images.")
    if status in WAIT_STATUSES or status >= 500:
        # A gateway that waited in vain (504) has passed the request on.
        kind = FaultKind.DOUBTFUL if status == 504 else FaultKind.WAIT
        return EndpointFault(kind, f"{said}.", wait_s=retry_after_s(headers), down=status >= 500, limited=status == 429)
    if _is_filter(error, code):
        return EndpointFault(FaultKind.FILTERED, f"{said}.")
    is_bad_key = status in {401, 403} or (status == 400 and _BAD_KEY.search(text) is not None)
    if status in REJECTED_STATUSES | {403} and not _BAD_KEY.search(text):
        parameter = _parameter(error, text, code)
        if parameter:
            return EndpointFault(FaultKind.UNSUPPORTED, f"{said}.", parameter)
    if is_bad_key:
        missing = "" if asked.key else " (none is set)"
        return EndpointFault(
            FaultKind.REFUSED,
            f"{said}: it refuses OPENAI_API_KEY{missing}. Check the key, and that it may use the model {asked.model}.",
        )
    if status in {404, 405} or code == "model_not_found" or error.get("param") == "model":
        return EndpointFault(
            FaultKind.REFUSED,
            f"{said}: it has no model {asked.model}, or no API at this address. Check LLM_MODEL and OPENAI_BASE_URL "
            "(it usually ends in /v1).",
            missing=status in {404, 405},
        )
    if status in REJECTED_STATUSES:
        return EndpointFault(FaultKind.REJECTED, f"{said}.")
    return EndpointFault(FaultKind.REFUSED, f"{said}. Check OPENAI_BASE_URL.")


def _error(body: object) -> Mapping[str, Any]:
    """The error itself: endpoints wrap it in `error`, in a list (Gemini), or not at all (vLLM)."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        return inner if isinstance(inner, Mapping) else {"message": str(inner)}
    return {}


def _text(error: Mapping[str, Any]) -> str:
    """What it says, in lower case, for comparing only. A validation error's copy of our input is left out."""
    said = error.get("message") or error.get("detail") or ""
    if isinstance(said, str):
        return said.lower()
    if isinstance(said, Mapping):
        said = said.get("detail") or []
    items = said if isinstance(said, list) else []
    shown = [{name: item.get(name) for name in ("loc", "msg", "type")} for item in items if isinstance(item, Mapping)]
    try:
        return json.dumps(shown).lower()
    except RecursionError:
        return ""


def _parameter(error: Mapping[str, Any], text: str, code: str) -> str:
    """The request parameter that isn't supported; "" when the error is about something else."""
    if _TOO_LONG.search(text) and "enum values" not in text:
        return ""
    if code not in {"unsupported_parameter", "unsupported_value", "unknown_parameter"} and not _UNSUPPORTED.search(
        text
    ):
        return ""
    named = str(error.get("param") or "").split(".")[0].split("[")[0]
    name = "logprobs" if named == "top_logprobs" else named
    if name not in _NAMES:
        match = _NAME.search(text)
        name = (match.lastgroup or "") if match else ""
    return SCHEMA if name == "response_format" and _BAD_SCHEMA.search(text) else name


def _is_filter(error: Mapping[str, Any], code: str) -> bool:
    inner = error.get("innererror")
    metadata = error.get("metadata")
    return (
        code in _FILTER_CODES
        or (isinstance(inner, Mapping) and str(inner.get("code")) in _FILTER_CODES)
        # OpenRouter's moderation comes with status 403.
        or (isinstance(metadata, Mapping) and "flagged_input" in metadata)
    )


def _codes(asked: Asked, status: int, error: Mapping[str, Any]) -> str:
    """Status with the endpoint's short codes, where they look like codes and hold nothing secret."""
    known = []
    for name in ("type", "code"):
        value = error.get(name)
        if isinstance(value, str) and _SAFE.fullmatch(value) and not (asked.key and asked.key in value):
            known.append(f"{name} {value}")
    return f"{status} ({', '.join(known)})" if known else str(status)
