"""Figures that several reports have."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.codec import Json, JsonObject, finite
from backend.domain.statistics import Interval

ENDS = "_interval"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a question type's own, by its name in JSON; its 95 % interval is there as `<name>_interval`."""

    name: str
    value: float | None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """answered: share of the tasks. accuracy: of these, the share that is right, with Wilson's interval (1927, 95 %);
    None without any."""

    answered: float | None = None
    accuracy: float | None = None
    accuracy_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Measured(Answered):
    """The same, measured on `n_labels` tasks that have a complete human answer."""

    n_labels: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """How often something is right on `n` tasks or votes, with Wilson's interval; None for n = 0."""

    n: int = 0
    accuracy: float | None = None
    accuracy_interval: Interval | None = None


def to_keys(metrics: Sequence[Metric]) -> JsonObject:
    """Metrics as keys of their question's figures."""
    found: dict[str, Json] = {}
    for item in metrics:
        found[item.name] = item.value
        if item.interval is not None:
            found[item.name + ENDS] = list(item.interval)
    return found


def from_keys(found: JsonObject) -> tuple[Metric, ...]:
    """The metrics among keys of a question's figures."""
    return tuple(
        Metric(name, finite(value), _ends(found.get(name + ENDS)))
        for name, value in found.items()
        if value is None or finite(value) is not None
        if not name.endswith(ENDS)
    )


def _ends(value: Json) -> Interval | None:
    ends = [finite(end) for end in value] if isinstance(value, Sequence) else []
    return (ends[0], ends[1]) if len(ends) == 2 and ends[0] is not None and ends[1] is not None else None
