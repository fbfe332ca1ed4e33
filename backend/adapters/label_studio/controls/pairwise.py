"""`<Pairwise>`."""

from collections.abc import Iterator, Mapping
from typing import Any

from backend.adapters.label_studio.controls.base import unreadable
from backend.adapters.label_studio.controls.tags import ControlTag, field_of
from backend.domain.outside import storable
from backend.domain.questions import Pairwise, Question
from backend.domain.tasks import Answer

SIDES = ("left", "right")


class PairwiseControl:
    """See `Control`."""

    hides = False
    key = "selected"

    def why_unsupported(self, tag: ControlTag) -> str:
        """See `Control`."""
        return "" if len(_objects(tag)) == len(SIDES) else 'toName must name two objects, as in toName="one,two"'

    def question(self, tag: ControlTag) -> Question:
        """See `Control`."""
        fields = tuple(_fields(tag))
        return Pairwise(tag.name, tag.to_name, SIDES, fields=fields if len(set(fields)) == len(SIDES) else ())

    def labels(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Control`."""
        given = value[self.key]
        return (storable(given, len("right") + 1) if given in SIDES else unreadable(given),)

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:  # noqa: ARG002 - a side needs no question
        """See `Control`."""
        return {"selected": answer[0]}


def _objects(tag: ControlTag) -> list[str]:
    return [name.strip() for name in tag.element.get("toname", "").split(",") if name.strip()]


def _fields(tag: ControlTag) -> Iterator[str]:
    """The fields that the two objects show, the left one first."""
    shown = {element.get("name"): element for element in tag.around[0].iter()} if tag.around else {}
    for name in _objects(tag):
        if name in shown and (field := field_of(shown[name])):
            yield field
