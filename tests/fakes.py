"""Fakes behind ports. `tests/contract` holds each to the same tests as the real thing."""

import copy
import itertools
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.adapters.label_studio.json import format_prediction
from backend.domain.outside import is_word
from backend.domain.questions import Question
from backend.domain.tasks import Annotation, Answer, MirroredTask, Origin, Task
from backend.errors import LabelStudioError, ProjectMissing
from backend.ports import PLAIN, Connection, Job, JobOptions, Prediction, ProjectInfo, Tab, TagPlace, Webhook

PAGE_SIZE = 16
"""Small, so that tests meet a second page."""
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class StoredPrediction:
    version: str
    prediction: Prediction
    result: list[dict[str, object]]


@dataclass
class FakeProject:
    info: ProjectInfo
    tasks: dict[int, MirroredTask] = field(default_factory=dict)
    predictions: dict[int, list[StoredPrediction]] = field(default_factory=dict)
    tabs: dict[int, Tab] = field(default_factory=dict)
    connections: dict[int, Connection] = field(default_factory=dict)
    webhooks: dict[int, tuple[Webhook, str]] = field(default_factory=dict)
    """With the secret that each sends."""
    overlap: int = 1


class FakeLabelStudio:
    """Label Studio in memory, with the habits that matter to us: what it drops, what it refuses, what it bumps."""

    url = "http://fake"

    def __init__(self) -> None:
        self.fakes: dict[int, FakeProject] = {}
        self.calls: list[str] = []
        self.fail_next: dict[str, Exception] = {}
        self._ids = itertools.count(1)
        self._clock = itertools.count(1)

    # What a test does as a person

    def add_project(self, label_config: str, tasks: Sequence[Mapping[str, object]] = ()) -> int:
        number = next(self._ids)
        info = ProjectInfo(
            number, f"{number}.1767225600", "A project", label_config, "", True, "Sequential sampling", 0
        )
        self.fakes[number] = FakeProject(info)
        self.add_tasks(number, tasks)
        return number

    def add_tasks(self, project_id: int, tasks: Sequence[Mapping[str, object]]) -> list[int]:
        fake = self.fakes[project_id]
        ids = [next(self._ids) for _ in tasks]
        for number, data in zip(ids, tasks, strict=True):
            fake.tasks[number] = MirroredTask(Task(number, dict(data), True, self._now()))
        return ids

    def delete_task(self, project_id: int, task_id: int) -> None:
        del self.fakes[project_id].tasks[task_id]
        self.fakes[project_id].predictions.pop(task_id, None)

    def annotate(
        self,
        project_id: int,
        task_id: int,
        answers: Mapping[str, Answer],
        *,
        skipped: bool = False,
        annotator: int = 1,
        origins: Mapping[str, Origin] | None = None,
        lead_time_s: float | None = 8.0,
    ) -> int:
        """Add an annotation, or change the annotator's own one. `origins`: of a pre-filled form."""
        fake = self.fakes[project_id]
        item = fake.tasks[task_id]
        mine = [entry for entry in item.annotations if entry.annotator_id == annotator]
        number = mine[0].id if mine else next(self._ids)
        new = Annotation(
            number, task_id, annotator, dict(answers), skipped, self._now(), dict(origins or {}), lead_time_s
        )
        others = tuple(entry for entry in item.annotations if entry.id != number)
        n_done = sum(not entry.skipped for entry in (*others, new))
        task = replace(item.task, is_open=n_done < fake.overlap, updated_at=new.updated_at)
        fake.tasks[task_id] = MirroredTask(task, (*others, new))
        return number

    def delete_annotations(self, project_id: int, task_id: int) -> None:
        item = self.fakes[project_id].tasks[task_id]
        task = replace(item.task, is_open=True, updated_at=self._now())
        self.fakes[project_id].tasks[task_id] = MirroredTask(task)

    # The port

    def whoami(self) -> str:
        return "fake@example.com"

    def people(self) -> dict[int, str]:
        self._call("people")
        return {1: "one@example.com", 2: "two@example.com"}

    def project(self, project_id: int) -> ProjectInfo:
        self._call("project")
        if project_id not in self.fakes:
            raise ProjectMissing("no such project", 404)
        fake = self._fake(project_id)
        return replace(fake.info, n_tasks=len(fake.tasks))

    def update_project(self, project_id: int, changes: Mapping[str, object]) -> None:
        self._call("update_project")
        fake = self._fake(project_id)
        version = changes.get("model_version")
        titles = {item.title for item in fake.connections.values()}
        if version and version not in self.versions(project_id) and version not in titles:
            raise LabelStudioError("Model version doesn't exist either as live model or as static predictions", 400)
        names = {"show_collab_predictions": "shows_predictions"}
        renamed: dict[str, Any] = {names.get(name, name): value for name, value in changes.items()}
        fake.info = replace(fake.info, **renamed)

    def tasks(self, project_id: int, since: str | None = None) -> Iterator[list[MirroredTask]]:
        self._call("tasks" if since is None else "tasks since")
        start = 0
        # Each page is cut out of what there is when it is asked for.
        while found := self._since(project_id, since)[start : start + PAGE_SIZE]:
            yield copy.deepcopy(found)
            start += PAGE_SIZE

    def _since(self, project_id: int, since: str | None) -> list[MirroredTask]:
        known = self._fake(project_id).tasks.values()
        if since is None:
            return sorted(known, key=lambda item: item.task.id)
        return sorted(
            (item for item in known if item.task.updated_at > since),
            key=lambda item: (item.task.updated_at, item.task.id),
        )

    def newest_change(self, project_id: int) -> str:
        self._call("newest_change")
        return max((item.task.updated_at for item in self._fake(project_id).tasks.values()), default="")

    def task_ids(self, project_id: int) -> set[int]:
        self._call("task_ids")
        return set(self._fake(project_id).tasks)

    def push_one(self, version: str, prediction: Prediction, questions: Sequence[Question]) -> None:
        self._call("push_one")
        fakes = [fake for fake in self.fakes.values() if prediction.task_id in fake.tasks]
        if not fakes:
            raise LabelStudioError("task doesn't exist", 400)
        self._store(fakes[0], version, prediction, questions)

    def push_all(
        self, project_id: int, version: str, predictions: Sequence[Prediction], questions: Sequence[Question]
    ) -> int:
        self._call("push_all")
        fake = self._fake(project_id)
        if any(item.task_id not in fake.tasks for item in predictions):
            raise LabelStudioError("unknown task", 400)
        # The bulk endpoint drops what doesn't validate.
        valid = self.acceptable(fake.info.label_config, predictions, questions)
        for item in valid:
            self._store(fake, version, item, questions)
        return len(valid)

    def acceptable(
        self, label_config: str, predictions: Sequence[Prediction], questions: Sequence[Question]
    ) -> list[Prediction]:
        return [
            item
            for item in predictions
            if 0 <= item.score <= 1
            and all(
                item.withheld
                or (
                    f'"{question.name}"' in label_config
                    and all(f'"{label}"' in label_config for label in item.suggestion.answers.get(question.name, ()))
                )
                for question in questions
            )
        ]

    def predicted_tasks(self, project_id: int, version: str, among: Collection[int] | None = None) -> set[int]:
        found = self._fake(project_id).predictions
        of_version = {task_id for task_id, stored in found.items() if any(item.version == version for item in stored)}
        return of_version if among is None else of_version & set(among)

    def versions(self, project_id: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        for stored in self._fake(project_id).predictions.values():
            for item in stored:
                counts[item.version] = counts.get(item.version, 0) + 1
        return counts

    def remove_version(self, project_id: int, version: str) -> int:
        self._call("remove_version")
        fake = self._fake(project_id)
        count = self.versions(project_id).get(version, 0)
        for task_id, stored in fake.predictions.items():
            fake.predictions[task_id] = [item for item in stored if item.version != version]
        if fake.info.model_version == version:
            fake.info = replace(fake.info, model_version="")
        return count

    def tag(self, project_id: int, key: str, value: str | float, task_ids: Sequence[int]) -> None:
        if not task_ids:
            return
        self._call("tag")
        fake = self._fake(project_id)
        for task_id in task_ids:
            if task_id in fake.tasks:
                item = fake.tasks[task_id]
                fake.tasks[task_id] = replace(item, task=replace(item.task, data={**item.task.data, key: value}))

    def tagged(self, project_id: int, key: str, word: str) -> set[int]:
        found = self._fake(project_id).tasks.values()
        return {item.task.id for item in found if is_word(item.task.data.get(key), word)}

    def tags(self, project_id: int, names: Sequence[str]) -> dict[TagPlace, object]:
        self._call("tags")
        known = self._fake(project_id).tasks.values()
        return {
            (item.task.id, name): item.task.data[name]
            for item in known
            for name in names
            if item.task.data.get(name) not in (None, "")
        }

    def tabs(self, project_id: int) -> list[Tab]:
        return [Tab(tab.title, (), (), id=number) for number, tab in self._fake(project_id).tabs.items()]

    def create_tab(self, project_id: int, tab: Tab) -> int:
        self._call("create_tab")
        number = next(self._ids)
        self._fake(project_id).tabs[number] = replace(tab, id=number)
        return number

    def connections(self, project_id: int) -> list[Connection]:
        return list(self._fake(project_id).connections.values())

    def connect(
        self,
        project_id: int,
        url: str,
        title: str,
        basic_auth: tuple[str, str] | None,  # noqa: ARG002
        former: Collection[str] = (),
    ) -> None:
        self._call("connect")
        fake = self._fake(project_id)
        same = [number for number, item in fake.connections.items() if item.url == url]
        old = [number for number, item in fake.connections.items() if item.url in former and item.url != url]
        for number in old if same else old[1:]:
            del fake.connections[number]
        if same:
            return
        if old:
            fake.connections[old[0]] = Connection(old[0], url, title)
        else:
            number = next(self._ids)
            fake.connections[number] = Connection(number, url, title)
            # Label Studio makes one too, which sends no secret.
            fake.webhooks[number] = (Webhook(number, f"{url}/webhook", True, False, True), "")
        if not fake.info.model_version:
            fake.info = replace(fake.info, model_version=title)

    def webhooks(self, project_id: int, secret: str) -> list[Webhook]:
        found = self._fake(project_id).webhooks.values()
        return [replace(webhook, has_secret=sent == secret) for webhook, sent in found]

    def set_webhook(self, project_id: int, webhook_id: int | None, url: str, secret: str) -> None:
        self._call("set_webhook")
        number = webhook_id or next(self._ids)
        self._fake(project_id).webhooks[number] = (Webhook(number, url, True, True, True), secret)

    def remove_webhook(self, webhook_id: int) -> None:
        self._call("remove_webhook")
        for fake in self.fakes.values():
            fake.webhooks.pop(webhook_id, None)

    def _fake(self, project_id: int) -> FakeProject:
        if project_id not in self.fakes:
            raise LabelStudioError("not found", 404)
        return self.fakes[project_id]

    def _store(self, fake: FakeProject, version: str, prediction: Prediction, questions: Sequence[Question]) -> None:
        stored = StoredPrediction(version, prediction, format_prediction(prediction, version, questions)["result"])
        fake.predictions.setdefault(prediction.task_id, []).append(stored)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail_next:
            raise self.fail_next.pop(name)

    def _now(self) -> str:
        # Minutes apart, so that the overlap of incremental reads doesn't show everything again.
        moment = START + timedelta(minutes=next(self._clock))
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class FakeQueue:
    """Requests in memory; a test looks at `requests` or lets `due` time pass."""

    def __init__(self) -> None:
        self.requests: dict[tuple[Job, str, JobOptions], float] = {}
        self.held: set[str] = set()

    def request(
        self, job: Job, key: str, *, delay_s: float = 0.0, postpone: bool = False, options: JobOptions = PLAIN
    ) -> None:
        at = time.time() + delay_s
        place = (job, key, options)
        self.requests[place] = at if postpone else min(at, self.requests.get(place, at))

    @contextmanager
    def lock(self, key: str) -> Iterator[bool]:
        if key in self.held:
            yield False
            return
        self.held.add(key)
        try:
            yield True
        finally:
            self.held.discard(key)

    def take(self) -> list[Job]:
        """All requests, earliest first; forgets them."""
        found = [job for (job, _, _), _ in sorted(self.requests.items(), key=lambda entry: entry[1])]
        self.requests.clear()
        return found
