"""Signs: what a rule can tell of a task: words, how a text begins, patterns, its look, and fields of its data."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, pairwise, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, hstack

from backend.domain.codec import Json, JsonObject
from backend.domain.locations import fields_elsewhere
from backend.domain.rules import Field, Tasks, When, regex_rule
from backend.domain.rules.fields import keys_of
from backend.domain.rules.text import MEASURES
from backend.domain.rules.tokens import normal, split
from backend.domain.spans.text import UNSPACED
from backend.domain.tasks import user_fields

LONGEST_PHRASE = 3
"""Words of a phrase."""
MOST_PHRASES = 20_000
"""Words and phrases that are looked at, the most frequent ones."""
MOST_CHARACTERS = 10_000
"""Of a text that are looked at."""
MOST_VALUES = 20
"""Different values of a field up to which it is compared with each."""
MOST_FIELDS = 12
"""Fields of numbers of which each is compared with each."""
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Where a number is compared."""
MOST_TASKS = 0.9
"""Share of the tasks above which a sign tells nothing."""
PATTERNS: Mapping[str, str] = {
    "long_number": r"\d{5,}",
    "money": r"[£$€¥]\s?\d|\d\s?[£$€¥]",
    "percent": r"\d\s?%",
    "year": r"(?<!\d)(?:19|20)\d\d(?!\d)",
    "clock": r"(?<!\d)[0-2]?\d:[0-5]\d(?!\d)",
    "address_of_mail": r"[\w.+-]+@[\w-]+\.\w",
    "capitals": r"(?<!\w)[A-Z]{4,}(?!\w)",
}
"""Regular expressions that are tried on each field of text, by what they find."""

_UNSPACED = re.compile(f"[{UNSPACED}]")


class Kind(StrEnum):
    """What a sign is made of."""

    WORD = "word"
    BEGINNING = "beginning"
    PATTERN = "pattern"
    LOOK = "look"
    FIELD = "field"


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign. field: of the task's data. said: the word, the beginning, or the name of what is compared. rule: what
    of a rule's YAML tells it, but for words and beginnings, several of which make one rule."""

    kind: Kind
    field: str
    said: str
    rule: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of some tasks. found: bool as int32 (n_tasks, n_signs), where each is."""

    each: tuple[Sign, ...]
    found: csc_matrix


def signs_of(data: Sequence[Mapping[str, object]], *, least: int) -> Signs:
    """The signs that at least so many of some tasks have, and not nearly all of them.

    Args:
        data: of the tasks. Our own keys and what only says where something is stored are left out.
        least: tasks.
    """
    tasks = Tasks(data)
    elsewhere = fields_elsewhere(map(user_fields, data))
    names = [name for name in dict.fromkeys(key for item in data for key in user_fields(item)) if name not in elsewhere]
    numbers = [name for name in names if np.isfinite(tasks.numbers(name)).sum() >= max(least, len(data) / 2)]
    each: list[Sign] = []
    columns: list[csc_matrix] = []
    most = int(MOST_TASKS * len(data))

    def add(found: Iterator[tuple[Sign, NDArray[np.bool_]]]) -> None:
        for sign, where in found:
            if least <= where.sum() <= most:
                each.append(sign)
                columns.append(csc_matrix(where[:, None], dtype=np.int32))

    for name in names:
        if name in numbers:
            continue
        values = {key for key in keys_of(tasks, name) if key is not None}
        add(_missing(tasks, name))
        if len(values) <= min(MOST_VALUES, len(data) / 5):
            add(_values(tasks, name, sorted(values)))
        words, where = _words(name, [text[:MOST_CHARACTERS] for text in tasks.texts(name)], least, most)
        each += words
        columns.append(where)
        add(_patterns(tasks, name))
        add(_looks(tasks, name))
    add(_numbers(tasks, numbers))
    stacked = _stacked(columns, len(data))
    return Signs(tuple(each), stacked)


def _stacked(columns: Sequence[csc_matrix], n_tasks: int) -> csc_matrix:
    return csc_matrix(hstack(columns, format="csc")) if columns else csc_matrix((n_tasks, 0), dtype=np.int32)


def _words(field: str, texts: Sequence[str], least: int, most: int) -> tuple[list[Sign], csc_matrix]:
    """Words, phrases and beginnings of a field's texts."""
    places: dict[tuple[Kind, str], list[int]] = {}
    for row, text in enumerate(texts):
        tokens = split(normal(text, ignore_case=True))
        for found in dict.fromkeys(chain(_phrases(tokens), _beginnings(tokens))):
            places.setdefault(found, []).append(row)
    kept = {found: rows for found, rows in places.items() if least <= len(rows) <= most}
    often = sorted(kept, key=lambda found: -len(kept[found]))[:MOST_PHRASES]
    signs = [Sign(kind, field, said) for kind, said in often]
    rows = np.array([row for found in often for row in kept[found]], dtype=np.int64)
    ends = np.cumsum([0, *(len(kept[found]) for found in often)])
    return signs, csc_matrix((np.ones(len(rows), dtype=np.int32), rows, ends), shape=(len(texts), len(often)))


def _phrases(tokens: Sequence[str]) -> Iterator[tuple[Kind, str]]:
    words = [any(char.isalnum() for char in token) for token in tokens]
    for length in range(1, LONGEST_PHRASE + 1):
        for start in range(len(tokens) - length + 1):
            if all(words[start : start + length]):
                yield Kind.WORD, _joined(tokens[start : start + length])


def _beginnings(tokens: Sequence[str]) -> Iterator[tuple[Kind, str]]:
    for length in (1, 2):
        first = tokens[:length]
        if len(first) == length and all(token.isalnum() for token in first) and not _is_unspaced(first[0]):
            yield Kind.BEGINNING, " ".join(first)


def _joined(tokens: Sequence[str]) -> str:
    """Tokens as a keyword: without spaces in scripts that have none."""
    text = tokens[0]
    for before, token in pairwise(tokens):
        text += token if _is_unspaced(before) and _is_unspaced(token) else f" {token}"
    return text


def _is_unspaced(token: str) -> bool:
    return _UNSPACED.fullmatch(token) is not None


def _patterns(tasks: Tasks, field: str) -> Iterator[tuple[Sign, NDArray[np.bool_]]]:
    for name, pattern in PATTERNS.items():
        rule = regex_rule(name, field=field, pattern=pattern, vote="", ignore_case=False)
        votes = [] if rule.batch is None else rule.batch(tasks)
        said: dict[str, Json] = {"type": "regex", "field": field, "pattern": pattern, "ignore_case": False}
        yield Sign(Kind.PATTERN, field, name, said), np.array([vote == "" for vote in votes], dtype=np.bool_)


def _looks(tasks: Tasks, field: str) -> Iterator[tuple[Sign, NDArray[np.bool_]]]:
    texts = tasks.texts(field)
    for measure, figure in MEASURES.items():
        figures = np.array([figure(text) if text else np.nan for text in texts], dtype=np.float64)
        for bound, value, where in _bounds(figures):
            said: dict[str, Json] = {"type": "heuristic", "field": field, "measure": measure, bound: value}
            yield Sign(Kind.LOOK, field, f"{measure}_{bound}", said), where


def _numbers(tasks: Tasks, fields: Sequence[str]) -> Iterator[tuple[Sign, NDArray[np.bool_]]]:
    for name in fields:
        yield from _missing(tasks, name)
        for bound, value, where in _bounds(tasks.numbers(name)):
            said: dict[str, Json] = {"type": "compare", "when": {"field": name, bound: value}}
            yield Sign(Kind.FIELD, name, f"{name}_{bound}", said), where
    for name, other in permutations(fields[:MOST_FIELDS], 2):
        where = When(name, above=Field(other)).holds(tasks)
        said = {"type": "compare", "when": {"field": name, "above": {"field": other}}}
        yield Sign(Kind.FIELD, name, f"{name}_above_{other}", said), where


def _bounds(numbers: NDArray[np.float64]) -> Iterator[tuple[str, float, NDArray[np.bool_]]]:
    """Comparisons of a number with some of the values that it has."""
    known = numbers[np.isfinite(numbers)]
    if not known.size or known.min() == known.max():
        return
    compare: Mapping[str, Callable[[float], NDArray[np.bool_]]] = {
        "at_least": lambda value: numbers >= value,
        "at_most": lambda value: numbers <= value,
    }
    for value in dict.fromkeys(np.quantile(known, QUANTILES, method="nearest").tolist()):
        whole = int(value) if float(value).is_integer() else value
        for bound, holds in compare.items():
            yield bound, whole, holds(value)


def _values(tasks: Tasks, field: str, values: Sequence[str]) -> Iterator[tuple[Sign, NDArray[np.bool_]]]:
    keys = np.array([key or "" for key in keys_of(tasks, field)], dtype=object)
    for value in values:
        said: dict[str, Json] = {"type": "compare", "when": {"field": field, "equals": value}}
        yield Sign(Kind.FIELD, field, f"{field}_{value}", said), np.asarray(keys == value, dtype=np.bool_)


def _missing(tasks: Tasks, field: str) -> Iterator[tuple[Sign, NDArray[np.bool_]]]:
    said: dict[str, Json] = {"type": "compare", "when": {"field": field, "missing": True}}
    yield Sign(Kind.FIELD, field, f"no_{field}", said), When(field, missing=True).holds(tasks)


def rule_of(signs: Sequence[Sign]) -> dict[str, Json]:
    """Type and conditions of the rule that votes where a task has one of some signs, which are of one kind and field.

    Words and beginnings may be several; of all others there is one.
    """
    first = signs[0]
    if first.rule is not None:
        return dict(first.rule)
    if first.kind is Kind.WORD:
        return {"type": "keyword", "field": first.field, "keywords": [sign.said for sign in signs]}
    beginnings = "|".join(r"\s+".join(map(re.escape, sign.said.split(" "))) for sign in signs)
    return {"type": "regex", "field": first.field, "pattern": rf"^\W*(?:{beginnings})(?!\w)"}


def rows_with(signs: Signs, places: Sequence[int]) -> NDArray[np.bool_]:
    """Which tasks have one of some signs: bool (n_tasks,)."""
    return np.asarray(signs.found[:, list(places)].sum(axis=1)).ravel() > 0
