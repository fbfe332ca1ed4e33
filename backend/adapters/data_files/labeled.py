"""Labeled data from files: tables, JSON lines, and all of Label Studio's own exports; recorded answers of LLMs."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.adapters.data_files.rows import Rows, make_numbers, read_rows, read_text
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.exports import (
    ABOUT_ANNOTATION,
    ID,
    answer_in,
    differing_columns,
    has_answer_shape,
    is_annotated,
    is_label_studio_table,
    is_of_regions,
    task_data,
)
from backend.adapters.label_studio.json import parse_task
from backend.domain.label_config import LabelConfig
from backend.domain.outside import one_line
from backend.domain.questions import Choices, Question
from backend.domain.tasks import Answer
from backend.errors import BadRequest

TRUTHS = {"true", "false"}


@dataclass(frozen=True, slots=True)
class LabeledData:
    """Tasks with the answers that people gave: question name -> labels, for each annotator.

    ids: what names a task in other files; empty where nothing does. notes: sentences about what was left out, or read
    otherwise than it stands.
    """

    questions: tuple[Question, ...]
    data: list[dict[str, object]]
    answers: Sequence[Sequence[Mapping[str, Answer]]]
    ids: list[str]
    notes: tuple[str, ...] = ()


def read_labeled(path: Path, label: str, config: Path | None) -> LabeledData:
    """Read tasks with their labels; those without any are left out, and counted in the notes.

    Args:
        path: .csv or .tsv with a heading, .jsonl, or .json: a list of objects, or an export of Label Studio (JSON,
            JSON_MIN, CSV, TSV).
        label: column or field of the label; a list is a set of labels. Not used with a JSON export, nor where the label
            config names columns.
        config: label config (XML) with the questions; without one they are made of the labels that occur.

    Raises:
        BadRequest: the file can't be used; the message says why.
    """
    found = read_rows(path)
    known = _config(config)
    is_json_export = any("annotations" in row or "completions" in row for row in found.rows)
    read = _of_json_export(found, path) if is_json_export else _of_rows(found, path, label, known)
    if known is None:
        questions = _questions(read.answers)
        answers, notes = read.answers, read.notes
    else:
        questions = known.questions
        answers, unknown = _fitted(read.answers, questions)
        notes = (*read.notes, *unknown)
    kept = [place for place, given in enumerate(answers) if given]
    if not kept:
        raise BadRequest(" ".join((f"{path}: no answer is one of the label config's.", *notes)))
    return LabeledData(
        questions,
        [read.data[place] for place in kept],
        [answers[place] for place in kept],
        [read.ids[place] for place in kept] if read.ids else [],
        notes,
    )


def read_llm_answers(path: Path, labeled: LabeledData, question: Question) -> dict[str, list[Answer]]:
    """Recorded answers: name of the LLM -> its labels for each task, in the order of the tasks; empty = none.

    Each column but `id` is an LLM. Rows belong to tasks by `id`, where both files have it, else by their order.

    Raises:
        BadRequest: the file can't be used; the message says why.
    """
    found = read_rows(path)
    rows: Sequence[Mapping[str, object]] = found.rows
    if labeled.ids and all(ID in row for row in rows):
        by_id = {str(row[ID]): row for row in rows}
        if len(by_id) < len(rows):
            raise BadRequest(f"{path}: {len(rows) - len(by_id)} rows have the id of another one. Give each id once.")
        rows = [by_id.get(name, {}) for name in labeled.ids]
        if not any(rows):
            raise BadRequest(f"{path}: none of its ids is that of a task.")
    elif len(rows) != len(labeled.data):
        raise BadRequest(
            f"{path} has {len(rows)} rows for {len(labeled.data)} labeled tasks: give both files a column `id`, or one "
            "row for each task in the same order."
        )
    names = [name for name in found.columns if name != ID]
    if not names:
        raise BadRequest(f"{path} has no column with answers.")
    answers, spellings = {}, _spellings(question)
    for name in names:
        answers[name] = [_spelled(answer_in(row.get(name)) or (), spellings) for row in rows]
        if not any(set(answer) <= set(question.labels) for answer in answers[name] if answer):
            raise BadRequest(
                f"{path}: column {name!r} has none of the labels of {question.name!r} ({_listed(question.labels)})."
            )
    return answers


def _config(path: Path | None) -> LabelConfig | None:
    if path is None:
        return None
    found = parse_label_config(read_text(path))
    if not found.questions:
        raise BadRequest(f"{path} has no question that can be answered (Choices, Rating or Taxonomy).")
    return found


@dataclass(frozen=True, slots=True)
class _Columns:
    """What the columns of a table are. answers: column -> question; left_out: answers to other questions."""

    answers: Mapping[str, str]
    left_out: Collection[str]
    is_export: bool


def _of_rows(found: Rows, path: Path, label: str, config: LabelConfig | None) -> LabeledData:
    """Tasks of a table or a list of objects: rows with the same id and the same data are one task."""
    columns = _columns_of(found, path, label, config)
    no_data = {*columns.answers, *columns.left_out}
    if found.is_table:
        make_numbers(found.rows, {*no_data, ID})
    places: dict[tuple[str, str], int] = {}
    data: list[dict[str, object]] = []
    answers: list[list[Mapping[str, Answer]]] = []
    ids: list[str] = []
    unreadable: dict[str, list[object]] = {}
    for number, row in enumerate(found.rows):
        if columns.is_export:
            fields = task_data(row, no_data, is_table=found.is_table)
        else:
            fields = {name: value for name, value in row.items() if name not in no_data and name != ID}
        name = "" if row.get(ID) is None else str(row[ID])
        task = (name, json.dumps(fields, sort_keys=True, default=str)) if name else (str(number), "")
        if task not in places:
            places[task] = len(data)
            data.append(fields)
            answers.append([])
            ids.append(name)
        given = {}
        for column, question in columns.answers.items() if is_annotated(row) or not columns.is_export else ():
            read = answer_in(row.get(column), is_export=columns.is_export)
            if read:
                given[question] = read
            elif read is None:
                unreadable.setdefault(column, []).append(row[column])
        if given:
            answers[places[task]].append(given)
    notes = [*found.notes, *_about_rows(found, data, answers, columns)]
    notes += [
        f"{len(cells)} cells of {one_line(column)!r} are no choice, rating or taxonomy of a whole task, for example "
        f"{one_line(str(cells[0]))}: left out."
        for column, cells in unreadable.items()
    ]
    if not any(answers):
        shown = " and ".join(repr(one_line(column)) for column in columns.answers)
        raise BadRequest(
            f"{path}: column {shown} is empty: it has no label, so there is nothing to compare with. {' '.join(notes)}"
        )
    has_ids = all(ids) and len(set(ids)) == len(ids)
    return LabeledData((), data, _in_whole_numbers(answers), ids if has_ids else [], tuple(notes))


def _columns_of(found: Rows, path: Path, label: str, config: LabelConfig | None) -> _Columns:
    """Which columns are answers to which questions.

    Raises:
        BadRequest: none is.
    """
    columns, is_export = found.columns, is_label_studio_table(found.columns)
    names = [question.name for question in config.questions] if config is not None else [label]
    answers = {name: name for name in names if name in columns}
    if not answers and label in columns and len(names) == 1:
        # A table has one label; with one question it is clear which one it answers.
        answers = {label: names[0]}
    shaped = [
        name for name in columns if any(has_answer_shape(row.get(name), is_export=is_export) for row in found.rows)
    ]
    if not answers:
        possible = [name for name in columns if name != ID and not (is_export and name in ABOUT_ANNOTATION)]
        what = "has no column " + " or ".join(repr(one_line(name)) for name in dict.fromkeys((*names, label)))
        how = "say with --label which has the labels"
        if is_export:
            how += ", give the label config (--config), or export the project as JSON"
        raise BadRequest(f"{path} {what}: {how}. It has {_listed(possible)}.")
    others = {*shaped, *(config.unsupported if config is not None else ())}
    if is_export and config is None:
        others |= differing_columns(found.rows)
    return _Columns(answers, [name for name in columns if name in others and name not in answers], is_export)


def _about_rows(
    found: Rows, data: Sequence[Mapping[str, object]], answers: Sequence[Sequence[object]], columns: _Columns
) -> list[str]:
    """Sentences about how a table was read."""
    notes = []
    if len(data) < len(found.rows):
        notes.append(f"{len(found.rows)} rows are {len(data)} tasks: rows with one id are several annotators' answers.")
    unlabeled = sum(not given for given in answers)
    if unlabeled:
        notes.append(f"{unlabeled} of {len(data)} tasks have no label: left out.")
    if columns.left_out:
        notes.append(f"Answers to other questions are no task data: {_listed(list(columns.left_out))}.")
    if columns.is_export:
        fields = list(dict.fromkeys(name for fields in data for name in fields))
        notes.append(f"This is an export of Label Studio; its task data are {_listed(fields)}.")
    return notes


def _of_json_export(found: Rows, path: Path) -> LabeledData:
    """Tasks of Label Studio's JSON export, of any age, or in the format of its import, which needs no ids."""
    data, answers, ids = [], [], []
    n_skipped = n_empty = n_marked = 0
    for place, row in enumerate(found.rows, start=1):
        try:
            item = parse_task(_todays_form(row, place))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = one_line(f"{type(error).__name__}: {error}")
            raise BadRequest(f"{path}: task {place} can't be read ({reason}). Export the project as JSON.") from error
        given = [
            {name: answer for name, answer in entry.answers.items() if not is_of_regions(answer)}
            for entry in item.labels
        ]
        n_marked += sum(len(entry.answers) for entry in item.labels) - sum(map(len, given))
        given = [said for said in given if said]
        n_skipped += sum(entry.skipped for entry in item.annotations)
        n_empty += sum(not entry.skipped and not entry.teaches for entry in item.annotations)
        data.append(dict(item.task.data))
        answers.append(given)
        ids.append("" if row.get(ID) is None else str(row[ID]))
    unlabeled = sum(not given for given in answers)
    notes = [*found.notes]
    if n_marked:
        notes.append(f"{n_marked} answers mark parts of a text: left out.")
    if unlabeled or n_skipped or n_empty:
        notes.append(
            f"{unlabeled} of {len(data)} tasks have no label: left out. {n_skipped} annotations were skipped, "
            f"{n_empty} have no choice, rating or taxonomy."
        )
    if unlabeled == len(data):
        raise BadRequest(
            f"{path}: no task has an annotation with labels, so there is nothing to compare with. {' '.join(notes)}"
        )
    has_ids = all(ids) and len(set(ids)) == len(ids)
    return LabeledData((), data, answers, ids if has_ids else [], tuple(notes))


def _todays_form(row: Mapping[str, Any], place: int) -> dict[str, Any]:
    """A task with ids that are numbers, its annotations where they are kept today.

    Raises:
        ValueError: it has no task data, or its annotations are none.
    """
    if not isinstance(row.get("data"), Mapping):
        raise ValueError("it has no object `data`")
    # Up to Label Studio 0.9 annotations were called completions.
    given = row.get("annotations") or row.get("completions") or []
    if not isinstance(given, list) or not all(isinstance(entry, Mapping) for entry in given):
        raise ValueError("its annotations are no list of objects")
    annotations = [
        {"id": n, "result": entry.get("result"), "was_cancelled": entry.get("was_cancelled") or entry.get("skipped")}
        for n, entry in enumerate(given)
    ]
    return {"id": place, "data": row["data"], "annotations": annotations}


def _fitted(
    answers: Sequence[Sequence[Mapping[str, Answer]]], questions: Sequence[Question]
) -> tuple[list[list[Mapping[str, Answer]]], list[str]]:
    """Answers to these questions in their own spelling, and sentences about those that fit none of them."""
    asked = {question.name: _spellings(question) for question in questions}
    known: dict[str, Collection[str]] = {question.name: set(question.labels) for question in questions}
    strange: Counter[str] = Counter()
    unknown: dict[str, Counter[str]] = {name: Counter() for name in asked}
    fitted: list[list[Mapping[str, Answer]]] = []
    for task in answers:
        kept: list[Mapping[str, Answer]] = []
        for given in task:
            strange.update(name for name in given if name not in asked)
            spelled = {name: _spelled(labels, asked[name]) for name, labels in given.items() if name in asked}
            for name, labels in spelled.items():
                unknown[name].update(label for label in labels if label not in known[name])
            if any(label in known[name] for name, labels in spelled.items() for label in labels):
                kept.append(spelled)
        fitted.append(kept)
    notes = [
        f"{n} answers to {one_line(name)!r} are left out: the label config doesn't ask it."
        for name, n in strange.items()
    ]
    notes += [
        f"{sum(counts.values())} answers to {name!r} are none of its labels, for example "
        f"{one_line(counts.most_common(1)[0][0])!r}: left out."
        for name, counts in unknown.items()
        if counts
    ]
    return fitted, notes


def _spellings(question: Question) -> dict[str, str]:
    """What a label may be written as -> the label: itself, and what `_plain` makes of it where that is no other's."""
    plain = Counter(map(_plain, question.labels))
    return {_plain(label): label for label in question.labels if plain[_plain(label)] == 1} | {
        label: label for label in question.labels
    }


def _spelled(answer: Answer, spellings: Mapping[str, str]) -> Answer:
    found = [spellings.get(label) or spellings.get(_plain(label)) or label for label in answer]
    return tuple(dict.fromkeys(found))


def _plain(label: str) -> str:
    """A label as most programs write it: pandas makes 1.0 of 1 where a column has gaps, and True of true."""
    text = label.strip()
    if text.casefold() in TRUTHS:
        return text.casefold()
    return text.partition(".")[0] if _is_whole(text) else text


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number, also written as 1.0."""
    whole, _, fraction = text.partition(".")
    return whole.removeprefix("-").isdecimal() and not fraction.strip("0")


def _in_whole_numbers(answers: Sequence[Sequence[Mapping[str, Answer]]]) -> list[list[Mapping[str, Answer]]]:
    """The same with 0 and 1 for 0.0 and 1.0, for questions of which all labels are whole numbers."""
    labels: dict[str, set[str]] = {}
    for given in (given for task in answers for given in task):
        for name, chosen in given.items():
            labels.setdefault(name, set()).update(chosen)
    whole = {name for name, found in labels.items() if all(map(_is_whole, found))}
    return [
        [
            {name: tuple(map(_plain, chosen)) if name in whole else chosen for name, chosen in given.items()}
            for given in task
        ]
        for task in answers
    ]


def _questions(answers: Sequence[Sequence[Mapping[str, Answer]]]) -> tuple[Question, ...]:
    """A question for each name that is answered, its labels those that occur, sorted."""
    labels: dict[str, set[str]] = {}
    multiple: set[str] = set()
    for given in (given for task in answers for given in task):
        for name, chosen in given.items():
            labels.setdefault(name, set()).update(chosen)
            if len(chosen) > 1:
                multiple.add(name)
    return tuple(Choices(name, "", tuple(sorted(found)), multiple=name in multiple) for name, found in labels.items())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(one_line(name)) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
