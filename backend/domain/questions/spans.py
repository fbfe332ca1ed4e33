"""Spans: which parts of a text are marked, and as what."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.codec import Json
from backend.domain.outside import storable
from backend.domain.questions.base import Learner, Question, closed
from backend.domain.questions.marks import MAX_TEXT, Mark, mark_in, region_of, written
from backend.domain.questions.quotes import locate, quote_in, quoted
from backend.domain.spans.text import Span
from backend.domain.tasks import Annotation, Answer, MirroredTask

MOST_MARKS = 20_000
"""In one answer."""
LEAST_REPLY = 200
"""Bytes of a reply about a short text."""
STEP = re.compile(r"\.|\[(\d+)\]\.?")


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

    @property
    def marked(self) -> str:
        """See `Question`."""
        return self.field

    def text(self, data: Mapping[str, object]) -> str:
        """The text of a task; "" where there is none."""
        found = self.value(data)
        return found if isinstance(found, str) else ""

    def value(self, data: Mapping[str, object]) -> object:
        """What a task has in the field; None for nothing."""
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
                    return None
        return found

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

    def label_of(self, item: object) -> str | None:
        """See `Question`: a quote, as it was given."""
        return None if quote_in(item) is None else json.dumps(item)

    def meant(self, given: Sequence[str], text: str) -> tuple[Answer, bool]:
        """See `Question`: quotes that are in the text; others are left out."""
        marks, n_out = locate([quote for item in given if (quote := quote_in(json.loads(item)))], text, self.labels)
        return tuple(map(written, marks)), not n_out

    def reply_item(self, label: Json) -> Json:
        """See `Question`: a quote."""
        return closed({"label": label, **{part: {"type": "string"} for part in ("quote", "before", "behind")}})

    def reply_bytes(self, text: str) -> int:
        """See `Question`: as if half of the text were marked, in parts with what is around them."""
        return LEAST_REPLY + 2 * len(text.encode("utf-8", "replace"))

    def example(self, answer: Answer, text: str) -> list[object]:
        """See `Question`: quotes."""
        return [*quoted(filter(None, map(mark_in, answer)), text)]

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
        answer = tuple(self.mark_at(text, Span(*place)) for place in kept)
        return answer, tuple(marks[place] for place in kept)

    def mark_at(self, text: str, span: Span) -> str:
        """A span of a text as a part of an answer."""
        start, end = self.place(text, span.start), self.place(text, span.end)
        return written(Mark(start, end, span.label, text[span.start : span.end]))

    def region_at(self, text: str, span: Span) -> str:
        """The part of a text that a span takes, see `of_region`."""
        return region_of(self.place(text, span.start), self.place(text, span.end))

    def place(self, text: str, at: int) -> int:  # noqa: ARG002 - of some types
        """What Label Studio counts where a text has a code point: the same. Places rise with code points."""
        return at

    def code_point(self, text: str, place: int) -> int | None:
        """The code point of a text that is at a place; None where there is none."""
        return place if place <= len(text) else None

    def _placed(self, label: str, text: str) -> Mark | None:
        mark = mark_in(label)
        if mark is None or mark.label not in self._places:
            return None
        start, end = (self.code_point(text, place) for place in mark[:2])
        if start is None or end is None or start >= end:
            return None
        there = text[start:end]
        if mark.text and not self.is_said(mark, there, text):
            return None
        return Mark(start, end, mark.label, there)

    def is_said(self, mark: Mark, there: str, text: str) -> bool:  # noqa: ARG002 - of some types
        """Whether what a mark says is what stands at its places (`there`) in a text."""
        return dense(mark.text) == dense(there)


def dense(text: str) -> str:
    """A text without white space, which browsers change, as far as it can be stored."""
    return "".join(storable(text, MAX_TEXT).split())
