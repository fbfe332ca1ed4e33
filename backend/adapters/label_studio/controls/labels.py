"""`<Labels>` on `<Text>`, whose offsets are code points, in and out; `<ParagraphLabels>` on `<Paragraphs>`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from backend.adapters.label_studio.controls.base import unreadable
from backend.adapters.label_studio.controls.tags import FROM_DATA, MAX_EXCLUSIVE, ControlTag, is_tag
from backend.domain.outside import bounded_whole, storable
from backend.domain.questions import Paragraphs, Question, Spans
from backend.domain.questions.marks import MAX_TEXT, UTTERANCE, Mark, mark_in, written
from backend.domain.tasks import Answer

MAX_LABEL_CHARS = 20_000
PATH = re.compile(r"\$([^\W\d]\w*(?:\.\w+|\[\d+\])*)")
"""A value that is a field of task data, or one within it."""
MAX_DIGITS = 9
MAX_OFFSET = 10**9
"""Of a character in a text; Label Studio takes no task of so many."""


class LabelsControl:
    """See `Control`. shown: the tag that it marks. data_types: values of its `valueType` that mean task data."""

    hides = False
    key = "labels"
    shown = "text"
    data_types: Sequence[str] = ("text",)

    def why_unsupported(self, tag: ControlTag) -> str:
        """See `Control`."""
        if reason := self._why_unreadable(tag):
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
        return Spans(tag.name, tag.to_name, _names(tag), field=_field(tag), most=_uses(tag))

    def labels(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Control`: a region with several labels is one span for each."""
        places, given, text = self._places(value), value[self.key], value.get("text")
        names = given if isinstance(given, list) and all(isinstance(name, str) for name in given) else None
        if places is None or names is None:
            told = ("start", "end", "startOffset", "endOffset", self.key)
            return (unreadable({name: value[name] for name in told if name in value}),)
        said = storable(text, MAX_TEXT) if isinstance(text, str) and len(text) <= MAX_TEXT else ""
        return tuple(written(Mark(*places, storable(name, MAX_LABEL_CHARS), said)) for name in names)

    def value(self, question: Question, answer: Answer) -> dict[str, Any]:  # noqa: ARG002 - a span needs no question
        """See `Control`: of one region."""
        mark = mark_in(answer[0])
        if mark is None:
            raise ValueError(f"no span: {answer[0]!r}")
        return self._geometry(mark) | {"text": mark.text, self.key: [mark.label]}

    def _places(self, value: Mapping[str, Any]) -> tuple[int, int] | None:
        start, end = (_place(value.get(name)) for name in ("start", "end"))
        return None if start is None or end is None else (start, end)

    def _geometry(self, mark: Mark) -> dict[str, Any]:
        return {"start": mark.start, "end": mark.end}

    def _why_unreadable(self, tag: ControlTag) -> str:
        """Why the text that is marked can't be read; "" when it can."""
        shown = _object(tag)
        if shown is None:
            return f"there is no object {tag.to_name!r} that it could mark"
        if not is_tag(shown, self.shown):
            return f"spans in <{shown.tag}> can't be suggested yet; in <Text> and <Paragraphs> they can"
        kind = shown.get("valuetype", self.data_types[0]).lower()
        if kind not in self.data_types or shown.get("encoding", "none").lower() != "none":
            return "a text that comes from a URL, or encoded, can't be marked yet"
        if not PATH.fullmatch(shown.get("value", "")):
            return f'its <{shown.tag}> must show one field of the task\'s data, as in value="$text"'
        return ""


class ParagraphLabelsControl(LabelsControl):
    """`<ParagraphLabels>` on `<Paragraphs>`: places are the number of an utterance, as text, and UTF-16 units in it."""

    key = "paragraphlabels"
    shown = "paragraphs"
    data_types = ("json",)

    def question(self, tag: ControlTag) -> Question:
        """See `Control`."""
        shown = _object(tag)
        key = "text" if shown is None else shown.get("textkey") or "text"
        return Paragraphs(tag.name, tag.to_name, _names(tag), field=_field(tag), most=_uses(tag), text_key=key)

    def _places(self, value: Mapping[str, Any]) -> tuple[int, int] | None:
        numbers = [_place(value.get(name)) for name in ("start", "end", "startOffset", "endOffset")]
        known = [number for number in numbers if number is not None]
        if len(known) < len(numbers) or max(known[2:]) >= UTTERANCE:
            return None
        return known[0] * UTTERANCE + known[2], known[1] * UTTERANCE + known[3]

    def _geometry(self, mark: Mark) -> dict[str, Any]:
        (start, start_offset), (end, end_offset) = divmod(mark.start, UTTERANCE), divmod(mark.end, UTTERANCE)
        return {"start": str(start), "end": str(end), "startOffset": start_offset, "endOffset": end_offset}


def _place(value: object) -> int | None:
    """A place in a text; the API takes numbers as text, too."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= MAX_DIGITS:
        return int(value)
    return bounded_whole(value, 0, MAX_OFFSET)


def _object(tag: ControlTag) -> Element | None:
    if not tag.around or "," in tag.element.get("toname", ""):
        return None
    return next((item for item in tag.around[0].iter() if item.get("name") == tag.to_name), None)


def _field(tag: ControlTag) -> str:
    shown = _object(tag)
    path = PATH.fullmatch("" if shown is None else shown.get("value", ""))
    return path[1] if path else ""


def _names(tag: ControlTag) -> tuple[str, ...]:
    return tuple(map(_name, _labels(tag.element)))


def _uses(tag: ControlTag) -> tuple[int, ...]:
    """How often each label may be used; () = all of them as often as one likes."""
    of_all = tag.element.get("maxusages") or ""
    most = tuple(_most(label.get("maxusages") or of_all) for label in _labels(tag.element))
    return most if any(most) else ()


def _labels(element: Element) -> Iterator[Element]:
    return (item for item in element.iter() if is_tag(item, "label") and _name(item))


def _name(label: Element) -> str:
    return label.get("alias") or label.get("value") or ""


def _most(text: str) -> int:
    """How often a label may be used; 0 = as often as one likes."""
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else 0
