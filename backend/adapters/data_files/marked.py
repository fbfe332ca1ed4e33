"""Texts with spans from files: Label Studio's JSON export, columns as in CoNLL's shared tasks, and JSON lines."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from backend.adapters.data_files.rows import read_rows, read_text
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import parse_task
from backend.domain.marking.learn import Gold, gold_of
from backend.domain.outside import bounded_whole, one_line
from backend.domain.questions import Spans
from backend.domain.questions.marks import MAX_PLACE, mark_in
from backend.domain.simulation.records import MarkedData
from backend.domain.spans.text import Span
from backend.domain.tasks import MirroredTask, user_fields
from backend.domain.words import counted
from backend.errors import BadRequest

COLUMNS = frozenset({".conll", ".conll2003", ".bio", ".iob", ".iob2", ".txt"})
"""Suffixes of files with a token and its tag on each line."""
NAMES = ("spans", "entities", "label", "labels")
"""Fields of JSON lines that may have spans, besides the one that is asked for."""
TEXT = "text"
NER = "ner"
_TAG = re.compile(r"(?:([BIOESLU])[-_])?(.+)")
_NONE = frozenset({"O", "_", "-"})


def read_marked(path: Path, label: str, config: Path | None) -> MarkedData | None:
    """Read texts with spans; None where the file, or the label config, is about other questions.

    Args:
        path: .conll, .bio, .iob, .iob2 or .txt with a token and its tag on each line; .json or .jsonl.
        label: field of JSON lines with the spans.
        config: label config (XML) with the question; without one its labels are those that occur.

    Raises:
        BadRequest: the file can't be used; the message says why.
    """
    known = None
    if config is not None:
        parsed = parse_label_config(read_text(config))
        if parsed.questions or not parsed.spans:
            return None
        known = parsed.spans[0]
    if path.suffix.lower() in COLUMNS:
        return _of_columns(path, known)
    if path.suffix.lower() not in {".json", ".jsonl", ".ndjson"}:
        return None
    rows = read_rows(path).rows
    if any("annotations" in row or "completions" in row for row in rows):
        return _of_export(rows, known)
    field = next((name for name in (label, *NAMES) if any(_lists_spans(row.get(name)) for row in rows)), None)
    return None if field is None else _of_lines(rows, field, known, path)


def _of_columns(path: Path, known: Spans | None) -> MarkedData:
    """Each sentence is a text: its tokens with a space between each two."""
    data: list[dict[str, object]] = []
    spans: list[list[Span]] = []
    tokens: list[tuple[str, str]] = []
    for number, line in enumerate([*read_text(path).splitlines(), ""], start=1):
        cells = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or cells[0] == "-DOCSTART-":
            if tokens:
                text, found = _sentence(tokens)
                data.append({TEXT: text})
                spans.append(found)
            tokens = []
        elif len(cells) < 2:
            raise BadRequest(f'{path}, line {number}: a token needs a tag behind it, as in "Ann B-PER".')
        elif not (cells[0] == "#" and not tokens):
            tokens.append((cells[0].strip(), cells[-1].strip()))
    if not data:
        raise BadRequest(f"{path} has no token.")
    return _marked(data, spans, known, TEXT, [])


def _sentence(tokens: Sequence[tuple[str, str]]) -> tuple[str, list[Span]]:
    """Text and spans of tokens with tags: BIO, IOB1, IOBES, BILOU, or labels alone."""
    spans: list[Span] = []
    parts: list[str] = []
    at, before = 0, ("O", "")
    for word, tag in tokens:
        kind, label = ("O", "") if tag in _NONE else _parts(tag)
        goes_on = kind in "IEL" and label == before[1] and before[0] not in "OESLU" and bool(before[1])
        if label and goes_on:
            spans[-1] = spans[-1]._replace(end=at + len(word))
        elif label:
            spans.append(Span(at, at + len(word), label))
        parts.append(word)
        at += len(word) + 1
        before = (kind, label)
    return " ".join(parts), spans


def _parts(tag: str) -> tuple[str, str]:
    found = _TAG.fullmatch(tag)
    return ("I", tag) if found is None else (found[1] or "I", found[2])


def _lists_spans(value: object) -> bool:
    return isinstance(value, list) and any(_span(item) is not None for item in value)


def _span(item: object) -> Span | None:
    """A span as {"start", "end", "label"}, or [start, end, label], of which there are several spellings."""
    if isinstance(item, Mapping):
        start, end = (item.get(name, item.get(f"{name}_offset")) for name in ("start", "end"))
        label = next((item[name] for name in ("label", "type", "entity", "labels") if name in item), None)
        label = label[0] if isinstance(label, list) and len(label) == 1 else label
    elif isinstance(item, list) and len(item) == 3:
        start, end, label = item
    else:
        return None
    first, last = (bounded_whole(place, 0, MAX_PLACE) for place in (start, end))
    if first is None or last is None or not isinstance(label, str) or not label:
        return None
    return Span(first, last, label)


def _of_lines(rows: Sequence[Mapping[str, Any]], field: str, known: Spans | None, path: Path) -> MarkedData:
    text = known.field if known is not None else TEXT
    data: list[dict[str, object]] = []
    spans: list[list[Span]] = []
    n_unread = 0
    for row in rows:
        given = row.get(field)
        if not isinstance(given, list):
            # Nobody looked at it.
            continue
        read = [_span(item) for item in given]
        n_unread += read.count(None)
        data.append({name: value for name, value in row.items() if name not in {field, "id"}})
        spans.append([item for item in read if item is not None])
    if not any(isinstance(item.get(text), str) for item in data):
        raise BadRequest(f"{path}: no row has a text in a field {text!r} beside its {field!r}.")
    notes = [f"Left out of {field!r}, as no span (start, end, label): {counted(n_unread, 'item')}."] if n_unread else []
    return _marked(data, spans, known, text, notes)


def _of_export(rows: Sequence[Mapping[str, Any]], known: Spans | None) -> MarkedData | None:
    """Tasks of Label Studio's JSON export; None where people answered other questions."""
    items = list(map(parse_task, _numbered(rows)))
    question = known or _question(items)
    if question is None:
        return None
    gold = gold_of(question, items)
    every = [
        [label for entry in item.annotations if not entry.skipped for label in entry.answers.get(question.name, ())]
        for item in items
    ]
    lost = sum(len(question.lost(tuple(answer), item.task.data)) for answer, item in zip(every, items, strict=True))
    notes = [f"Left out, as not in the text or of another label: {counted(lost, 'span')}."] if lost else []
    n_open = sum(spans is None for spans in gold)
    notes += [f"Left out, as without an annotation: {counted(n_open, 'text')}."] if n_open else []
    kept = [row for row, spans in enumerate(gold) if spans is not None]
    data = [user_fields(items[row].task.data) for row in kept]
    return _marked(data, [list(gold[row] or ()) for row in kept], question, question.field, notes)


def _numbered(rows: Sequence[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Rows in which whatever has no id is numbered, as old exports and files of people's own are."""
    for number, row in enumerate(rows, start=1):
        entries = row.get("annotations", row.get("completions"))
        named = [
            {"id": place, **entry} for place, entry in enumerate(entries or (), start=1) if isinstance(entry, Mapping)
        ]
        yield {"id": number, **row, "annotations": named}


def _question(items: Sequence[MirroredTask]) -> Spans | None:
    """The question that people answered with spans, if they answered no other; its field the one whose texts fit."""
    given: dict[str, list[tuple[str, Mapping[str, object]]]] = {}
    for item in items:
        for entry in item.annotations:
            for name, answer in entry.answers.items():
                given.setdefault(name, []).extend((label, item.task.data) for label in answer)
    if len(given) != 1:
        return None
    ((name, labels),) = given.items()
    marks = [(mark, data) for label, data in labels if (mark := mark_in(label)) is not None]
    if not marks:
        return None
    fits: Counter[str] = Counter()
    for mark, data in marks:
        for field, text in data.items():
            if isinstance(text, str) and mark.text and text[mark.start : mark.end] == mark.text:
                fits[field] += 1
    field = fits.most_common(1)[0][0] if fits else TEXT
    return Spans(name, "", tuple(sorted({mark.label for mark, _ in marks})), field=field)


def _marked(
    data: list[dict[str, object]], spans: list[list[Span]], known: Spans | None, field: str, notes: list[str]
) -> MarkedData:
    """What was read, with notes about what is odd in it."""
    labels = tuple(sorted({span.label for found in spans for span in found}))
    question = known or Spans(NER, "", labels, field=field)
    gold: list[tuple[Span, ...] | None] = []
    outside = unknown = overlapping = 0
    for item, found in zip(data, spans, strict=True):
        text = question.text(item)
        placed = [span for span in dict.fromkeys(found) if span.start < span.end <= len(text)]
        outside += len(found) - len(placed)
        kept = sorted(span for span in placed if question.index(span.label) is not None)
        unknown += len(placed) - len(kept)
        overlapping += any(one.end > other.start for one, other in pairwise(kept))
        gold.append(tuple(kept) if text else None)
    notes += [f"Left out, as not in the text: {counted(outside, 'span')}."] if outside else []
    notes += (
        [f"{counted(unknown, 'span')} have a label that the label config doesn't have: left out."] if unknown else []
    )
    notes += [f"Spans overlap in {counted(overlapping, 'text')}."] if overlapping else []
    notes += _about_doubles([question.text(item) for item in data], gold)
    if not labels:
        raise BadRequest(f"No text has a span{': ' + one_line(' '.join(notes)) if notes else ''}.")
    return MarkedData(question, data, gold, tuple(notes))


def _about_doubles(texts: Sequence[str], gold: Gold) -> list[str]:
    """A sentence about texts that are there several times with other spans."""
    seen: dict[str, set[tuple[Span, ...]]] = {}
    for text, spans in zip(texts, gold, strict=True):
        if spans is not None:
            seen.setdefault(text, set()).add(spans)
    n = sum(len(answers) > 1 for answers in seen.values())
    return [f"There several times, with different spans: {counted(n, 'text')}."] if n else []
