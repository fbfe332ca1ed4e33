"""Marks: how marked parts of a text are written in an answer."""

import json
from functools import lru_cache
from typing import NamedTuple

from backend.domain.outside import bounded_whole, one_line, storable
from backend.domain.tasks import Answer

MAX_PLACE = 2**52
"""Of a character in a text, see `Spans.place`."""
MAX_TEXT = 20_000
"""Characters of a marked text that are kept to be compared; of a longer one none are."""
UTTERANCE = 2**24
"""Places of an utterance, see `Paragraphs`."""
SHOWN = 80
"""Characters of a marked text that people are shown."""


class Mark(NamedTuple):
    """One marked part of a text: from `start` up to but not including `end`, in code points; in an answer, in whatever
    its control counts (`Spans.place`). text: what stands there,
    "" if that isn't known."""

    start: int
    end: int
    label: str
    text: str = ""


def written(mark: Mark) -> str:
    """A mark as a part of an answer."""
    text = storable(mark.text, MAX_TEXT) if len(mark.text) <= MAX_TEXT else ""
    return json.dumps([mark.start, mark.end, mark.label, text], ensure_ascii=False)


@lru_cache(maxsize=100_000)
def mark_in(label: str) -> Mark | None:
    """The mark that a part of an answer stands for; None for what is none."""
    try:
        found = json.loads(label) if label.startswith("[") else None
    except ValueError:
        return None
    if not (isinstance(found, list) and len(found) == len(Mark._fields)):
        return None
    start, end = (bounded_whole(value, 0, MAX_PLACE) for value in found[:2])
    name, text = found[2:]
    if start is None or end is None or not isinstance(name, str) or not isinstance(text, str):
        return None
    return Mark(start, end, name, text)


def region_of(start: int, end: int) -> str:
    """The part of a text that a suspect is about."""
    return f"{start}-{end}"


def readable(answer: Answer) -> str:
    """An answer for people: of marks, their labels, texts and places."""
    return ", ".join(_readable(label) for label in answer) or "none"


def _readable(label: str) -> str:
    mark = mark_in(label)
    return (
        label
        if mark is None
        else f"{mark.label} {one_line(mark.text, SHOWN)!r} ({_shown(mark.start)}-{_shown(mark.end)})"
    )


def _shown(place: int) -> str:
    number, offset = divmod(place, UTTERANCE)
    return f"{number}:{offset}" if number else str(offset)
