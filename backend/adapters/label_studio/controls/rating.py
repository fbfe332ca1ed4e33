"""`<Rating>`."""

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls.base import unreadable
from backend.adapters.label_studio.controls.tags import ControlTag
from backend.domain.outside import bounded_number
from backend.domain.questions import Question, Rating
from backend.domain.questions.rating import MAX_STARS
from backend.domain.tasks import Answer

DEFAULT_MAX_RATING = 5
"""Label Studio's default for `<Rating maxRating>`."""
MAX_RATING = 100
"""Each value becomes a label, so there has to be an end; no screen shows more stars."""
MAX_DIGITS = 10
"""More of them are no number of stars, and int() takes long for thousands."""


class RatingControl:
    """See `Control`."""

    hides = False
    key = "rating"

    def why_unsupported(self, tag: ControlTag) -> str:
        """See `Control`."""
        usable = _max_rating(tag.element)
        return "" if usable else f"maxRating {tag.element.get('maxrating')!r} is not a number from 1"

    def question(self, tag: ControlTag) -> Question:
        """See `Control`."""
        stars = range(1, _max_rating(tag.element) + 1)
        return Rating(tag.name, tag.to_name, tuple(str(value) for value in stars))

    def labels(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Control`."""
        given = value[self.key]
        number = bounded_number(given, 0, MAX_STARS)
        return (unreadable(given) if number is None else f"{number:g}" if number % 1 else str(int(number)),)

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:  # noqa: ARG002 - stars need no question
        """See `Control`."""
        return {"rating": int(answer[0])}


def _max_rating(element: Element) -> int:
    """Number of stars; 0 when the attribute isn't a number."""
    text = element.get("maxrating") or str(DEFAULT_MAX_RATING)
    return min(int(text), MAX_RATING) if text.isdecimal() and len(text) < MAX_DIGITS else 0
