"""Annotations as the mirror keeps them: as Label Studio has them, read by the labels of today."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from backend.adapters.sql.tables import annotations, renamed_labels
from backend.domain.label_changes import renamed
from backend.domain.tasks import Annotation, Answer, Origin
from backend.ports import LabelPlace

NO_LEAD_TIME = -1.0


def annotations_in(connection: Connection, key: str, of_tasks: Sequence[int] | None = None) -> list[Annotation]:
    """Mirrored annotations of a project, or of some of its tasks, by id; renamed labels by the name of today."""
    query = select(annotations).where(annotations.c.key == key).order_by(annotations.c.id)
    if of_tasks is not None:
        query = query.where(annotations.c.task_id.in_(of_tasks))
    renames = renames_in(connection, key)
    return [annotation_of(row, renames) for row in connection.execute(query).mappings()]


def annotation_of(row: Any, renames: Mapping[LabelPlace, str]) -> Annotation:
    """An annotation out of what is kept."""
    lead_time_s = row.get("lead_time_s")
    return Annotation(
        id=row["id"],
        task_id=row["task_id"],
        annotator_id=row["annotator_id"],
        answers=renamed(answers_of(row["answers"]), renames),
        skipped=row["skipped"],
        updated_at=row["updated_at"],
        # Rows of an earlier release have none until the next full sync.
        origins={name: Origin(origin) for name, origin in (row.get("origins") or {}).items()},
        lead_time_s=None if lead_time_s is None or lead_time_s < 0 else lead_time_s,
    )


def renames_in(connection: Connection, key: str) -> dict[LabelPlace, str]:
    """Labels that answers have, and which label of today each means."""
    rows = connection.execute(select(renamed_labels).where(renamed_labels.c.key == key)).mappings()
    return {(row["question"], row["label"]): row["now"] for row in rows}


def answers_of(answers: Mapping[str, Sequence[str]]) -> dict[str, Answer]:
    """Answers out of what JSON has."""
    return {name: tuple(labels) for name, labels in answers.items()}


def annotation_row(key: str, annotation: Annotation) -> dict[str, Any]:
    """An annotation as it is kept."""
    return {
        "key": key,
        "id": annotation.id,
        "task_id": annotation.task_id,
        "annotator_id": annotation.annotator_id,
        "answers": {name: list(labels) for name, labels in annotation.answers.items()},
        "skipped": annotation.skipped,
        "updated_at": annotation.updated_at,
        "origins": dict(annotation.origins),
        "lead_time_s": NO_LEAD_TIME if annotation.lead_time_s is None else annotation.lead_time_s,
    }
