"""`<Taxonomy>`."""

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls.base import listed_labels
from backend.adapters.label_studio.controls.tags import ControlTag, has_more, nodes, says, why_unsuitable
from backend.domain.nesting import Path, joined
from backend.domain.questions import Question, Taxonomy
from backend.domain.tasks import Answer


class TaxonomyControl:
    """See `Control`."""

    hides = True
    key = "taxonomy"

    def why_unsupported(self, tag: ControlTag) -> str:
        """See `Control`."""
        if says(tag.element, "labeling"):
            return "a taxonomy that labels regions can't be suggested yet"
        return why_unsuitable(tag.element, _paths(tag.element), multiple=_is_multiple(tag.element))

    def question(self, tag: ControlTag) -> Question:
        """See `Control`."""
        paths = tuple(_paths(tag.element))
        labels = tuple(joined(path) for path in paths)
        return Taxonomy(tag.name, tag.to_name, labels, _is_multiple(tag.element), paths)

    def labels(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Control`."""
        return listed_labels(value[self.key])

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:
        """See `Control`."""
        return {"taxonomy": [list(question.paths[place]) for place in question.places(answer)]}


def _is_multiple(element: Element) -> bool:
    return element.get("maxusages") != "1"


def _paths(element: Element) -> list[Path]:
    """What can be chosen, in the order of the config, each with the choices above it; each path once."""
    leafs_only = says(element, "leafsonly")
    return list(dict.fromkeys(path for path, choice in nodes(element) if not (leafs_only and has_more(choice))))
