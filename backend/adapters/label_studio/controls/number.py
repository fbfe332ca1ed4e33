"""`<Number>`."""

import math
from typing import Any
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls.base import unreadable
from backend.adapters.label_studio.controls.tags import ControlTag
from backend.domain.outside import bounded_number
from backend.domain.questions import Number, Question
from backend.domain.questions.number import MAX_ABSOLUTE, written
from backend.domain.tasks import Answer

MAX_NUMBERS = 100
"""Each number becomes a label; of more, people give hardly any twice."""
MAX_CHARS = 20


class NumberControl:
    """See `Control`."""

    hides = False
    key = "number"

    def why_unsupported(self, tag: ControlTag) -> str:
        """See `Control`."""
        if _numbers(tag.element):
            return ""
        return f"a Number can be suggested where min, max and step leave 2 to {MAX_NUMBERS} numbers"

    def question(self, tag: ControlTag) -> Question:
        """See `Control`."""
        return Number(tag.name, tag.to_name, tuple(map(written, _numbers(tag.element))))

    def labels(self, given: object) -> tuple[str, ...]:
        """See `Control`."""
        number = bounded_number(given, -MAX_ABSOLUTE, MAX_ABSOLUTE)
        return (unreadable(given) if number is None else written(number),)

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:  # noqa: ARG002 - numbers need no question
        """See `Control`: a number. Text would leave the form empty."""
        number = float(answer[0])
        return {"number": int(number) if number.is_integer() else number}


def _numbers(element: Element) -> list[float]:
    """All numbers that the form takes, ascending; none where these are too many, too few or not said."""
    lowest, highest, step = (_number(element.get(name, default)) for name, default in _LIMITS)
    if lowest is None or highest is None or not step or step < 0 or lowest >= highest:
        return []
    n = math.floor((highest - lowest) / step + 1e-9) + 1
    return [lowest + place * step for place in range(n)] if 1 < n <= MAX_NUMBERS else []


_LIMITS = (("min", ""), ("max", ""), ("step", "1"))
"""Attributes with Label Studio's defaults."""


def _number(text: str) -> float | None:
    try:
        return bounded_number(float(text), -MAX_ABSOLUTE, MAX_ABSOLUTE) if len(text) <= MAX_CHARS else None
    except ValueError:
        return None
