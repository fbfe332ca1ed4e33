"""`<Choices>`, flat or nested."""

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls.base import listed_labels
from backend.adapters.label_studio.controls.tags import (
    FROM_DATA,
    ControlTag,
    has_more,
    nodes,
    says,
    why_unsuitable,
)
from backend.domain.nesting import Path, choosable, joined
from backend.domain.questions import Choices, Question
from backend.domain.tasks import Answer


class ChoicesControl:
    """See `Control`."""

    hides = True
    key = "choices"

    def why_unsupported(self, tag: ControlTag) -> str:
        """See `Control`."""
        element = tag.element
        if any(FROM_DATA.search(path[-1]) for path, choice in nodes(element) if not choice.get("alias")):
            return "labels that come from the task's data can't be suggested yet"
        return why_unsuitable(element, _paths(element), multiple=_is_multiple(element))

    def question(self, tag: ControlTag) -> Question:
        """See `Control`."""
        paths = tuple(_paths(tag.element))
        labels, multiple = tuple(joined(path) for path in paths), _is_multiple(tag.element)
        return Choices(tag.name, tag.to_name, labels, multiple, paths if says(tag.element, "allownested") else ())

    def labels(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Control`."""
        return listed_labels(value[self.key])

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:
        """See `Control`."""
        if not (isinstance(question, Choices) and question.nesting):
            return {"choices": list(answer)}
        paths = question.nesting.saved(answer)
        # The form selects by paths. The bulk import knows names only and drops what has paths, in silence, unless it
        # finds a value of names below the control's own name, where the form doesn't look.
        names = {question.name: {"choices": [path[-1] for path in paths]}} if question.name != "choices" else {}
        return names | {"choices": [list(path) for path in paths]}


def _is_multiple(element: Element) -> bool:
    return element.get("choice", "single") == "multiple"


def _paths(element: Element) -> list[Path]:
    """What can be chosen, in the order of the config, each with the choices above it; those within others are shown
    only with `allowNested`."""
    found = nodes(element)
    if not says(element, "allownested"):
        return [path for path, _ in found if len(path) == 1]
    if len({joined(path) for path, _ in found}) < len(found):
        # Two that read alike: let the caller see it.
        return [path for path, _ in found]
    return choosable([path for path, choice in found if not has_more(choice)], multiple=_is_multiple(element))
