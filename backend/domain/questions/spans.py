"""Spans: which parts of a text are marked, and as what."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from backend.domain.outside import bounded_whole, one_line, storable
from backend.domain.questions.base import Learner, Question
from backend.domain.tasks import Annotation, Answer, MirroredTask

MAX_PLACE = 10**9
"""Of a character in a text; Label Studio takes no task of so many."""
MOST_MARKS = 20_000
"""In one answer."""
MAX_TEXT = 20_000
"""Characters of a marked text that are kept to be compared; of a longer one none are."""
SHOWN = 80
"""Characters of a marked text that people are shown."""
STEP = re.compile(r"\.|\[(\d+)\]\.?")


class Mark(NamedTuple):
    """One marked part of a text: from `start` up to but not including `end`, in code points. text: what stands there,
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
    return label if mark is None else f"{mark.label} {one_line(mark.text, SHOWN)!r} ({mark.start}-{mark.end})"


@dataclass(frozen=True)
class Spans(Question):
    """`<Labels>` on a text. An answer has any number of marks, each written as `written` does.

    field: of task data, with the text; "a.b" and "a[0]" lie within another one. most: for each label how often it may
    be used in a task, 0 = as often as one likes; () = all of them.
    """

    kind = "labels"
    learner = Learner.SPANS

    field: str = ""
    most: tuple[int, ...] = ()

    def text(self, data: Mapping[str, object]) -> str:
        """The text of a task; "" where there is none."""
        found: object = data
        if self.field in data:
            found = data[self.field]
        else:
            for part in filter(None, STEP.split(self.field)):
                if isinstance(found, Mapping):
                    found = found.get(part)
                elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                    found = found[int(part)]
                else:
                    return ""
        return found if isinstance(found, str) else ""

    def read(self, given: Iterable[str]) -> tuple[str, ...]:
        """See `Question`: the marks with its labels."""
        return tuple(label for label in given if self.has(label))

    def has(self, name: str) -> bool:
        """See `Question`."""
        mark = mark_in(name)
        return mark is not None and mark.label in self._places

    def accepts(self, labels: Sequence[object]) -> bool:
        """See `Question`: any number."""
        return len(labels) <= MOST_MARKS

    def regions(self, answer: Answer) -> list[Answer]:
        """See `Question`: each mark."""
        return [(mark,) for mark in answer]

    def said_in(self, item: MirroredTask) -> tuple[Annotation, ...]:
        """See `Question`: one that marks nothing says that there is nothing to mark."""
        return tuple(entry for entry in item.annotations if not entry.skipped)

    def of_region(self, answer: Answer, region: str) -> Answer:
        """See `Question`: the marks that overlap a part of the text, see `region_of`."""
        start, _, end = region.partition("-")
        if not (start.isdecimal() and end.isdecimal()):
            return ()
        marks = ((label, mark_in(label)) for label in answer)
        return tuple(label for label, mark in marks if mark and mark.start < int(end) and int(start) < mark.end)

    def lost(self, answer: Answer, data: Mapping[str, object]) -> Answer:
        """See `Question`: also what can't be placed in the text as it is today."""
        text = self.text(data)
        return tuple(label for label in answer if self._placed(label, text) is None)

    def marks(self, answer: Answer, data: Mapping[str, object]) -> list[Mark]:
        """The marks of an answer that fit the task's text, each once. None is ever moved."""
        text = self.text(data)
        found = (self._placed(label, text) for label in answer[:MOST_MARKS])
        return list(dict.fromkeys(mark for mark in found if mark is not None))

    def answer_of(self, marks: Mapping[tuple[int, int, str], float], text: str) -> tuple[Answer, tuple[float, ...]]:
        """The answer that has these marks of a text, in its order, and how sure each is; of a label that may be used
        less often the surest ones.

        marks: (start, end, label) -> how sure it is.
        """
        used: Counter[str] = Counter()
        kept = []
        for place in sorted(marks, key=lambda item: (-marks[item], item)):
            label = place[2]
            used[label] += 1
            if not self.most or not self.most[self._places[label]] or used[label] <= self.most[self._places[label]]:
                kept.append(place)
        kept.sort()
        answer = tuple(written(Mark(*place, text[place[0] : place[1]])) for place in kept)
        return answer, tuple(marks[place] for place in kept)

    def _placed(self, label: str, text: str) -> Mark | None:
        mark = mark_in(label)
        if mark is None or mark.label not in self._places or not 0 <= mark.start < mark.end <= len(text):
            return None
        there = text[mark.start : mark.end]
        if mark.text and _dense(mark.text) != _dense(there):
            return None
        return mark._replace(text=there)


def _dense(text: str) -> str:
    """A text without white space, which browsers change, as far as it can be stored."""
    return "".join(storable(text, MAX_TEXT).split())
