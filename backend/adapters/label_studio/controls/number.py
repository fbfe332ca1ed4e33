"""`<Number>`."""

import math
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls.base import unreadable
from backend.adapters.label_studio.controls.tags import ControlTag
from backend.domain.outside import bounded_number
from backend.domain.questions import Number, Question
from backend.domain.questions.number import MAX_ABSOLUTE, number_in, written
from backend.domain.tasks import Answer

MAX_NUMBERS = 100
"""Each number becomes a label; of more, people give hardly any twice, and bins of what they gave are the labels."""


class NumberControl:
    """See `Control`."""

    hides = False
    key = "number"

    def why_unsupported(self, tag: ControlTag) -> str:
        """See `Control`."""
        lowest, highest = (number_in(tag.element.get(name) or "") for name in ("min", "max"))
        if lowest is None or highest is None or lowest < highest:
            return ""
        return f"min={written(lowest)} and max={written(highest)} leave no two numbers to choose from"

    def question(self, tag: ControlTag) -> Question:
        """See `Control`."""
        return Number(tag.name, tag.to_name, tuple(map(written, _numbers(tag.element))))

    def labels(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Control`."""
        given = value[self.key]
        number = bounded_number(given, -MAX_ABSOLUTE, MAX_ABSOLUTE)
        return (unreadable(given) if number is None else written(number),)

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:  # noqa: ARG002 - numbers need no question
        """See `Control`: a number. Text would leave the form empty."""
        number = float(answer[0])
        return {"number": int(number) if number.is_integer() else number}


def _numbers(element: Element) -> list[float]:
    """All numbers that the form takes, ascending; none where these are too many, too few or not said."""
    lowest, highest, step = (number_in(element.get(name, default)) for name, default in _LIMITS)
    if lowest is None or highest is None or not step or step < 0 or lowest >= highest:
        return []
    n = math.floor((highest - lowest) / step + 1e-9) + 1
    return [lowest + place * step for place in range(n)] if 1 < n <= MAX_NUMBERS else []


_LIMITS = (("min", ""), ("max", ""), ("step", "1"))
"""Attributes with Label Studio's defaults."""
