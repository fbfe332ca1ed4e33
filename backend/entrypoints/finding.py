"""What `prelabel doctor` finds."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` says what to do when it isn't good; `repair` does it, where we can."""

    name: str
    good: bool
    detail: str
    fix: str = ""
    repair: Callable[[], None] | None = None
