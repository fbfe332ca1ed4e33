"""Label Studio's exports CSV, TSV and JSON_MIN: one row for each annotation, put back into tasks with annotations."""

import ast
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from backend.adapters.label_studio.json import parse_answers
from backend.domain.questions.marks import mark_in
from backend.domain.tasks import Answer

ID = "id"
ABOUT_ANNOTATION = frozenset(
    {"annotation_id", "annotator", "created_at", "updated_at", "lead_time", "agreement", "history"}
)
"""Columns that Label Studio adds to a task's data and answers."""
RENAMED = "_data_"
"""Begins the column of a field of the data that is named like a control."""
MAX_CHARACTERS = 100_000
"""Of a cell with labels."""
OF_TASKS = frozenset({"choices", "taxonomy", "rating"})
"""Keys of an answer to a whole task."""
OF_OTHERS = frozenset({"start", "x", "points", "rle", "ranges", "number", "datetime", "ranker", "selected"})
"""Keys of other answers, besides those that end with "labels"."""


def is_label_studio_table(columns: Collection[str]) -> bool:
    """Whether columns are those of one of these exports, some of which may have been deleted since."""
    return "annotation_id" in columns or {"annotator", "lead_time"} <= set(columns)


def is_annotated(row: Mapping[str, Any]) -> bool:
    """Whether a row of such an export is an annotation. In one of a task without any, a field of the data may stand
    where others have the answer."""
    return not is_empty(row.get("annotation_id", "unknown"))


def task_data(row: Mapping[str, Any], answers: Collection[str], *, is_table: bool) -> dict[str, Any]:
    """The task data in a row of such an export.

    Args:
        row: column -> value.
        answers: columns of answers, which are no data.
        is_table: the row is of a CSV or TSV, in which lists and objects are JSON in a cell.
    """
    named = {
        name.removeprefix(RENAMED) if name.removeprefix(RENAMED) in answers else name: value
        for name, value in row.items()
        if name != ID and name not in ABOUT_ANNOTATION and name not in answers
    }
    return {name: _opened(value) for name, value in named.items()} if is_table else named


def differing_columns(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Columns that differ between the rows of one task: its data are the same in all of them, so these are answers."""
    first: dict[str, Mapping[str, Any]] = {}
    found: set[str] = set()
    for row in rows:
        known = first.setdefault(str(row.get(ID)), row)
        if known is not row:
            found |= {name for name in (known.keys() | row.keys()) if known.get(name) != row.get(name)}
    return found - ABOUT_ANNOTATION - {ID}


def answer_in(value: object, *, is_export: bool = False) -> Answer | None:
    """The labels that a cell or a field holds: () where it is empty, None where it is no answer to a whole task.

    A cell of Label Studio's is {"choices": [...]}, [{"rating": 4}], [{"taxonomy": [[...]]}], or a label; other files
    have a label, or a list of them, which in a table is JSON or Python.

    Args:
        value: what stands there.
        is_export: the file is Label Studio's, where a list of labels is the path of one nested label.
    """
    if isinstance(value, str) and len(value) <= MAX_CHARACTERS:
        # pandas writes a column of lists as Python's own text of them.
        value = _as_container(_opened(value.strip()), ast.literal_eval)
    if is_empty(value):
        return ()
    parts = [value] if isinstance(value, Mapping) else value
    if isinstance(parts, list) and any(isinstance(part, Mapping) for part in parts):
        return _labels(part for part in parts if isinstance(part, Mapping)) or None
    if not isinstance(value, list):
        return (str(value),)
    if any(isinstance(part, list) for part in value):
        return _labels([{"taxonomy": value}]) or None
    if is_export:
        return _labels([{"choices": [value]}])
    return tuple(dict.fromkeys(str(part).strip() for part in value if not is_empty(part)))


def is_empty(value: object) -> bool:
    """Whether a label is missing: null, blank, or the "nan" and "<NA>" that pandas makes of a missing value."""
    if isinstance(value, list | dict):
        return not value
    return value is None or str(value).strip().casefold() in {"", "nan", "<na>"}


def has_answer_shape(value: object, *, is_export: bool) -> bool:
    """Whether a cell is an answer in Label Studio's shape, not just a label; in its exports also one about regions."""
    opened = _opened(value.strip()) if isinstance(value, str) and len(value) <= MAX_CHARACTERS else value
    parts = opened if isinstance(opened, list) else [opened]
    return any(isinstance(part, Mapping) and _is_answer(part, is_export) for part in parts)


def _is_answer(part: Mapping[str, object], is_export: bool) -> bool:
    if not is_export:
        return bool(part) and part.keys() <= OF_TASKS
    is_region = any(key in OF_OTHERS or key.endswith("labels") for key in part)
    return is_region or not OF_TASKS.isdisjoint(part) or isinstance(part.get("text"), list)


def _labels(values: Iterable[Mapping[str, Any]]) -> Answer:
    """The labels of the `value`s of an annotation's results; () for regions, which are no answer to a whole task."""
    given = parse_answers([{"from_name": ID, "value": value} for value in values]).get(ID, ())
    return () if is_of_regions(given) else given


def is_of_regions(answer: Answer) -> bool:
    """Whether an answer marks parts of a text."""
    return any(mark_in(label) is not None for label in answer)


def _opened(value: object) -> object:
    """The list or object that a text holds as JSON; anything else as it is."""
    return _as_container(value, json.loads)


def _as_container(value: object, load: Callable[[str], object]) -> object:
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    try:
        opened = load(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return value
    return opened if isinstance(opened, list | dict) else value
