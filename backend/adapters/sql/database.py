"""The SQL database: the `Database` port, on SQLite or Postgres through SQLAlchemy."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Text, cast, delete, func, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from backend.adapters.sql.annotations import annotation_of, annotation_row, annotations_in, answers_of, renames_in
from backend.adapters.sql.engine import Sql, chunks, save
from backend.adapters.sql.reports import read_report
from backend.adapters.sql.tables import (
    added_labels,
    annotations,
    check_reports,
    holds,
    past_suggestions,
    projects,
    renamed_labels,
    suspects,
    tags,
    tasks,
    verdicts,
    versions,
)
from backend.domain.codec import to_json
from backend.domain.reports.check import CheckReport
from backend.domain.tasks import Annotation, MirroredTask, Origin, Task
from backend.errors import ConfigurationError
from backend.ports import (
    Hold,
    LabelPlace,
    PastSuggestion,
    ProjectRecord,
    SuspectRecord,
    SuspectStatus,
    TagPlace,
    TagValue,
    VerdictRecord,
    VersionRecord,
    VersionStatus,
)


class SqlDatabase:
    """The mirror and the records. Tables are made when it is first used."""

    def __init__(self, sql: Sql | str, now: Callable[[], float]) -> None:
        """`sql`: a database that others may share, or a URL of SQLAlchemy's. `now` returns seconds since the epoch."""
        self._sql = Sql(sql) if isinstance(sql, str) else sql
        self._now = now

    def project(self, key: str) -> ProjectRecord | None:
        """What we remember of a project."""
        with self._begin() as connection:
            row = connection.execute(select(projects).where(projects.c.key == key)).mappings().first()
            # Annotations that an earlier release read lack what is read today: all are read again.
            old = annotations.c.origins.is_(null()) | annotations.c.lead_time_s.is_(null())
            lacking = select(annotations.c.id).where(annotations.c.key == key, old)
            is_old = connection.scalar(lacking.limit(1)) is not None
        if row is None:
            return None
        return ProjectRecord(**{**row, "full_sync_at": 0.0 if is_old else row["full_sync_at"]})

    def projects(self) -> list[ProjectRecord]:
        """All projects we know."""
        with self._begin() as connection:
            rows = connection.execute(select(projects).order_by(projects.c.project_id)).mappings().all()
        return [ProjectRecord(**row) for row in rows]

    def save_project(self, record: ProjectRecord) -> None:
        """Insert or replace."""
        with self._begin() as connection:
            connection.execute(delete(projects).where(projects.c.key == record.key))
            connection.execute(insert(projects), asdict(record))

    def forget_project(self, key: str) -> None:
        """Forget a project that is gone, with its mirror. Versions and verdicts stay."""
        with self._begin() as connection:
            for table in (projects, tasks, annotations):
                connection.execute(delete(table).where(table.c.key == key))

    def save_tasks(self, key: str, tasks_: Iterable[MirroredTask]) -> None:
        """Insert or replace tasks; a task's annotations are replaced as a whole."""
        batch = list(tasks_)
        with self._begin() as connection:
            ids = [item.task.id for item in batch]
            suggested: dict[int, int] = {}
            for chunk in chunks(ids):
                mine = (tasks.c.key == key) & tasks.c.id.in_(chunk)
                suggested |= {
                    row.id: row.suggested
                    for row in connection.execute(select(tasks.c.id, tasks.c.suggested).where(mine))
                }
                connection.execute(delete(tasks).where(mine))
                where = (annotations.c.key == key) & annotations.c.task_id.in_(chunk)
                connection.execute(delete(annotations).where(where))
            if batch:
                connection.execute(insert(tasks), [_task_row(key, item, suggested) for item in batch])
            rows = [annotation_row(key, entry) for item in batch for entry in item.annotations]
            if rows:
                # An annotation can't move between tasks, but a lost delete may have left an old copy.
                for chunk in chunks([row["id"] for row in rows]):
                    connection.execute(delete(annotations).where(annotations.c.key == key, annotations.c.id.in_(chunk)))
                connection.execute(insert(annotations), rows)

    def keep_tasks(self, key: str, task_ids: set[int]) -> int:
        """Forget all tasks but these; returns how many went."""
        with self._begin() as connection:
            known = set(connection.scalars(select(tasks.c.id).where(tasks.c.key == key)))
            gone = sorted(known - task_ids)
            for chunk in chunks(gone):
                connection.execute(delete(tasks).where(tasks.c.key == key, tasks.c.id.in_(chunk)))
                where = (annotations.c.key == key) & annotations.c.task_id.in_(chunk)
                connection.execute(delete(annotations).where(where))
        return len(gone)

    def tasks(self, key: str, among: Collection[int] | None = None) -> list[MirroredTask]:
        """All mirrored tasks, or those of some ids, by id; annotations by id."""
        of_key = select(tasks).where(tasks.c.key == key)
        parts = [None] if among is None else list(chunks(sorted(among)))
        rows: list[Any] = []
        given: list[Annotation] = []
        # A sync may replace a task with its annotations meanwhile.
        with self._sql.snapshot() as connection:
            for ids in parts:
                some = of_key if ids is None else of_key.where(tasks.c.id.in_(ids))
                rows += connection.execute(some.order_by(tasks.c.id)).mappings()
                given += annotations_in(connection, key, ids)
        of_task: dict[int, list[Annotation]] = {}
        for annotation in given:
            of_task.setdefault(annotation.task_id, []).append(annotation)
        return [
            MirroredTask(
                Task(id=row["id"], data=row["data"], is_open=row["is_open"], updated_at=row["updated_at"]),
                tuple(of_task.get(row["id"], ())),
            )
            for row in rows
        ]

    def first_data(self, key: str, n: int) -> list[Mapping[str, object]]:
        """Data of the n mirrored tasks with the lowest ids."""
        query = select(tasks.c.data).where(tasks.c.key == key).order_by(tasks.c.id).limit(n)
        with self._begin() as connection:
            return list(connection.scalars(query))

    def annotations(self, key: str) -> list[Annotation]:
        """All mirrored annotations, by id."""
        with self._begin() as connection:
            return annotations_in(connection, key)

    def count_tasks(self, key: str) -> int:
        """Number of mirrored tasks."""
        with self._begin() as connection:
            return connection.scalar(select(func.count()).select_from(tasks).where(tasks.c.key == key)) or 0

    def count_teaching(self, key: str, since: str) -> tuple[int, int]:
        """Numbers of mirrored annotations that teach: all of them, and those that were changed after a moment."""
        # In JSON, these two characters begin a list with a text in it and nothing else: some question is answered.
        teaches = ~annotations.c.skipped & cast(annotations.c.answers, Text).contains('["', autoescape=True)
        with self._begin() as connection:
            # Compared as Python does, whatever the order of the server's language.
            by_bytes = "BINARY" if connection.dialect.name == "sqlite" else "C"
            is_newer = annotations.c.updated_at.collate(by_bytes) > since
            query = select(func.count(), func.count().filter(is_newer))
            n_teaching, n_newer = connection.execute(query.where(annotations.c.key == key, teaches)).one()
        return n_teaching, n_newer

    def annotations_state(self, key: str) -> tuple[int, str]:
        """Number of mirrored annotations, and when the newest of them was changed."""
        query = select(func.count(), func.max(annotations.c.updated_at)).where(annotations.c.key == key)
        with self._begin() as connection:
            count, newest = connection.execute(query).one()
        return count, newest or ""

    def origins(self, key: str) -> dict[tuple[str, Origin], int]:
        """How many answers came from a suggestion that stood in the form, by question and what became of it."""
        as_text = cast(annotations.c.origins, Text)
        query = select(as_text, func.count()).where(annotations.c.key == key).group_by(as_text)
        found: Counter[tuple[str, Origin]] = Counter()
        with self._begin() as connection:
            for text, n in connection.execute(query):
                for question, origin in (json.loads(text) if text else None or {}).items():
                    found[question, Origin(origin)] += n
        return dict(found)

    def added_labels(self, key: str) -> dict[LabelPlace, str]:
        """Labels that came later: since which change."""
        with self._begin() as connection:
            rows = connection.execute(select(added_labels).where(added_labels.c.key == key)).mappings()
            return {(row["question"], row["label"]): row["since"] for row in rows}

    def save_added_labels(self, key: str, labels: Mapping[LabelPlace, str]) -> None:
        """Insert or replace."""
        rows = [
            {"key": key, "question": question, "label": label, "since": since}
            for (question, label), since in labels.items()
        ]
        with self._begin() as connection:
            save(connection, added_labels, rows)

    def renamed_labels(self, key: str) -> dict[LabelPlace, str]:
        """Labels that answers have, and which label of today each means."""
        with self._begin() as connection:
            return renames_in(connection, key)

    def save_renamed_label(self, key: str, place: LabelPlace, now: str | None) -> None:
        """Let a label of answers mean another one from now on; None undoes it."""
        question, label = place
        of_label = (renamed_labels.c.key == key) & (renamed_labels.c.question == question)
        with self._begin() as connection:
            if now is None:
                connection.execute(delete(renamed_labels).where(of_label & (renamed_labels.c.label == label)))
            else:
                save(connection, renamed_labels, [{"key": key, "question": question, "label": label, "now": now}])

    def mark_suggested(self, key: str, task_ids: Iterable[int], number: int) -> None:
        """Remember that tasks have a prediction of a version."""
        with self._begin() as connection:
            for chunk in chunks(sorted(task_ids)):
                where = (tasks.c.key == key) & tasks.c.id.in_(chunk)
                connection.execute(update(tasks).where(where).values(suggested=number))

    def task_ids(self, key: str, *, open_only: bool = False) -> set[int]:
        """Ids of all mirrored tasks, or of those that are open."""
        where = (tasks.c.key == key) & tasks.c.is_open if open_only else tasks.c.key == key
        with self._begin() as connection:
            return set(connection.scalars(select(tasks.c.id).where(where)))

    def not_suggested(self, key: str, number: int) -> set[int]:
        """Open tasks without a prediction of a version, as far as we remember."""
        where = (tasks.c.key == key) & tasks.c.is_open & (tasks.c.suggested != number)
        with self._begin() as connection:
            return set(connection.scalars(select(tasks.c.id).where(where)))

    def new_version(self, key: str, *, above: int = 0) -> VersionRecord:
        """Take the next version number, higher than `above`, status `training`."""
        for _ in range(10):
            try:
                with self._begin() as connection:
                    last = connection.scalar(select(func.max(versions.c.number)).where(versions.c.key == key)) or 0
                    record = VersionRecord(key, max(last, above) + 1, VersionStatus.TRAINING, self._now())
                    connection.execute(insert(versions), asdict(record))
                return record
            except IntegrityError:
                # Another worker took this number at the same moment: take the next one.
                continue
        raise ConfigurationError(f"No version number could be taken for {key}: too many workers train it at once.")

    def save_version(self, record: VersionRecord) -> None:
        """Replace a version's record."""
        where = (versions.c.key == record.key) & (versions.c.number == record.number)
        with self._begin() as connection:
            connection.execute(update(versions).where(where).values(**asdict(record)))

    def versions(self, key: str) -> list[VersionRecord]:
        """All versions, by number."""
        with self._begin() as connection:
            query = select(versions).where(versions.c.key == key).order_by(versions.c.number)
            rows = connection.execute(query).mappings().all()
        return [VersionRecord(**{**row, "status": VersionStatus(row["status"])}) for row in rows]

    def hold(self, key: str) -> Hold | None:
        """The version that a person wants a project to stay at."""
        with self._begin() as connection:
            row = connection.execute(select(holds).where(holds.c.key == key)).mappings().first()
        return None if row is None else Hold(row["number"], row["since"])

    def save_hold(self, key: str, hold: Hold | None) -> None:
        """Replace it; None lets go."""
        with self._begin() as connection:
            if hold is None:
                connection.execute(delete(holds).where(holds.c.key == key))
            else:
                save(connection, holds, [asdict(hold) | {"key": key}])

    def past_suggestions(self, key: str) -> dict[int, PastSuggestion]:
        """What was suggested for tasks when people labeled them, by task id."""
        with self._begin() as connection:
            rows = connection.execute(select(past_suggestions).where(past_suggestions.c.key == key)).mappings().all()
        return {
            row["task_id"]: PastSuggestion(
                row["task_id"], row["number"], answers_of(row["answers"]), row["per_question"]
            )
            for row in rows
        }

    def save_past_suggestions(self, key: str, suggestions: Iterable[PastSuggestion]) -> None:
        """Remember what was suggested; of each task the first one stays."""
        rows = [asdict(item) | {"key": key} for item in suggestions]
        with self._begin() as connection:
            save(connection, past_suggestions, rows, replace=False)

    def suspects(self, key: str) -> list[SuspectRecord]:
        """All suspects, settled ones included; lowest quality first."""
        with self._begin() as connection:
            query = select(suspects).where(suspects.c.key == key).order_by(suspects.c.quality, suspects.c.task_id)
            rows = connection.execute(query).mappings().all()
        return [_suspect(row) for row in rows]

    def save_suspects(self, key: str, suspects_: Sequence[SuspectRecord]) -> None:
        """Insert or replace, by task, question and region."""
        with self._begin() as connection:
            save(connection, suspects, [asdict(record) | {"key": key} for record in suspects_])

    def verdicts(self, key: str) -> list[VerdictRecord]:
        """All verdicts, the oldest first."""
        with self._begin() as connection:
            query = select(verdicts).where(verdicts.c.key == key).order_by(verdicts.c.at, verdicts.c.id)
            rows = connection.execute(query).mappings().all()
        return [_verdict(row) for row in rows]

    def save_verdicts(self, key: str, verdicts_: Sequence[VerdictRecord]) -> None:
        """Insert or replace, by id."""
        with self._begin() as connection:
            save(connection, verdicts, [asdict(record) | {"key": key} for record in verdicts_])

    def tags(self, key: str) -> dict[TagPlace, TagValue | None]:
        """What we wrote into task data last; None: something, but it isn't known what."""
        with self._begin() as connection:
            rows = connection.execute(select(tags).where(tags.c.key == key)).mappings().all()
        return {(row["task_id"], row["name"]): row["value"] for row in rows}

    def save_tags(self, key: str, tags_: Mapping[TagPlace, TagValue | None]) -> None:
        """Insert or replace."""
        rows = [
            {"key": key, "task_id": task_id, "name": name, "value": value} for (task_id, name), value in tags_.items()
        ]
        with self._begin() as connection:
            save(connection, tags, rows)

    def check_report(self, key: str) -> CheckReport:
        """What the last search for wrong labels said of the project as a whole; empty before the first one."""
        with self._begin() as connection:
            found = connection.scalar(select(check_reports.c.report).where(check_reports.c.key == key))
        return read_report(CheckReport, found) or CheckReport()

    def save_check_report(self, key: str, report: CheckReport) -> None:
        """Replace it. Numbers are finite."""
        with self._begin() as connection:
            save(connection, check_reports, [{"key": key, "report": to_json(report)}])

    def note(self) -> None:
        """Let the processes that are forked from this one refuse another database file, or an emptied MODEL_DIR."""
        self._sql.note()

    def ping(self) -> str:
        """Check that the database answers, and can be written to; returns its kind.

        Raises:
            ConfigurationError: it doesn't; the message has no password.
            ReadOnlyDatabase: it answers only.
        """
        with self._begin() as connection:
            connection.execute(select(1))
            self._sql.check_writable(connection)
            return connection.dialect.name

    def _begin(self) -> AbstractContextManager[Connection]:
        return self._sql.begin()


def _task_row(key: str, item: MirroredTask, suggested: dict[int, int]) -> dict[str, Any]:
    task = item.task
    return {
        "key": key,
        "id": task.id,
        "data": dict(task.data),
        "is_open": task.is_open,
        "updated_at": task.updated_at,
        "suggested": suggested.get(task.id, 0),
    }


def _verdict(row: Any) -> VerdictRecord:
    fields = {name: value for name, value in row.items() if name != "key"}
    return VerdictRecord(**fields | {"status": SuspectStatus(row["status"])})


def _suspect(row: Any) -> SuspectRecord:
    fields = {name: value for name, value in row.items() if name != "key"}
    return SuspectRecord(
        **fields
        | {
            "given": tuple(row["given"]),
            "expected": tuple(row["expected"]),
            "status": SuspectStatus(row["status"]),
            "seen": tuple(annotation_of(entry, {}) for entry in row["seen"]),
            # An earlier release gave no reason, and tagged every suspect.
            "reason": row["reason"] or "",
            "shown": row["shown"] is None or row["shown"],
        }
    )
