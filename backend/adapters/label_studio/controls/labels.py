"""`<Labels>` on `<Text>`. Its offsets are code points, in and out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls.base import unreadable
from backend.adapters.label_studio.controls.tags import FROM_DATA, MAX_EXCLUSIVE, ControlTag, is_tag
from backend.domain.outside import bounded_whole, storable
from backend.domain.questions import Question, Spans
from backend.domain.questions.marks import MAX_PLACE, MAX_TEXT, Mark, mark_in, written
from backend.domain.tasks import Answer

MAX_LABEL_CHARS = 20_000
PATH = re.compile(r"\$([^\W\d]\w*(?:\.\w+|\[\d+\])*)")
"""A value that is a field of task data, or one within it."""
MAX_DIGITS = 9


class LabelsControl:
    """See `Control`."""

    hides = False
    key = "labels"

    def why_unsupported(self, tag: ControlTag) -> str:
        """See `Control`."""
        if reason := _why_unreadable(tag):
            return reason
        element, names = tag.element, [_name(label) for label in _labels(tag.element)]
        if any("visiblewhen" in outer.attrib for outer in (*tag.around, element)):
            return "spans that are asked for only sometimes (visibleWhen) can't be suggested yet"
        if element.get("value") or element.get("apiurl") or any(map(FROM_DATA.search, names)):
            return "labels that come from the task's data can't be suggested yet"
        if not names:
            return "it has no labels"
        if len(set(names)) < len(names):
            return "several of its labels have the same name, so a span could mean any of them"
        return f"it has more than {MAX_EXCLUSIVE:,} labels" if len(names) > MAX_EXCLUSIVE else ""

    def question(self, tag: ControlTag) -> Question:
        """See `Control`."""
        found = list(_labels(tag.element))
        of_all = tag.element.get("maxusages") or ""
        most = tuple(_most(label.get("maxusages") or of_all) for label in found)
        shown = _object(tag)
        path = PATH.fullmatch("" if shown is None else shown.get("value", ""))
        return Spans(
            tag.name,
            tag.to_name,
            tuple(map(_name, found)),
            field=path[1] if path else "",
            most=most if any(most) else (),
        )

    def labels(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Control`: a region with several labels is one span for each."""
        start, end = (_place(value.get(name)) for name in ("start", "end"))
        given, text = value[self.key], value.get("text")
        names = given if isinstance(given, list) and all(isinstance(name, str) for name in given) else None
        if start is None or end is None or names is None:
            return (unreadable({name: value.get(name) for name in ("start", "end", self.key)}),)
        said = storable(text, MAX_TEXT) if isinstance(text, str) and len(text) <= MAX_TEXT else ""
        return tuple(written(Mark(start, end, storable(name, MAX_LABEL_CHARS), said)) for name in names)

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:  # noqa: ARG002 - a span needs no question
        """See `Control`: of one region."""
        mark = mark_in(answer[0])
        if mark is None:
            raise ValueError(f"no span: {answer[0]!r}")
        return {"start": mark.start, "end": mark.end, "text": mark.text, "labels": [mark.label]}


def _place(value: object) -> int | None:
    """A place in a text; the API takes numbers as text, too."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= MAX_DIGITS:
        return int(value)
    return bounded_whole(value, 0, MAX_PLACE)


def _why_unreadable(tag: ControlTag) -> str:
    """Why the text that is marked can't be read; "" when it can."""
    shown = _object(tag)
    if shown is None:
        return f"there is no object {tag.to_name!r} that it could mark"
    if not is_tag(shown, "text"):
        return f"spans in <{shown.tag}> can't be suggested yet; in <Text> they can"
    if shown.get("valuetype", "text").lower() != "text" or shown.get("encoding", "none").lower() != "none":
        return "a text that comes from a URL, or encoded, can't be marked yet"
    if not PATH.fullmatch(shown.get("value", "")):
        return 'its <Text> must show one field of the task\'s data, as in value="$text"'
    return ""


def _object(tag: ControlTag) -> Element | None:
    if not tag.around or "," in tag.element.get("toname", ""):
        return None
    return next((item for item in tag.around[0].iter() if item.get("name") == tag.to_name), None)


def _labels(element: Element) -> Iterator[Element]:
    return (item for item in element.iter() if is_tag(item, "label") and _name(item))


def _name(label: Element) -> str:
    return label.get("alias") or label.get("value") or ""


def _most(text: str) -> int:
    """How often a label may be used; 0 = as often as one likes."""
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else 0
