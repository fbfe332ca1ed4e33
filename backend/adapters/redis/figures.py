"""Figures of all processes in Redis, so that the web service can show what workers counted.

One hash: a field is a figure's name with its labels, as JSON, and its value a number that Redis itself adds to, so no
process overwrites another's. A Redis that lost its data starts at 0 again, as Prometheus expects of counters.
"""

import json
import math
from collections.abc import Mapping
from itertools import accumulate
from typing import cast

from redis import Redis

KEY = "prelabel:figures"
BUCKETS_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, math.inf)
"""Upper ends of the buckets of durations, in seconds: a job takes moments or up to TRAIN_TIMEOUT_S."""

Labels = tuple[tuple[str, str], ...]


class Figures:
    """Counters and durations in one Redis. Every method raises RedisError when it is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        self._redis.hincrbyfloat(KEY, _field(name, labels), amount)

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """Add a duration: to the first bucket that holds it, to the sum, and as the last one."""
        end = next(end for end in BUCKETS_S if seconds <= end)
        with self._redis.pipeline() as pipeline:
            pipeline.hincrbyfloat(KEY, _field(f"{name}:bucket", {**labels, "le": _end(end)}), 1)
            pipeline.hincrbyfloat(KEY, _field(f"{name}:sum", labels), seconds)
            pipeline.hset(KEY, _field(f"{name}:last", labels), str(seconds))
            pipeline.execute()

    def read(self) -> dict[str, dict[Labels, float]]:
        """Name -> labels -> value. Durations are under `<name>:bucket`, `<name>:sum` and `<name>:last`."""
        found: dict[str, dict[Labels, float]] = {}
        for field, value in cast("dict[bytes, bytes]", self._redis.hgetall(KEY)).items():
            try:
                name, labels = json.loads(field)
                number, pairs = float(value), tuple(sorted(labels.items()))
            except (ValueError, TypeError, AttributeError):
                # Redis's file was damaged in this place.
                continue
            found.setdefault(name, {})[pairs] = number
        return found


def histogram(figures: Mapping[str, Mapping[Labels, float]], name: str) -> dict[Labels, tuple[list[float], float]]:
    """Labels -> (how many durations are at most each of `BUCKETS_S`, their sum in seconds)."""
    parts: dict[Labels, dict[str, float]] = {}
    for labels, n in figures.get(f"{name}:bucket", {}).items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        parts.setdefault(rest, {})[dict(labels)["le"]] = n
    sums = figures.get(f"{name}:sum", {})
    return {
        labels: (list(accumulate(of.get(_end(end), 0.0) for end in BUCKETS_S)), sums[labels])
        for labels, of in parts.items()
    }


def _end(end: float) -> str:
    return "+Inf" if math.isinf(end) else str(end)


def _field(name: str, labels: Mapping[str, str]) -> str:
    return json.dumps([name, labels], sort_keys=True)
