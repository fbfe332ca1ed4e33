"""What Label Studio's refusals mean, in words that say what to do."""

import json

from backend.adapters.certificates import tls_problem
from backend.errors import LabelStudioAuthError, LabelStudioError

PERSONAL_TOKEN = "a personal access token (Account & Settings > Personal Access Token)"  # noqa: S105 - words, not a secret
ACCESS_TOKEN = "an access token (Account & Settings > Access Token)"  # noqa: S105 - words, not a secret
"""What users have before 1.17."""
TOKEN = f"{PERSONAL_TOKEN}, or before Label Studio 1.17 {ACCESS_TOKEN}"
"""For where the version isn't known."""
BLOCKED = "reserved network address"
"""What Label Studio says of addresses that it doesn't call (with status 403)."""


def refused(url: str, api_key: str, status: int, text: str) -> LabelStudioError:
    """The error for an answer that is none. The key isn't in it, whatever `text`, the answer's, says."""
    detail = _said(text).replace(api_key or "\0", "***") or "it gives no reason; its own log may."
    if status in {401, 403} and BLOCKED not in detail:
        return LabelStudioAuthError(
            f"Label Studio at {url} refused LABEL_STUDIO_API_KEY ({status}): {detail} Let a user who may change the "
            f"project make {TOKEN}.",
            status,
        )
    return LabelStudioError(f"Label Studio at {url} answered {status}: {detail}", status)


def unanswered(url: str, error: Exception) -> LabelStudioError:
    """The error for a request that got no answer."""
    silent = f"doesn't answer ({type(error).__name__}). Is it running, and is LABEL_STUDIO_URL its address as seen"
    return LabelStudioError(f"Label Studio at {url} {tls_problem(error) or f'{silent} from here?'}")


def _said(text: str) -> str:
    """What an error answer says, without the envelope that Label Studio puts around it."""
    try:
        body = json.loads(text)
    except ValueError:
        # An HTML page (of a proxy, or of an address that isn't there) explains nothing to a person at a terminal.
        return "" if "<html" in text.lower() else " ".join(text.split())[:300]
    if not isinstance(body, dict):
        return str(body)[:300]
    problems = body.get("validation_errors")
    return f"{body.get('detail', '')} {problems if problems else ''}".strip()[:500] or str(body)[:300]
