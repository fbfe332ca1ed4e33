"""Everything a workflow needs: a fake Label Studio and queue, a real database and real version folders."""

import functools
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.rules.loader import FolderRules
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.engine import Sql
from backend.adapters.versions.folders import VersionFolders
from backend.domain.label_errors.action import Action
from backend.domain.policy import LlmPolicy, Policy
from backend.domain.priorities.strategy import Strategy
from backend.ports import Deps
from backend.workflows.reconcile import reconcile
from backend.workflows.train import learn
from tests.fakes import FakeLabelStudio, FakeQueue

CONFIG = """<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text">
<Choice value="Positive"/><Choice value="Negative"/></Choices></View>"""
RULES = '''
from backend.domain.rules import labeling_function

@labeling_function(question="sentiment", labels=["Positive"])
def praises(task):
    """good"""
    return "Positive" if "good" in (task.text or "") else None

@labeling_function(question="sentiment", labels=["Negative"])
def complains(task):
    """bad"""
    return "Negative" if "bad" in (task.text or "") else None

@labeling_function(question="sentiment", labels=["Positive", "Negative"])
def rates(task):
    """rating"""
    return None if task.rating is None else "Positive" if task.rating > 5 else "Negative"
'''
SUBJECTS = ["plot", "cast", "music", "ending", "pace", "light", "dialogue", "humour"]


def nothing(step: str, done: int, total: int) -> None:
    """No one watches the progress."""


def reviews(n: int) -> list[dict[str, object]]:
    """Clear reviews; every fourth one has nothing that a rule knows."""
    rows: list[dict[str, object]] = []
    for number in range(n):
        positive = number % 2 == 0
        word = ("good", "fine")[number % 4 == 0] if positive else ("bad", "weak")[number % 4 == 1]
        row: dict[str, object] = {"text": f"A {word} film with {SUBJECTS[number % 8]} number {number}", "n": number}
        if number % 4 > 1:
            row["rating"] = 8 if positive else 3
        rows.append(row)
    return rows


@functools.cache
def empty_database() -> bytes:
    """An SQLite file that has all tables: to make them takes as long as a small reconcile."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/db.sqlite3"
        SqlDatabase(f"sqlite:///{path}", lambda: 0.0).projects()
        with closing(sqlite3.connect(path)) as connection:
            return connection.serialize()


class House:
    """Everything a workflow needs, and what a person would do."""

    KEY = "1.1767225600-aaaaaaaa"
    """Of its first project."""

    def __init__(self, folder: Path) -> None:
        (folder / "rules").mkdir()
        (folder / "rules" / "film.py").write_text(RULES)
        (folder / "db.sqlite3").write_bytes(empty_database())
        self.label_studio = FakeLabelStudio()
        self.queue = FakeQueue()
        self.clock = 1000.0
        self.llm_policy = LlmPolicy()
        self.strategy, self.top_tasks = Strategy.LEAST_CONFIDENCE, 5
        self.audit_share, self.label_budget = 0.0, 0
        self.check_budget, self.check_precision, self.check_action = 200, 0.2, Action.RELABEL
        sql = Sql(f"sqlite:///{folder}/db.sqlite3")
        self.folder = folder
        self.versions = VersionFolders(folder, sql)
        self.deps = Deps(
            label_studio=self.label_studio,
            database=SqlDatabase(sql, lambda: self.clock),
            versions=self.versions,
            rules=FolderRules(folder / "rules"),
            queue=self.queue,
            parse_label_config=parse_label_config,
            policy=lambda _: Policy(
                top_tasks=self.top_tasks,
                query_strategy=self.strategy,
                audit_share=self.audit_share,
                label_budget=self.label_budget,
                check_budget=self.check_budget,
                check_precision=self.check_precision,
                check_action=self.check_action,
                llm=self.llm_policy,
            ),
            now=lambda: self.clock,
        )
        self.project = self.label_studio.add_project(CONFIG, reviews(40))
        self.key = f"{self.project}.1767225600-aaaaaaaa"

    @property
    def fake(self):  # type: ignore[no-untyped-def] # tests look into the fake
        return self.label_studio.fakes[self.project]

    @property
    def task_ids(self) -> list[int]:
        return sorted(self.fake.tasks)

    def gold(self, task_id: int) -> str:
        number = self.fake.tasks[task_id].task.data["n"]
        return "Positive" if number % 2 == 0 else "Negative"

    def annotate(self, task_ids: list[int], wrong: tuple[int, ...] = ()) -> None:
        for task_id in task_ids:
            label = self.gold(task_id)
            if task_id in wrong:
                label = {"Positive": "Negative", "Negative": "Positive"}[label]
            self.label_studio.annotate(self.project, task_id, {"sentiment": (label,)})

    def version_folder(self, number: int) -> Path:
        """Where a version of the first project lies."""
        return self.folder / "projects" / self.key / f"v{number}"

    def learn(self) -> None:
        learn(self.deps, self.key, nothing, force=True)

    def reconcile(self) -> None:
        reconcile(self.deps, self.key, nothing)

    def shown(self, task_id: int) -> list[str]:
        """Labels that an annotator would see pre-selected."""
        stored = self.fake.predictions.get(task_id, [])
        mine = [item for item in stored if item.version == self.fake.info.model_version]
        assert len(mine) <= 1, "an annotator would find two predictions of one version"
        return [str(label) for item in mine for entry in item.result for label in entry["value"]["choices"]]


def prediction(task_id: int):  # type: ignore[no-untyped-def]
    from backend.domain.suggestions import Suggestion
    from backend.ports import Prediction

    return Prediction(task_id, Suggestion({"sentiment": ("Positive",)}, 0.9, {"sentiment": 0.9}, {}), 0.9)


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
