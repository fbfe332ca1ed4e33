"""What `prelabel doctor` finds."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from backend.adapters.certificates import tls_problem

REACH_TIMEOUT_S = 5.0
"""Of requests that only look whether something answers."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` says what to do when it isn't good; `repair` does it, where we can."""

    name: str
    good: bool
    detail: str
    fix: str = ""
    repair: Callable[[], None] | None = None


def unanswered(name: str, address: str, error: httpx.HTTPError, fix: str) -> Finding:
    """The finding about an address that gave no answer; `fix`: what to do unless it's the certificate's fault."""
    problem = tls_problem(error)
    detail = problem or f"doesn't answer from here ({type(error).__name__})"
    return Finding(name, False, f"{address} {detail}", "" if problem else fix)
