"""When to send: the endpoint's own word on how long to wait, and back-off where it gives none."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from backend.domain.outside import bounded_number

MAX_WAIT_S = 300.0
"""An endpoint that wants a longer pause (a daily limit) isn't waited for: the worker has other things to do."""
BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 60.0
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)")
_MAX_CHARACTERS = 64
"""Of a header's value; a longer one is no time. (Looking for durations in one takes the square of its length.)"""
_LONGEST_S = 366 * 86400.0
"""Nobody means a longer pause."""
_LIMITS = ("requests", "tokens")


class Pace:
    """The moment before which nobody sends. `clock` returns seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._not_before = float("-inf")

    def hold(self, seconds: float) -> None:
        """Nobody sends for so many seconds; never shortens what was said before."""
        self._not_before = max(self._not_before, self._clock() + seconds)

    @property
    def wait_s(self) -> float:
        """Seconds until somebody may send; 0 = now."""
        return max(0.0, self._not_before - self._clock())


def backoff_s(tried: int, random: Callable[[], float]) -> float:
    """Exponential back-off with full jitter: uniform in 0 .. min(cap, base * 2^tried) seconds.

    `tried` counts from 0; `random` is uniform in [0, 1). Source: M. Brooker, "Exponential Backoff And Jitter" (AWS
    Architecture Blog, 2015), where full jitter needs the fewest calls.
    """
    return random() * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(tried, 30))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long an endpoint that refused wants us to wait, in seconds; None when it didn't say."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after", "").strip()
    seconds = _number(said)
    if seconds is not None:
        return seconds
    if said:
        until = _date(said)
        if until is not None:
            # Measured by the endpoint's own clock where it tells the time, since ours may be wrong.
            now = _date(headers.get("date", "")) or datetime.now(UTC)
            return bounded_number(max(0.0, (until - now).total_seconds()), 0, _LONGEST_S)
    return used_up_s(headers)


def used_up_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit that the headers call used up (`x-ratelimit-remaining-*: 0`) is reset; None = none is."""
    waits = [
        duration_s(headers.get(f"x-ratelimit-reset-{limit}", ""))
        for limit in _LIMITS
        if headers.get(f"x-ratelimit-remaining-{limit}", "").strip() == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def duration_s(text: str) -> float | None:
    """Seconds of `6m0s`, `120ms` (OpenAI) or `10` (Azure); None for anything else."""
    text = text.strip()
    number = _number(text)
    if number is not None or len(text) > _MAX_CHARACTERS:
        return number
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(value + unit for value, unit in parts) != text:
        return None
    return bounded_number(sum(float(value) * _UNITS_S[unit] for value, unit in parts), 0, _LONGEST_S)


def _number(text: str) -> float | None:
    """A number of seconds, or of thousandths of them, written with digits only."""
    text = text.strip()
    if len(text) > _MAX_CHARACTERS or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return None
    return bounded_number(float(text), 0, _LONGEST_S * 1000)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text[:_MAX_CHARACTERS])
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        # No date, or one beyond the years that there are.
        return None
