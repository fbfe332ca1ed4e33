"""Labeled data from files: CSV, JSON lines, and Label Studio's JSON export; recorded answers of LLMs."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.adapters.label_config import parse_label_config
from backend.adapters.label_studio_json import parse_task
from backend.domain.questions import Kind, Question
from backend.domain.tasks import Answer
from backend.errors import BadRequest

MAX_CELL = 10_000_000
"""Characters of one cell; Python's own limit is too small for long documents."""
ID = "id"


@dataclass(frozen=True, slots=True)
class LabeledData:
    """Tasks with the answers that people gave: question name -> labels, for each annotator.

    ids: what names a task in other files; empty where nothing does.
    """

    questions: tuple[Question, ...]
    data: list[dict[str, object]]
    answers: Sequence[Sequence[Mapping[str, Answer]]]
    ids: list[str]


def read_labeled(path: Path, label: str, config: Path | None) -> LabeledData:
    """Read tasks with their labels; those without any are left out.

    Args:
        path: .csv or .tsv with a heading, .jsonl, or .json: a list of objects, or Label Studio's export of a project.
        label: column or field of the label; in JSON a list is a set of labels. Not used with an export.
        config: label config (XML) with the questions; without one they are made of the labels that occur.

    Raises:
        BadRequest: the file can't be used; the message says why.
    """
    rows = _rows(path)
    questions = parse_label_config(_text(config)).questions if config is not None else ()
    if config is not None and not questions:
        raise BadRequest(f"{config} has no question that can be answered (Choices, Rating or Taxonomy).")
    found = _of_export(rows, path) if any("annotations" in row for row in rows) else _of_rows(rows, path, label)
    if config is None:
        return LabeledData(_questions(found.answers), found.data, found.answers, found.ids)
    names = {question.name for question in questions}
    if label in {name for task in found.answers for given in task for name in given} - names and len(questions) == 1:
        # A table has one label; with one question it is clear which one it answers.
        answers = [[{questions[0].name: given[label]} for given in task] for task in found.answers]
        return LabeledData(questions, found.data, answers, found.ids)
    return LabeledData(questions, found.data, found.answers, found.ids)


def read_llm_answers(path: Path, labeled: LabeledData, question: Question) -> dict[str, list[Answer]]:
    """Recorded answers: name of the LLM -> its labels for each task, in the order of the tasks; empty = none.

    Each column but `id` is an LLM. Rows belong to tasks by `id`, where both files have it, else by their order.

    Raises:
        BadRequest: the file can't be used; the message says why.
    """
    rows = _rows(path)
    if labeled.ids and all(ID in row for row in rows):
        by_id = {str(row[ID]): row for row in rows}
        rows = [by_id.get(name, {}) for name in labeled.ids]
        if not any(rows):
            raise BadRequest(f"{path}: none of its ids is that of a task.")
    elif len(rows) != len(labeled.data):
        raise BadRequest(
            f"{path} has {len(rows)} rows for {len(labeled.data)} labeled tasks: give both files a column `id`, or one "
            "row for each task in the same order."
        )
    names = list(dict.fromkeys(name for row in rows for name in row if name != ID))
    answers = {name: [_labels(row.get(name)) for row in rows] for name in names}
    for name, given in answers.items():
        if not any(set(answer) <= set(question.labels) for answer in given if answer):
            raise BadRequest(
                f"{path}: column {name!r} has none of the labels of {question.name!r} ({_listed(question.labels)})."
            )
    if not answers:
        raise BadRequest(f"{path} has no column with answers.")
    return answers


def _of_rows(rows: Sequence[Mapping[str, Any]], path: Path, label: str) -> LabeledData:
    """Tasks of a table."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if label not in columns:
        raise BadRequest(
            f"{path} has no column {label!r}: say with --label which has the labels. It has {_listed(columns)}."
        )
    labeled = [row for row in rows if _labels(row.get(label))]
    if not labeled:
        raise BadRequest(f"{path}: column {label!r} is empty, so there is nothing to compare with.")
    has_ids = ID in columns and len({str(row.get(ID)) for row in labeled}) == len(labeled)
    return LabeledData(
        questions=(),
        data=[{name: value for name, value in row.items() if name not in {label, ID}} for row in labeled],
        answers=[[{label: _labels(row[label])}] for row in labeled],
        ids=[str(row[ID]) for row in labeled] if has_ids else [],
    )


def _of_export(rows: Sequence[Mapping[str, Any]], path: Path) -> LabeledData:
    """Tasks of Label Studio's export."""
    data, answers, ids = [], [], []
    for place, row in enumerate(rows, start=1):
        try:
            item = parse_task(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadRequest(
                f"{path}: task {place} can't be read ({type(error).__name__}: {error}). Export the project as JSON."
            ) from error
        given = [entry.answers for entry in item.annotations if entry.teaches]
        if given:
            data.append(dict(item.task.data))
            answers.append(given)
            ids.append(str(item.task.id))
    if not data:
        raise BadRequest(f"{path}: no task has an annotation with labels, so there is nothing to compare with.")
    return LabeledData((), data, answers, ids)


def _questions(answers: Sequence[Sequence[Mapping[str, Answer]]]) -> tuple[Question, ...]:
    """A question for each name that is answered, its labels those that occur, sorted."""
    labels: dict[str, set[str]] = {}
    multiple: set[str] = set()
    for given in (given for task in answers for given in task):
        for name, chosen in given.items():
            labels.setdefault(name, set()).update(chosen)
            if len(chosen) > 1:
                multiple.add(name)
    return tuple(
        Question(name, "", Kind.CHOICES, tuple(sorted(found)), multiple=name in multiple)
        for name, found in labels.items()
    )


def _labels(value: object) -> Answer:
    """The labels in a cell: none where it is empty."""
    if value is None or value == "":
        return ()
    if isinstance(value, list):
        return tuple(dict.fromkeys(str(item) for item in value))
    return (str(value).strip(),) if str(value).strip() else ()


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, by its suffix.

    Raises:
        BadRequest: it isn't what its suffix says, or has no rows.
    """
    text = _text(path)
    match path.suffix.lower():
        case ".csv" | ".tsv" as suffix:
            rows = _table(text, path, "\t" if suffix == ".tsv" else ",")
        case ".jsonl" | ".ndjson":
            rows = [
                _json(line, f"{path}, line {n}") for n, line in enumerate(text.split("\n"), start=1) if line.strip()
            ]
        case ".json":
            rows = _json(text, str(path))
        case suffix:
            raise BadRequest(f"{path}: {suffix or 'no suffix'} can't be read. Give a .csv, .tsv, .jsonl or .json file.")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadRequest(f"{path} is not a list of objects.")
    if not rows:
        raise BadRequest(f"{path} has no rows.")
    return rows


def _table(text: str, path: Path, delimiter: str) -> list[dict[str, Any]]:
    csv.field_size_limit(MAX_CELL)
    try:
        rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise BadRequest(f"{path} is not a table: {error}.") from error
    for place, row in enumerate(rows, start=2):
        # The reader puts surplus cells under None, and None into missing ones.
        if None in row or None in row.values():
            raise BadRequest(f"{path}: row {place} has more or fewer cells than the heading.")
    for name in rows[0] if rows else ():
        _make_numbers(rows, name)
    return rows


def _make_numbers(rows: Sequence[dict[str, Any]], name: str) -> None:
    """Numbers in place of strings, if a column has nothing else, as rules and Label Studio's own import have them."""
    try:
        numbers = [json.loads(row[name]) if row[name].strip() else None for row in rows]
    except ValueError:
        return
    if all(isinstance(number, int | float | None) and not isinstance(number, bool) for number in numbers):
        for row, number in zip(rows, numbers, strict=True):
            row[name] = number


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadRequest(f"{where} is not JSON: {error}.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8.") from error
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}.") from error


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
