"""Fields of task data: what each one holds, and its value as a number, a word or a moment."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise

from backend.domain.features.terms import readable
from backend.domain.locations import is_location
from backend.domain.outside import one_line
from backend.domain.tasks import user_fields

FEW_VALUES = 50
SHORT = 60
DEPTH = 5
MOST_NAMED = 10
"""Fields in a sentence."""
MAX_DIGITS = 300
"""Of a number in a text: a float holds no more."""
"""Levels of nested objects that are looked into."""
FEWEST_IN_ORDER = 10
"""Values from which an order is no chance: 10 different numbers lie in one of two orders once in 1.8 million times."""
IN_ORDER = 0.95
"""Share of the steps from a task to the next that go one way; many projects are several files, one after another."""
_NUMBERED = re.compile(r"(\D*)(\d+)(\D*)")
_DATE = re.compile(r"(\d{4})[-/](\d{2})[-/](\d{2})(?:[T ](\d{2}):(\d{2})\S*)?|(\d{1,2})\.(\d{1,2})\.(\d{4})")
"""ISO dates, also with slashes, with or without a time; and day.month.year. Month/day/year can't be told from
day/month/year and stays a word."""


class FieldKind(StrEnum):
    """The kinds of values that a field holds."""

    TEXT = "text"
    CATEGORY = "category"
    NUMBER = "number"
    DATE = "date"
    ITEMS = "items"
    LOCATION = "location"
    ORDER = "order"
    IGNORED = "ignored"


LEARNED_FROM = frozenset(FieldKind) - {FieldKind.LOCATION, FieldKind.ORDER, FieldKind.IGNORED}


def about_left_out(fields: Mapping[str, str]) -> str:
    """A clause about addresses and numberings among fields (name -> `FieldKind`); "" without any."""
    why = {
        FieldKind.LOCATION: "only addresses or file names",
        FieldKind.ORDER: "they number the tasks in their order, which tells nothing of others",
    }
    names = {kind: [one_line(name, 60) for name, found in fields.items() if found == kind] for kind in why}
    said = [
        f"{', '.join(some[:MOST_NAMED])}{' ...' * (len(some) > MOST_NAMED)} ({why[kind]})"
        for kind, some in names.items()
        if some
    ]
    return f"not learned from: {'; '.join(said)}" if said else ""


def flat_fields(data: Mapping[str, object]) -> dict[str, object]:
    """The user's fields; those of a nested object as "outer.inner", a list of objects as one list for each inner field.

    So a dialogue, [{"author": ..., "text": ...}, ...], is the list of its authors and the text of all its turns.
    """
    flat: dict[str, object] = {}
    for name, value in user_fields(data).items():
        _flatten(name, value, flat, DEPTH)
    return flat


def _flatten(name: str, value: object, flat: dict[str, object], depth: int) -> None:
    if isinstance(value, Mapping):
        for inner, item in value.items() if depth else ():
            _flatten(f"{name}.{inner}", item, flat, depth - 1)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        columns: dict[str, list[object]] = {}
        for item in value:
            for inner, part in item.items() if isinstance(item, Mapping) else ():
                columns.setdefault(str(inner), []).append(part)
        for inner, parts in columns.items() if depth else ():
            _flatten(f"{name}.{inner}", parts, flat, depth - 1)
    else:
        flat[name] = value


def kind_of(values: Sequence[object]) -> FieldKind:
    """The kind of a field, from its values that aren't missing, in the order of the tasks."""
    if not values:
        return FieldKind.IGNORED
    if _is_numbering(values):
        return FieldKind.ORDER
    if all(number_of(value) is not None for value in values):
        return FieldKind.NUMBER
    if all(day_of(value) is not None for value in values):
        return FieldKind.DATE
    if all(isinstance(value, list) for value in values):
        return _kind_of_lists([value for value in values if isinstance(value, list)])
    texts = [text_of(value) for value in values if isinstance(value, str | int | float)]
    if 2 * len(texts) <= len(values):
        return FieldKind.IGNORED
    if sum(map(is_location, texts)) > len(texts) / 2:
        return FieldKind.LOCATION
    if all(isinstance(value, bool) for value in values):
        return FieldKind.CATEGORY
    n_distinct = len(set(texts))
    few = n_distinct <= FEW_VALUES and 3 * n_distinct <= len(texts)
    return FieldKind.CATEGORY if few and max(map(len, texts)) <= SHORT else FieldKind.TEXT


def _kind_of_lists(lists: Sequence[list[object]]) -> FieldKind:
    """Lists of sentences are a text, of short words they are items."""
    items = [item for values in lists for item in values if not is_missing(item)]
    if not items or not all(isinstance(item, str | int | float) for item in items):
        return FieldKind.IGNORED
    texts = [str(item) for item in items]
    if sum(map(is_location, texts)) > len(texts) / 2:
        return FieldKind.LOCATION
    return FieldKind.ITEMS if max(map(len, texts)) <= SHORT else FieldKind.TEXT


def is_missing(value: object) -> bool:
    """Whether a value says nothing: null, an empty string, or a number that is none."""
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def _is_numbering(values: Sequence[object]) -> bool:
    """Whether a field numbers the tasks: whole numbers ("row-17" too) or moments that grow, or fall, from task to task.

    Tasks of a file that was sorted by its labels would be told apart by it, and no others. Quantities have equal or
    fractional values, or come in no order.
    """
    if len(values) < FEWEST_IN_ORDER:
        return False
    # Most fields are told by their first values.
    places = _places(values[:FEWEST_IN_ORDER])
    if places is None or (places := _places(values)) is None:
        return False
    n_grown = sum(one < other for one, other in pairwise(places))
    n_fallen = sum(one > other for one, other in pairwise(places))
    return max(n_grown, n_fallen) >= IN_ORDER * (len(places) - 1)


def _places(values: Sequence[object]) -> list[float] | None:
    """What a numbering would number tasks by; None where some value is no whole number and no moment, or in words of
    its own."""
    if all(isinstance(value, str) and _NUMBERED.fullmatch(value) for value in values):
        parts = [_NUMBERED.fullmatch(str(value)) for value in values]
        around = {(part[1], part[3]) for part in parts if part is not None}
        return [float(part[2][:MAX_DIGITS]) for part in parts if part is not None] if len(around) == 1 else None
    numbers = [number_of(value) for value in values]
    if all(number is not None and number.is_integer() for number in numbers):
        return [number for number in numbers if number is not None]
    days = [day_of(value) for value in values]
    return [day.timestamp() for day in days if day is not None] if all(day is not None for day in days) else None


def number_of(value: object) -> float | None:
    """A finite number, also written as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def day_of(value: object) -> datetime | None:
    """A date or a moment written as a string, as if it were UTC; None for anything else."""
    match = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, other_day, other_month, other_year = match.groups()
    try:
        return datetime(
            int(year or other_year),
            int(month or other_month),
            int(day or other_day),
            int(hour or 0),
            int(minute or 0),
            tzinfo=UTC,
        )
    except ValueError:
        return None


def text_of(value: object) -> str:
    """The words of a value, of a list those of its items; "" for what isn't a plain value."""
    if isinstance(value, list):
        return "\n".join(text_of(item) for item in value)
    return readable(str(value)) if isinstance(value, str | int | float) else ""
