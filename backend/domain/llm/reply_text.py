"""Finding the answers in what a model wrote.

A reply is `{"answers": [{"id": "t1", "labels": ["Positive"], "confidence": 0.9}, ...]}`. Models put thoughts before it,
prose and fences around it, and tokens that end their turn behind it; they forget the list around a single answer, or
break off. What is left without the thoughts is searched for JSON, and whatever in it has the form of an answer is one:
whether they contradict each other is for the caller to see. Thoughts hold no answers, whatever is written in them.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from backend.domain.llm.json_text import Cursor, NotJson, Value

MAX_BROKEN, MAX_WASTED = 2_000, 4_000_000
"""Braces and brackets that begin no JSON, and characters behind them that are read in vain. A text with more of them is
not read: nobody knows what else is in it."""
MOST_BROKEN = 3 * MAX_BROKEN
"""The same with what turned out to be thought, which the prompt had begun."""

_NAMES = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|scratchpad)"
_OPENED = "|".join(
    [
        rf"<\s?(?:\w{{1,20}}:)?{_NAMES}(?:\s[^<>]{{0,200}})?(?<!/)>",
        r"\[(?:think(?:ing)?|thoughts?)\]",
        rf"◁{_NAMES}▷",
        rf"<\|(?:begin_of_|start_of_|begin_|start_)?{_NAMES}\|>",
        # The channels of gpt-oss and Gemma.
        r"<\|channel\|?>\s*(?:analysis|commentary|thought)",
    ]
)
_CLOSED = "|".join(
    [
        rf"<\s?/\s*(?:\w{{1,20}}:)?{_NAMES}\s*>",
        r"\[/(?:think(?:ing)?|thoughts?)\]",
        rf"◁/{_NAMES}▷",
        rf"<\|(?:end_of_|end_|/){_NAMES}\|>",
        r"<\|channel\|>\s*final[^<]{0,100}(?:<\|constrain\|>[^<]{0,100})?<\|message\|>",
        r"<channel\|>",
        # What is left of gpt-oss's channels when a server drops special tokens.
        r"assistantfinal",
    ]
)
_PLACE = re.compile(rf"(?P<opened>{_OPENED})|(?P<closed>{_CLOSED})|[\[{{]", re.IGNORECASE)
_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb"
_TOKENS = ("<|", "◁")
"""How marks begin that nobody writes in a sentence."""
_BEFORE_THOUGHTS = "\n\r>]}"
"""What thoughts follow: nothing on their line, or a tag, a token or JSON."""
_TURN_END = re.compile(r"(?:\s*(?:<[|\uff5c]?/?[\w▁:]{1,30}[|\uff5c]?>|\[/\w{1,20}\]))+\s*$")
_BESIDE = " \t\r\n`~"
"""What may follow JSON of a text that was cut off: nothing but the end of its fence."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something in the form of an answer: an object with labels. start: its place in the text; None = unknown."""

    answer: Mapping[str, object]
    start: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """items: all that have the form of an answer. cut: the text ends before its JSON, or its thoughts, do. has_json:
    there is any JSON."""

    items: tuple[Item, ...] = ()
    cut: bool = False
    has_json: bool = False


def find_answers(text: str, ids: Collection[str], *, cut: bool) -> Found:
    """Look for answers to the tasks with these ids. `cut`: the endpoint says that the text was cut off."""
    whole = _whole(text)
    if whole is not None:
        return Found(tuple(_items(text, whole, ids)), cut, has_json=True)
    said = _said(text)
    documents = said.documents
    if cut and not said.is_broken_off and not ends_in_json(text[said.start :]):
        # It went on to write: what it had found by then was not its last word.
        documents = []
    items = tuple(item for document in documents for item in _items(text, document, ids))
    is_cut = cut or said.is_thinking or said.is_broken_off
    return Found(() if said.is_thinking else items, is_cut, bool(documents))


def ends_in_json(text: str) -> bool:
    """Whether the last that a text says is JSON, but for the end of a fence and tokens that end a turn."""
    return _TURN_END.sub("", text[-200:]).rstrip(_BESIDE).endswith(("}", "]"))


def labels_of(answer: Mapping[str, object]) -> object:
    """What stands under `labels`, or `label`; None also where both are there and differ."""
    said = [value for key, value in answer.items() if _is_labels(key)]
    return said[0] if said and all(value == said[0] for value in said) else None


def unpacked(value: object) -> object:
    """An object or a list that was given as a text of JSON; all else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[", '"')):
        return value
    inner = _whole(value)
    return value if inner is None else inner.value


def label_spans(text: str, start: int) -> list[tuple[int, int]]:
    """Where the labels of an answer, which begins at text[start:], stand, without their quotes; of an empty list, the
    list itself."""
    cursor = Cursor(text, start)
    for key in cursor.keys():  # noqa: SIM118 - steps through the text; no dict
        if not _is_labels(key):
            cursor.value()
        elif cursor.peek() == "[":
            opened = cursor.at
            spans = [(label.start + 1, label.end - 1) for label in cursor.elements()]
            return spans or [(opened, cursor.at)]
        else:
            label = cursor.value()
            return [(label.start + 1, label.end - 1)] if isinstance(label.value, str) else [(label.start, label.end)]
    return []


def _is_labels(key: str) -> bool:
    return key.casefold() in {"labels", "label"}


def _has_labels(value: object) -> bool:
    return isinstance(value, dict) and any(map(_is_labels, value))


def _answers_in(value: object) -> object:
    """What stands under `answers` of an object; None = nothing does."""
    return (
        next((item for key, item in value.items() if key.casefold() == "answers"), None)
        if isinstance(value, dict)
        else None
    )


def _whole(text: str) -> Value | None:
    """The one JSON value that a text is; None when it is something else, or more."""
    cursor = Cursor(text)
    try:
        value = cursor.value()
        cursor.end()
    except NotJson:
        return None
    return value


@dataclass(frozen=True, slots=True)
class _Said:
    """What a text says beside thoughts.

    documents: all JSON objects and arrays, also those inside of one that is broken. start: where the last thoughts end.
    is_thinking: thoughts never end. is_broken_off: JSON is broken off by the text's end.
    """

    documents: list[Value]
    start: int
    is_thinking: bool
    is_broken_off: bool


def _said(text: str) -> _Said:
    """Read a text from mark to mark of thoughts, and the JSON between them, in which a mark is text like any other.

    Where the end of a thought stands alone, the prompt had begun it, and all before it is thought.
    """
    found: list[Value] = []
    opened: re.Match[str] | None = None
    at = start = n_before = broken = n_broken = wasted = 0
    is_broken_off = is_thinking = False
    while (place := _PLACE.search(text, at)) is not None:
        at = place.end()
        if not (place["opened"] or place["closed"]):
            if is_thinking or broken > MAX_BROKEN or n_broken > MOST_BROKEN or wasted > MAX_WASTED:
                continue
            cursor = Cursor(text, place.start())
            try:
                found.append(cursor.value())
                at = cursor.at
            except NotJson as error:
                broken, n_broken = broken + 1, n_broken + 1
                wasted += cursor.at - place.start()
                is_broken_off |= error.cut
        elif is_broken_off or _is_quoted(text, place):
            # In a string that never ends, a mark is text, too.
            continue
        elif place["opened"]:
            if opened is None:
                opened, n_before, is_thinking = place, len(found), not _is_in_a_sentence(text, place)
        elif opened is None:
            found, start, broken = [], at, 0
        else:
            del found[n_before:]
            opened, start, is_thinking = None, at, False
    readable = broken <= MAX_BROKEN and n_broken <= MOST_BROKEN and wasted <= MAX_WASTED
    return _Said(found if readable else [], start, is_thinking, is_broken_off)


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    """Whether a mark stands alone between quotation marks."""
    before, behind = text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1]
    return bool(before and behind) and before in _QUOTES and behind in _QUOTES


def _is_in_a_sentence(text: str, mark: re.Match[str]) -> bool:
    """Whether words stand before a mark on its line: then it speaks of it, as in "a [thought] provoking film"."""
    before = text[max(0, mark.start() - 200) : mark.start()].rstrip(" \t")
    return not mark[0].startswith(_TOKENS) and bool(before) and before[-1] not in _BEFORE_THOUGHTS


def _items(body: str, document: Value, ids: Collection[str]) -> Iterator[Item]:
    """The answers of one JSON value: a list of them under `answers`, a list alone, one alone, or an object by id."""
    value = unpacked(document.value)
    if isinstance(value, dict) and len(value) == 1 and _answers_in(value) is None:
        only = unpacked(next(iter(value.values())))
        value = only if _answers_in(only) is not None else value
    answers = unpacked(_answers_in(value))
    content = value if answers is None else answers
    if isinstance(content, list):
        elements = _elements(body, document) if value is document.value else []
        for element in elements or [Value(item, -1, -1) for item in content]:
            if _has_labels(element.value):
                yield _item(element.value, element.start)
            elif answers is None and _answers_in(element.value) is not None:
                yield from _items(body, element, ids)
    elif _has_labels(content):
        yield _item(content, document.start if content is document.value else -1)
    elif isinstance(content, dict) and content and set(content) <= set(ids):
        for task_id, said in content.items():
            yield _item({"id": task_id} | (said if _has_labels(said) else {"labels": said}), -1)


def _item(answer: object, start: int) -> Item:
    assert isinstance(answer, dict)  # noqa: S101 - has labels
    return Item(answer, start if start >= 0 else None)


def _elements(body: str, document: Value) -> list[Value]:
    """The elements of a list of answers with their places; [] where they aren't known."""
    if document.start < 0:
        return []
    cursor = Cursor(body, document.start)
    if cursor.peek() == "[":
        return list(cursor.elements())
    for key in cursor.keys():  # noqa: SIM118 - as above
        if key.casefold() == "answers" and cursor.peek() == "[":
            return list(cursor.elements())
        cursor.value()
    return []
