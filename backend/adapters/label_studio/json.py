"""Label Studio's JSON, translated to and from our records. No I/O.

Whoever uses its API may store nearly any JSON in a task or an annotation: what can't be read is never an error here.
"""

import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from backend.adapters.label_studio.controls import CONTROLS
from backend.adapters.label_studio.controls.base import unreadable
from backend.domain.outside import bounded_number, bounded_whole, storable
from backend.domain.questions import Question
from backend.domain.suggestions import Suggestion
from backend.domain.tasks import Annotation, Answer, MirroredTask, Origin, Task
from backend.errors import BadRequest, LabelStudioError
from backend.ports import Prediction, ProjectInfo, Tab

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
MAX_LEAD_TIME_S = 1e10
"""Longer than Label Studio exists."""
MAX_ID = 2**63 - 1
UNNAMED = ""
"""Under this name stands what an annotation has besides answers to controls: nothing that we know how to read."""


def parse_answers(result: object) -> dict[str, Answer]:
    """Answers of an annotation's `result`, by control name, whatever the label config says today.

    What can't be read as one is kept as a short text, which is no label of any question, so that it can be shown.
    """
    answers: dict[str, Answer] = {}
    items = result if isinstance(result, list) else [result] if result else []
    for item in items:
        labels: tuple[str, ...]
        if not isinstance(item, Mapping):
            name, labels = UNNAMED, (unreadable(item),)
        elif isinstance(item.get("from_name"), str) and isinstance(item.get("value"), Mapping):
            name, labels = storable(item["from_name"]), _labels(item["value"])
        else:
            # A relation, for one, is of no control.
            continue
        if labels:
            answers[name] = tuple(dict.fromkeys((*answers.get(name, ()), *labels)))
    return answers


def parse_origins(result: object) -> dict[str, Origin]:
    """Which answers of an annotation's `result` came from a suggestion; one of several regions changed: changed.

    Label Studio keeps this when it deletes the prediction, unlike `parent_prediction`.
    """
    said: dict[str, set[str]] = {}
    for item in _regions(result):
        if isinstance(item.get("from_name"), str):
            said.setdefault(storable(item["from_name"]), set()).add(str(item.get("origin")))
    return {
        name: Origin.ACCEPTED if origins == {Origin.ACCEPTED.value} else Origin.CHANGED
        for name, origins in said.items()
        if origins & {item.value for item in Origin}
    }


def _regions(result: object) -> list[Mapping[str, Any]]:
    """The parts of a `result` that are what they should be."""
    return [item for item in result if isinstance(item, Mapping)] if isinstance(result, list) else []


def _labels(value: Mapping[str, Any]) -> tuple[str, ...]:
    for control in CONTROLS.values():
        if value.get(control.key) is not None:
            return control.labels(value)
    return ()


def format_result(suggestion: Suggestion, questions: Sequence[Question]) -> list[dict[str, Any]]:
    """The `result` of a prediction. Questions without an answer are left out; an abstention is an empty list."""
    items = []
    for question in questions:
        answer = suggestion.answers.get(question.name)
        if not answer:
            continue
        common: dict[str, Any] = {"from_name": question.name, "to_name": question.to_name, "type": question.kind}
        control, regions = CONTROLS[question.kind], question.regions(answer)
        if not regions:
            items.append(common | {"value": control.value(question, answer)})
        scores = suggestion.scores.get(question.name, ())
        for place, region in enumerate(regions):
            item = common | {"id": _region_id(question.name, region), "value": control.value(question, region)}
            items.append(item | ({"score": round(scores[place], 6)} if scores else {}))
    return items


def _region_id(question: str, region: Answer) -> str:
    """Another one for each region of a task: of two with one id, Label Studio keeps the second one twice."""
    text = json.dumps([question, *region])
    return hashlib.sha256(text.encode()).hexdigest()[:10]


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


def data_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a task, or of a tab; empty where it is a list or a text: Label Studio's API stores any JSON."""
    data = item.get("data")
    return data if isinstance(data, dict) else {}


def parse_task(item: Mapping[str, Any]) -> MirroredTask:
    """A task of `/api/tasks` with fields id, data, annotations, updated_at, is_labeled."""
    entries = item.get("annotations")
    task = Task(
        id=int(item["id"]),
        data=data_of(item),
        is_open=not item.get("is_labeled", False),
        updated_at=normal_time(item.get("updated_at")),
    )
    known = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    return MirroredTask(task, tuple(parse_annotation(entry, task.id) for entry in known))


def parse_annotation(item: Mapping[str, Any], task_id: int) -> Annotation:
    """An annotation as `/api/tasks` nests it."""
    annotator = item.get("completed_by")
    return Annotation(
        id=int(item["id"]),
        task_id=task_id,
        annotator_id=bounded_whole(annotator.get("id") if isinstance(annotator, Mapping) else annotator, 0, MAX_ID),
        answers=parse_answers(item.get("result")),
        skipped=bool(item.get("was_cancelled")),
        updated_at=normal_time(item.get("updated_at")),
        origins=parse_origins(item.get("result")),
        lead_time_s=bounded_number(item.get("lead_time"), 0, MAX_LEAD_TIME_S),
    )


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
