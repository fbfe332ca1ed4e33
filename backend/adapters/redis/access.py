"""How long Redis is waited for, and what is said when it doesn't answer, by threads and event loops alike."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError, ResponseError

from backend.errors import ConfigurationError

BACKOFF, TRIES = ExponentialBackoff(cap=0.5, base=0.05), 5
"""For one that refuses connections, as while it is being restarted, which takes a second."""
ANSWER_S = 5.0
"""A Redis that doesn't answer within so many seconds is away: `/ready` and webhooks must not hang with it."""


@contextmanager
def named_errors() -> Iterator[None]:
    """Turn what Redis says into a ConfigurationError that says what to do."""
    try:
        yield
    except ResponseError as error:
        # It answers, and refuses: it keeps nothing that it can't write to its file.
        if "MISCONF" in str(error):
            raise ConfigurationError(
                "Redis can't write its file: is its disk full (MODEL_DIR, or REDIS_URL's)?"
            ) from error
        raise ConfigurationError(f"Redis (REDIS_URL) refuses: {error}") from error
    except RedisError as error:
        raise ConfigurationError(
            f"Redis doesn't answer ({type(error).__name__}). Is it running, and is REDIS_URL right?"
        ) from error
