"""A project on the demo's Label Studio, and the people who work in it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import httpx
import pyarrow.parquet as pq
from rq.job import Job
from rq.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from backend.adapters.redis.job_views import view_of_job
from backend.adapters.redis.queue import DUE
from backend.entrypoints.run.label_studio import Account, make_token
from backend.entrypoints.sample import LABEL_CONFIG, load_gold, load_reviews
from tests.conftest import Annotations, Demo, wait_for

VERSION_S = 420
"""How long a version may take: a job that a busy Label Studio made fail twice begins again two minutes later."""


class Team:
    """A project, and the people who work in it."""

    def __init__(self, demo: Demo, project: int, task_ids: list[int]) -> None:
        self.demo = demo
        self.project = project
        self.task_ids = task_ids
        self.gold: dict[int, str] = {}

    @classmethod
    def with_reviews(cls, demo: Demo, n_tasks: int, n_labeled: int = 0, annotations: Annotations | None = None) -> Self:
        """A project of the sample's first reviews, with their gold labels.

        n_labeled: so many have been labeled, rightly. annotations: or what people said of each.
        """
        team = cls(demo, *demo.new_project(LABEL_CONFIG, []))
        team.add_reviews(n_tasks, n_labeled, annotations)
        return team

    def add_reviews(self, n_tasks: int, n_labeled: int = 0, annotations: Annotations | None = None) -> None:
        """Import the next ones."""
        reviews = load_reviews()[len(self.task_ids) :][:n_tasks]
        labels = gold_labels(reviews)
        said = annotations or {place: [{"result": result(labels[place])}] for place in range(n_labeled)}
        task_ids = self.demo.import_tasks(self.project, reviews, said)
        self.task_ids += task_ids
        self.gold |= dict(zip(task_ids, labels, strict=True))

    def task_of(self, text: str) -> int:
        return self.task_ids[[review["text"] for review in load_reviews()].index(text)]

    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/projects/{self.project}/")
        return found

    def annotations_of(self, task_id: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/api/tasks/{task_id}/annotations/")
        return found

    def get(self, path: str, **params: object) -> Any:
        with self.demo.api as api:
            return api.get(path, params=params).raise_for_status().json()  # type: ignore[arg-type]

    def annotate(self, task_id: int, label: str, annotator: httpx.Client | None = None) -> int:
        api = annotator or self.demo.api
        answer = api.post(f"/api/tasks/{task_id}/annotations/", json={"result": result(label)})
        return int(answer.raise_for_status().json()["id"])

    def change(self, annotation_id: int, label: str) -> None:
        with self.demo.api as api:
            api.patch(f"/api/annotations/{annotation_id}/", json={"result": result(label)}).raise_for_status()

    def next_task(self, annotator: httpx.Client | None = None) -> dict[str, Any]:
        """What "Label All Tasks" serves."""
        api = annotator or self.demo.api
        path = f"/api/dm/actions?id=next_task&project={self.project}"
        found: dict[str, Any] = api.post(path, json={"project": str(self.project)}).raise_for_status().json()
        return found

    def next_in_tab(self, title: str, annotator: httpx.Client) -> dict[str, Any]:
        """What "Label Tasks As Displayed" serves."""
        tab = self._tab(title)
        shown = {name: tab["data"][name] for name in ("ordering", "filters")}
        body = shown | {"selectedItems": {"all": True, "excluded": []}}
        path = f"/api/dm/actions?id=next_task&tabID={tab['id']}&project={self.project}"
        found: dict[str, Any] = annotator.post(path, json=body).raise_for_status().json()
        return found

    def versions(self) -> dict[str, int]:
        found: dict[str, int] = self.get(f"/api/projects/{self.project}/model-versions/")
        return found

    def predictions(self, version: str) -> dict[int, dict[str, Any]]:
        """Predictions of a version by task; fails when a task has two."""
        found: dict[int, dict[str, Any]] = {}
        for item in self.get("/api/predictions/", project=self.project):
            if item["model_version"] == version:
                assert item["task"] not in found, "two predictions of one version"
                found[item["task"]] = item
        return found

    def queue(self, version: str) -> list[dict[str, Any]]:
        """What a version's folder says of the open tasks, the most wanted first."""
        (folder,) = self.demo.folder.glob(f"**/projects/{self.project}.*/{version}")
        found: list[dict[str, Any]] = pq.read_table(folder / "predictions.parquet").to_pylist()
        return found

    def tab(self, title: str) -> list[dict[str, Any]]:
        """Tasks that a tab shows, in its order."""
        number = self._tab(title)["id"]
        found: list[dict[str, Any]] = self.get("/api/tasks/", view=number, project=self.project, fields="all")["tasks"]
        return found

    def _tab(self, title: str) -> dict[str, Any]:
        tabs = self.get("/api/dm/views/", project=self.project)
        return next(tab for tab in tabs if tab["data"]["title"] == title)

    def under_way(self) -> tuple[bool, bool]:
        """Whether jobs of this project wait for their time, and whether some are with the workers, at one moment.

        A job that ends has asked for the next one before, so none of both means that nothing is left to do. Fails when
        a job failed for good.
        """
        queue, rq = self.demo.queue, self.demo.queue.rq
        with queue.redis.pipeline(transaction=True) as reading:
            reading.zrange(DUE, 0, -1)
            reading.lrange(rq.key, 0, -1)
            reading.lrange(rq.intermediate_queue_key, 0, -1)
            for registry in (ScheduledJobRegistry, StartedJobRegistry, FailedJobRegistry):
                reading.zrange(registry(queue=rq).key, 0, -1)
            due, *busy, failed = reading.execute()
        assert not (found := self._mine(failed)), [view_of_job(job) for job in found]
        asked = any(member.split(b"|")[1].startswith(self._prefix) for member in due)
        return asked, bool(self._mine([member for members in busy for member in members]))

    def _mine(self, members: Sequence[bytes]) -> list[Job]:
        """This project's jobs among members of rq's lists; those of running ones name the run, too."""
        ids = [member.decode().partition(":")[0] for member in members]
        jobs = Job.fetch_many(ids, connection=self.demo.queue.redis, serializer=JSONSerializer)
        return [job for job in jobs if job is not None and job.args[1].encode().startswith(self._prefix)]

    @property
    def _prefix(self) -> bytes:
        return f"{self.project}.".encode()

    def reaches(self, version: str) -> None:
        """Wait until Label Studio shows suggestions of a version."""

        def is_shown() -> bool:
            # To describe a project takes Label Studio longer than most answers: the suggestions would wait for that.
            _, running = self.under_way()
            return not running and bool(self.info()["model_version"] == version)

        wait_for(is_shown, VERSION_S, f"{version} of {self.project}", each_s=0.5)

    def connect(self) -> None:
        """Connect the project; its first version is shown, and nothing is due."""
        self.demo.prelabel("connect", str(self.project))
        self.reaches("v1")
        self.settle()

    def next_version(self) -> str:
        """Name of the version that a training would make now."""
        return f"v{int(self.info()['model_version'].removeprefix('v')) + 1}"

    def settle(self) -> None:
        """Wait until everything that follows from what was done has happened: trained, checked, and nothing is due.

        Label Studio calls webhooks before it answers, so what was done is known here. What only waits for its time
        (the quiet before a training, the rest after a look at the project) comes at once.
        """

        def settled() -> bool:
            asked, running = self.under_way()
            if asked and not running:
                self._let_time_pass()
            return not asked and not running

        wait_for(settled, VERSION_S, "a settled project")

    def _let_time_pass(self) -> None:
        redis = self.demo.queue.redis
        for member in cast("list[bytes]", redis.zrange(DUE, 0, -1)):
            if member.split(b"|")[1].startswith(self._prefix):
                redis.zadd(DUE, {member: time.time()}, xx=True, lt=True)
        for resting in redis.scan_iter(f"prelabel:resting:*:{self.project}.*"):
            redis.delete(resting)


def gold_labels(reviews: Sequence[Mapping[str, object]]) -> list[str]:
    """What is right for each of the sample's reviews."""
    gold = load_gold()
    return [gold[str(review["id"])] for review in reviews]


def result(label: str) -> list[dict[str, Any]]:
    return [{"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def another_annotator(demo: Demo) -> httpx.Client:
    """Someone else who works in the demo's organization."""
    return demo.client(another_token(demo))


def another_token(demo: Demo) -> str:
    """The personal access token of someone else."""
    account = Account(f"annotator{time.time_ns()}@example.com", "a-long-password-2")
    with demo.api as api:
        link = api.get("/api/invite").raise_for_status().json()["invite_url"]
    with httpx.Client(base_url=demo.url, follow_redirects=True, timeout=60) as visitor:
        visitor.get(link)
        form = {
            "email": account.email,
            "password": account.password,
            "csrfmiddlewaretoken": visitor.cookies["csrftoken"],
        }
        visitor.post(link, data=form, headers={"Referer": demo.url}).raise_for_status()
    return make_token(demo.url, account)
