"""Faults of LLM endpoints, in the shapes that real ones answer with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

WHAT = {"json_schema": "response_format", "json_object": "response_format"}


@dataclass(frozen=True)
class Fault:
    """An answer that isn't one. how: "" = status and body; "hang" = no answer until the server stops; "cut" =
    connection closed before a byte; "cut body" = closed in the middle of the body; "garbage" = a page with
    status 200; "endless" = a body that goes on until the caller hangs up; "drip" = likewise, a byte at a time; "bomb" =
    a small body that unpacks to 100 MB; "bytes" = `body` with the headers, as it is."""

    status: int = 500
    body: object = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    how: str = ""

    def with_headers(self, **headers: str) -> "Fault":
        """With headers more: `retry_after="5"`."""
        return replace(self, headers={name.replace("_", "-"): value for name, value in headers.items()})


def error(status: int, message: str, kind: str = "invalid_request_error", code: str = "", param: str = "") -> Fault:
    """An error as OpenAI writes it."""
    body = {"message": message, "type": kind, "param": param or None, "code": code or None}
    return Fault(status, {"error": body})


HANG = Fault(how="hang")
CUT = Fault(how="cut")
CUT_BODY = Fault(how="cut body")
ENDLESS = Fault(200, how="endless")
DRIP = Fault(200, how="drip")
BOMB = Fault(200, how="bomb")
GARBAGE = Fault(200, how="garbage")
RATE_LIMITED = error(429, "Rate limit reached for requests", "requests", "rate_limit_exceeded")
NO_CREDIT = error(429, "You exceeded your current quota", "insufficient_quota", "insufficient_quota")
BROKEN = error(500, "The server had an error while processing your request", "server_error")
LOADING = Fault(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
"""llama.cpp while it starts."""
BAD_GATEWAY = Fault(502, "<html>Bad gateway</html>")
BAD_KEY = error(401, "Incorrect API key provided: sk-se****cret", code="invalid_api_key")
GEMINI_BAD_KEY = Fault(
    400,
    [
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
                "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
            }
        }
    ],
)
NO_MODEL = error(404, "The model `m` does not exist or you do not have access to it", code="model_not_found")
OLLAMA_NO_MODEL = error(404, 'model "m" not found, try pulling it first', "api_error")
TOO_LONG = error(
    400, "This model's maximum context length is 8192 tokens", code="context_length_exceeded", param="messages"
)
VLLM_TOO_LONG = Fault(
    400,
    {
        "object": "error",
        "message": "'max_tokens' or 'max_completion_tokens' is too large: 900. This model's maximum context length is "
        "4096 tokens and your request has 4000 input tokens",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    },
)
AZURE_FILTER = Fault(
    400,
    {
        "error": {
            "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management "
            "policy.",
            "type": None,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
        }
    },
)
NO_IMAGES = {
    "openai": error(400, "Invalid content type. image_url is only supported by certain models."),
    "vllm": Fault(
        400, {"object": "error", "message": "m is not a multimodal model", "type": "BadRequestError", "code": 400}
    ),
    "llama.cpp": Fault(
        500,
        {
            "error": {
                "code": 500,
                "message": "image input is not supported - hint: if this is unexpected, you may need to provide the "
                "mmproj",
                "type": "server_error",
            }
        },
    ),
    "openrouter": Fault(404, {"error": {"message": "No endpoints found that support image input", "code": 404}}),
}
BAD_SCHEMA = error(400, "Invalid schema for response_format 'answers': too many enum values", param="response_format")


def unsupported(what: str, dialect: str = "openai") -> Fault:
    """A parameter (or form: json_schema, json_object) that the model doesn't take, as a server of that kind says it."""
    name = WHAT.get(what, what)
    if dialect == "openai":
        return _openai(what, name)
    if dialect == "vllm":
        message = f"{name} is not supported by this model"
        return Fault(
            400, {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
        )
    if dialect == "llama.cpp":
        said = {
            "json_schema": 'response_format type must be one of "text" or "json_object", but got: json_schema',
            "n": "Only one completion choice is allowed",
        }.get(what, f"Unsupported param: {name}")
        return Fault(400, {"error": {"code": 400, "message": said, "type": "invalid_request_error"}})
    if dialect == "gemini":
        said = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
        said = "Logprobs is not enabled for models/m" if what == "logprobs" else said
        return Fault(400, [{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}])
    if dialect == "anthropic":
        # It refuses nothing but several samples; what else it doesn't take, it ignores.
        return error(400, f"{name} must be exactly 1")
    if dialect == "pydantic":
        item: dict[str, Any] = {
            "type": "extra_forbidden",
            "loc": ["body", name],
            "msg": "Extra inputs are not permitted",
        }
        return Fault(422, {"detail": [item | {"input": "temperature max_tokens"}]})
    return Fault(
        400, {"error": {"message": f"unknown field '{name}'", "type": "api_error", "param": None, "code": None}}
    )


def _openai(what: str, name: str) -> Fault:
    if what == "logprobs":
        return error(403, "You are not allowed to request logprobs from this model")
    if what in WHAT:
        return error(400, f"Invalid parameter: 'response_format' of type '{what}' is not supported with this model.")
    if what == "temperature":
        message = "Unsupported value: 'temperature' does not support 0 with this model."
        return error(400, message + " Only the default (1) value is supported.", code="unsupported_value", param=name)
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    if name == "max_tokens":
        message += " Use 'max_completion_tokens' instead."
    return error(400, message, code="unsupported_parameter", param=name)
