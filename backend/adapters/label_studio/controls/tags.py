"""Tags of a label config, as Label Studio's editor reads them: in any case, and grouped by other tags."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from xml.etree.ElementTree import Element

from backend.domain.nesting import Path, joined

FIELD = re.compile(r"\$([^\W\d]\w*)")
"""A field of task data in an attribute of a label config; of `$a.b` and `$a[0]`, the field is a."""
FROM_DATA = re.compile(r"\$[A-Za-z0-9_\[\].{}]")
"""What Label Studio replaces in a choice's value by data of the task, "$5" too."""
MAX_LABEL_CHARS = 20_000_000
"""Of all labels of a control together. A taxonomy's are whole paths: a long name counts once for each path it is in."""
MAX_EXCLUSIVE = 32_767
"""Labels of a control that takes one answer: a vote is a 16-bit number."""


@dataclass(frozen=True, slots=True)
class ControlTag:
    """A control tag with what stands around it, the outermost tag first. Names of attributes are in lower case."""

    name: str
    to_name: str
    element: Element
    around: tuple[Element, ...]


def field_of(element: Element) -> str:
    """The field of task data that an object tag shows; "" if it shows none, or several."""
    found = FIELD.findall(element.get("value", ""))
    return str(found[0]) if len(found) == 1 else ""


def is_tag(element: Element, *tags: str) -> bool:
    """Whether an element is one of these, given in lower case."""
    return element.tag.lower() in tags


def says(element: Element, attribute: str) -> bool:
    """Whether an attribute is "true"."""
    return element.get(attribute, "").lower() == "true"


def nodes(element: Element) -> list[tuple[Path, Element]]:
    """All choices of a control with their paths, top to bottom; one without a name, and those within it, are left out.

    Those of Choices may lie in other tags, which group them on the screen; those of a taxonomy can't.
    """
    return list(_nodes(element, (), grouped=is_tag(element, "choices")))


def _nodes(element: Element, above: Path, *, grouped: bool) -> Iterator[tuple[Path, Element]]:
    for child in element:
        if is_tag(child, "choice"):
            name = child.get("alias") or shown_as(child)
            if name:
                yield (*above, name), child
                yield from _nodes(child, (*above, name), grouped=False)
        elif grouped:
            yield from _nodes(child, above, grouped=True)


def has_more(choice: Element) -> bool:
    """Whether a choice has others below it."""
    return any(is_tag(child, "choice") for child in choice)


def shown_as(choice: Element) -> str:
    """What annotators read of a choice: what stands in the tag comes before its value."""
    text = "" if len(choice) else escape((choice.text or "").strip(), quote=False)
    return text or choice.get("value") or ""


def meanings(element: Element) -> dict[str, str]:
    """What annotators read of each label besides its name: what it is shown as, where it has an alias, and its hint."""
    found: dict[str, str] = {}
    for path, choice in nodes(element):
        said = [part for part in (shown_as(choice) if choice.get("alias") else "", choice.get("hint")) if part]
        if said:
            found[joined(path)] = ": ".join(said)
    return found


def why_unsuitable(element: Element, paths: list[Path], *, multiple: bool) -> str:
    """Why the labels that a control lists can't be suggested; "" when they can."""
    if element.get("value", "").startswith("$"):
        return "labels that come from the task's data can't be suggested yet"
    if element.get("apiurl"):
        return "labels that come from a URL can't be suggested yet"
    if not paths:
        return "it has no labels"
    if sum(len(part) for path in paths for part in path) > MAX_LABEL_CHARS:
        return f"its labels have more than {MAX_LABEL_CHARS:,} characters together"
    if len({joined(path) for path in paths}) < len(paths):
        return "several of its labels have the same name, so an answer could mean any of them"
    if not multiple and len(paths) > MAX_EXCLUSIVE:
        return f"it has more than {MAX_EXCLUSIVE:,} labels, and a person can choose only one of them"
    return ""
