"""Label Studio's JSON and XML, translated to and from our records. No I/O."""

import html
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element

from backend.adapters.xml_text import read_xml
from backend.domain.questions import Kind, Question
from backend.domain.suggestions import Suggestion
from backend.domain.tasks import Annotation, Answer, Origin, Task
from backend.errors import BadRequest, LabelStudioError
from backend.ports import LabelConfig, MirroredTask, Prediction, ProjectInfo, Shown, Tab

PATH_SEPARATOR = " / "
DEFAULT_MAX_RATING = 5
"""Label Studio's default for `<Rating maxRating>`."""
MAX_RATING = 100
"""Each value becomes a label, so there has to be an end; no screen shows more stars."""
MAX_DIGITS = 10
"""More of them are no number of stars, and int() takes long for thousands."""

FIELD = re.compile(r"\$([^\W\d]\w*)")
"""A field of task data in an attribute of a label config; of `$a.b` and `$a[0]`, the field is a."""
MEDIA = {"Audio", "AudioPlus", "Video", "TimeSeries", "Pdf", "PDF", "Chat", "ReactCode"}
"""Object tags whose content can't be read as text."""

HIDDEN_COLUMNS = (
    "id",
    "inner_id",
    "total_annotations",
    "cancelled_annotations",
    "total_predictions",
    "annotators",
    "annotations_results",
    "annotations_ids",
    "predictions_score",
    "predictions_model_versions",
    "predictions_results",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "completed_at",
    "avg_lead_time",
    "draft_exists",
)
"""Columns that a tab of ours shows only if it says so: without this list the Data Manager shows them all."""
MAX_LABELS = 100_000
"""Classification codes of medicine are 70,000; more is rather a mistake."""
MAX_OTHER_TAGS = 10_000
"""Tags of a label config besides those of labels."""
MAX_LABEL_CHARS = 20_000_000
"""Of all labels of a control together. A taxonomy's are whole paths: a long name counts once for each path it is in."""
MAX_EXCLUSIVE = 32_767
"""Labels of a control that takes one answer: a vote is a 16-bit number."""


def parse_label_config(xml: str, max_labels: int = MAX_LABELS) -> LabelConfig:
    """Find the questions of a label config: every Choices, Rating and Taxonomy whose labels it lists.

    Raises:
        BadRequest: the XML can't be parsed, is nested too deeply, or has more than `max_labels` labels.
    """
    try:
        root = read_xml(xml, max_labels + MAX_OTHER_TAGS)
    except BadRequest as error:
        raise BadRequest(f"The label config can't be used: {error}. Correct it in the project's settings.") from error
    questions: list[Question] = []
    unsupported: dict[str, str] = {}
    meanings: dict[str, dict[str, str]] = {}
    n_labels = 0
    for name, to_name, element in _controls(root, unsupported):
        reason = _why_unsupported(element)
        if reason:
            unsupported[name] = reason
            continue
        questions.append(_question(element, name, to_name))
        meanings[name] = _meanings(element)
        n_labels += len(questions[-1].labels)
        if n_labels > max_labels:
            raise BadRequest(f"The label config has more than {max_labels:,} labels. List fewer, or raise MAX_LABELS.")
    return LabelConfig(tuple(questions), unsupported, _shown(root), meanings)


def _controls(root: Element, unsupported: dict[str, str]) -> list[tuple[str, str, Element]]:
    """Name, object and tag of each control; of several with one name none, as an answer could be of any of them."""
    found: dict[str, list[tuple[str, str, Element]]] = {}
    for element in root.iter():
        name, to_name = element.get("name"), element.get("toName")
        if name and to_name:
            found.setdefault(name, []).append((name, to_name.split(",")[0].strip(), element))
    for name, several in found.items():
        if len(several) > 1:
            unsupported[name] = "several controls have this name: rename all but one"
    return [one for of_name in found.values() if len(of_name) == 1 for one in of_name]


def _shown(root: Element) -> Shown:
    """The fields of task data that a label config shows, by what they are shown as."""
    texts: dict[str, None] = {}
    images: dict[str, None] = {}
    other: dict[str, str] = {}
    for element in root.iter():
        if element.get("toName"):
            # A control: what it reads of the data are labels, not the task.
            continue
        for attribute in ("value", "valueList", "content"):
            for field in FIELD.findall(element.get(attribute) or ""):
                if element.tag == "Image":
                    images[field] = None
                elif element.tag in MEDIA or element.get("valueType") == "url":
                    other[field] = element.tag
                else:
                    texts[field] = None
    return Shown(tuple(texts), tuple(images), other)


def _meanings(element: Element) -> dict[str, str]:
    """What annotators read of each label besides its name: what it is shown as, where it has an alias, and its hint."""
    found: dict[str, str] = {}
    for choice in element.iter("Choice"):
        label = choice.get("alias") or choice.get("value")
        shown_as = choice.get("value") if choice.get("alias") else None
        said = [part for part in (shown_as, choice.get("hint")) if part]
        if label and said:
            found[label] = ": ".join(said)
    return found


def _why_unsupported(element: Element) -> str:
    if element.tag not in {"Choices", "Rating", "Taxonomy"}:
        return f"<{element.tag}> can't be suggested yet"
    if element.get("perRegion", "").lower() == "true":
        return "an answer for each region can't be suggested yet"
    if element.get("perItem", "").lower() == "true":
        return "an answer for each item can't be suggested yet"
    if element.tag == "Taxonomy" and element.get("labeling", "").lower() == "true":
        return "a taxonomy that labels regions can't be suggested yet"
    if element.get("value", "").startswith("$"):
        return "labels that come from the task's data can't be suggested yet"
    if element.get("apiUrl"):
        return "labels that come from a URL can't be suggested yet"
    if element.tag == "Rating" and not _max_rating(element):
        return f"maxRating {element.get('maxRating')!r} is not a number from 1"
    return "" if element.tag == "Rating" else _why_unsuitable(element)


def _why_unsuitable(element: Element) -> str:
    """Why the labels that a control lists can't be suggested; "" when they can."""
    paths = _paths(element)
    if not paths:
        return "it has no labels"
    if sum(len(part) for path in paths for part in path) > MAX_LABEL_CHARS:
        return f"its labels have more than {MAX_LABEL_CHARS:,} characters together"
    if len({PATH_SEPARATOR.join(path) for path in paths}) < len(paths):
        return "several of its labels have the same name, so an answer could mean any of them"
    if not _is_multiple(element) and len(paths) > MAX_EXCLUSIVE:
        return f"it has more than {MAX_EXCLUSIVE:,} labels, and a person can choose only one of them"
    return ""


def _max_rating(element: Element) -> int:
    """Number of stars; 0 when the attribute isn't a number."""
    text = element.get("maxRating") or str(DEFAULT_MAX_RATING)
    return min(int(text), MAX_RATING) if text.isdecimal() and len(text) < MAX_DIGITS else 0


def _question(element: Element, name: str, to_name: str) -> Question:
    if element.tag == "Rating":
        stars = range(1, _max_rating(element) + 1)
        return Question(name, to_name, Kind.RATING, tuple(str(value) for value in stars))
    paths = _paths(element)
    labels = tuple(PATH_SEPARATOR.join(path) for path in paths)
    if element.tag == "Taxonomy":
        return Question(name, to_name, Kind.TAXONOMY, labels, _is_multiple(element), tuple(paths))
    return Question(name, to_name, Kind.CHOICES, labels, _is_multiple(element))


def _is_multiple(element: Element) -> bool:
    if element.tag == "Taxonomy":
        return element.get("maxUsages") != "1"
    return element.get("choice", "single") == "multiple"


def _paths(element: Element) -> list[tuple[str, ...]]:
    """The labels of a control, in the order of the config: a taxonomy's with those above them, each once."""
    if element.tag == "Taxonomy":
        return list(dict.fromkeys(_taxonomy_paths(element, (), element.get("leafsOnly", "").lower() == "true")))
    return [(label,) for label in _leaves(element)]


def _leaves(element: Element) -> list[str]:
    """Labels of nested choices, top to bottom. Label Studio stores the alias where there is one."""
    labels: list[str] = []
    for choice in element.iterfind(".//Choice"):
        label = choice.get("alias") or choice.get("value")
        if label and choice.find("Choice") is None:
            labels.append(label)
    return labels


def _taxonomy_paths(element: Element, above: tuple[str, ...], leaf_only: bool) -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = []
    for choice in element.findall("Choice"):
        label = choice.get("alias") or choice.get("value")
        if not label:
            continue
        path = (*above, label)
        below = _taxonomy_paths(choice, path, leaf_only)
        paths += below if below and leaf_only else [path, *below]
    return paths


def parse_answers(result: Sequence[Mapping[str, Any]]) -> dict[str, Answer]:
    """Answers of an annotation's `result`, by control name, whatever the label config says today."""
    answers: dict[str, Answer] = {}
    for item in _regions(result):
        name, value = item.get("from_name"), item.get("value")
        if not isinstance(name, str) or not isinstance(value, Mapping):
            continue
        labels = _labels(value)
        if labels:
            answers[name] = tuple(dict.fromkeys((*answers.get(name, ()), *labels)))
    return answers


def parse_origins(result: Sequence[Mapping[str, Any]]) -> dict[str, Origin]:
    """Which answers of an annotation's `result` came from a suggestion; one of several regions changed: changed.

    Label Studio keeps this when it deletes the prediction, unlike `parent_prediction`.
    """
    said: dict[str, set[str]] = {}
    for item in _regions(result):
        if isinstance(item.get("from_name"), str):
            said.setdefault(item["from_name"], set()).add(str(item.get("origin")))
    return {
        name: Origin.ACCEPTED if origins == {Origin.ACCEPTED.value} else Origin.CHANGED
        for name, origins in said.items()
        if origins & {item.value for item in Origin}
    }


def _regions(result: object) -> list[Mapping[str, Any]]:
    """The parts of a `result` that are what they should be: whoever writes by the API may send any JSON."""
    return [item for item in result if isinstance(item, Mapping)] if isinstance(result, Sequence) else []


def _labels(value: Mapping[str, Any]) -> tuple[str, ...]:
    if isinstance(value.get("choices"), list):
        return tuple(str(label[-1] if isinstance(label, list) and label else label) for label in value["choices"])
    if isinstance(value.get("taxonomy"), list):
        return tuple(PATH_SEPARATOR.join(map(str, path)) for path in value["taxonomy"] if isinstance(path, list))
    rating = value.get("rating")
    if isinstance(rating, int | float) and math.isfinite(rating):
        return (str(int(rating)),)
    return ()


def format_result(suggestion: Suggestion, questions: Sequence[Question]) -> list[dict[str, Any]]:
    """The `result` of a prediction. Questions without an answer are left out; an abstention is an empty list."""
    items = []
    for question in questions:
        answer = suggestion.answers.get(question.name)
        if not answer:
            continue
        items.append(
            {
                "from_name": question.name,
                "to_name": question.to_name,
                "type": question.kind.value,
                "value": {question.kind.value: _value(question, answer)},
            }
        )
    return items


def _value(question: Question, answer: Answer) -> int | list[str] | list[list[str]]:
    if question.kind is Kind.RATING:
        return int(answer[0])
    if question.kind is Kind.TAXONOMY:
        return [list(question.paths[question.labels.index(label)]) for label in answer]
    return list(answer)


def format_prediction(prediction: Prediction, version: str, questions: Sequence[Question]) -> dict[str, Any]:
    """A prediction in the shape both import endpoints take; of a withheld one, nothing but its place in the queue."""
    return {
        "task": prediction.task_id,
        "result": [] if prediction.withheld else format_result(prediction.suggestion, questions),
        "score": round(prediction.score, 6),
        "model_version": version,
    }


def normal_time(text: str | None) -> str:
    """An ISO time of Label Studio in one fixed format (UTC, microseconds), so that strings order like times."""
    if not text:
        return ""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_task(item: Mapping[str, Any]) -> MirroredTask:
    """A task of `/api/tasks` with fields id, data, annotations, updated_at, is_labeled."""
    task = Task(
        id=int(item["id"]),
        data=item.get("data") or {},
        is_open=not item.get("is_labeled", False),
        updated_at=normal_time(item.get("updated_at")),
    )
    return MirroredTask(task, tuple(parse_annotation(entry, task.id) for entry in item.get("annotations") or []))


def parse_annotation(item: Mapping[str, Any], task_id: int) -> Annotation:
    """An annotation as `/api/tasks` nests it."""
    annotator = item.get("completed_by")
    return Annotation(
        id=int(item["id"]),
        task_id=task_id,
        annotator_id=annotator.get("id") if isinstance(annotator, Mapping) else annotator,
        answers=parse_answers(item.get("result") or []),
        skipped=bool(item.get("was_cancelled")),
        updated_at=normal_time(item.get("updated_at")),
        origins=parse_origins(item.get("result") or []),
        lead_time_s=_seconds(item.get("lead_time")),
    )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None


def project_uid(project: Mapping[str, Any]) -> str:
    """Label Studio's uid of a project, `<id>.<created, seconds>`, as it sends it to ML backends.

    Raises:
        BadRequest: the project has no id or no creation time.
    """
    try:
        created = datetime.fromisoformat(str(project["created_at"]))
        return f"{int(project['id'])}.{int(created.timestamp())}"
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadRequest("project has no usable id and created_at: give both as Label Studio has them.") from error


def parse_project(item: Mapping[str, Any]) -> ProjectInfo:
    """A project of `/api/projects/<id>/`."""
    try:
        return ProjectInfo(
            id=int(item["id"]),
            uid=project_uid(item),
            title=str(item.get("title") or ""),
            label_config=str(item.get("label_config") or "<View/>"),
            model_version=str(item.get("model_version") or ""),
            shows_predictions=bool(item.get("show_collab_predictions")),
            sampling=str(item.get("sampling") or ""),
            n_tasks=int(item.get("task_number") or 0),
            instructions=_plain(str(item.get("expert_instruction") or "")),
        )
    except BadRequest as error:
        raise LabelStudioError(f"Label Studio sent a project we can't read: {error}") from error


def _plain(text: str) -> str:
    """Instructions without their HTML: Label Studio shows them as a page, others read them."""
    return html.unescape(re.sub(r"<[^<>]*>", " ", text)).strip() if "<" in text else text.strip()


def format_tab(project_id: int, tab: Tab) -> dict[str, Any]:
    """A Data Manager tab for POST /api/dm/views/."""
    hidden = [f"tasks:{name}" for name in HIDDEN_COLUMNS if name not in tab.shown_columns]
    return {
        "project": project_id,
        "data": {
            "title": tab.title,
            "type": "list",
            "target": "tasks",
            "filters": {
                "conjunction": "and",
                "items": [
                    {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
                    for column, operator, kind, value in tab.filters
                ],
            },
            "ordering": list(tab.ordering),
            "columnsDisplayType": {f"tasks:{column}": kind for column, kind in tab.column_types.items()},
            "columnsWidth": {},
            "gridWidth": 4,
            "hiddenColumns": {"explore": hidden, "labeling": hidden},
        },
    }
