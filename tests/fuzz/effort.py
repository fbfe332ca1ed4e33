"""How much is tried: a tenth, and the same each time; with FUZZ_FACTOR so many times all, and others each time."""

import os

from hypothesis import HealthCheck, Phase, settings

from backend.errors import BackendError

FACTOR = int(os.environ.get("FUZZ_FACTOR", "0"))


def cases(full: int) -> int:
    """How many of so many cases are tried."""
    return full * FACTOR or -(-full // 10)


def effort(examples: int, *, shrinks: bool = True) -> settings:
    """Settings of Hypothesis for a property that a full run tries on so many examples. No example has a time limit."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if shrinks else [])]
    made = settings(
        max_examples=cases(examples),
        derandomize=not FACTOR,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=bool(FACTOR),
    )
    # Examples that failed are kept in .hypothesis and tried again first, where cases are new each time.
    return made if FACTOR else settings(made, database=None)


def assert_sentence(error: BackendError) -> None:
    """An error's message is for people: it says something, and can be sent and printed."""
    said = str(error)
    assert len(said) > 15
    assert len(said) < 5000
    assert "Traceback" not in said
