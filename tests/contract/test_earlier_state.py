"""Today's code goes on with what an earlier release left behind: see `tests/frozen/keep_state.py`."""

import inspect
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.adapters.backup import Backup
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.project_settings import ProjectSettings
from backend.adapters.redis.queue import RedisQueue
from backend.adapters.rules.loader import FolderRules
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.engine import Sql
from backend.adapters.versions.folders import VersionFolders
from backend.domain.policy import Policy
from backend.entrypoints.run.processes import redis_program
from backend.ports import Deps, Job, VersionStatus
from backend.settings import Settings
from backend.workflows.rollback import rollback
from backend.workflows.suggest import answer
from backend.workflows.train import learn
from tests.conftest import wait_for
from tests.fakes import FakeLabelStudio, FakeProject, FakeQueue
from tests.frozen.projects import LONG_S, RULES

ARCHIVES = sorted((Path(__file__).parents[1] / "frozen" / "earlier").glob("*.tar.xz"))
NOW = 1_800_001_000.0


@pytest.fixture(params=ARCHIVES, ids=[path.name for path in ARCHIVES])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unpacked archive."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "frozen.py").write_text(RULES)
    return tmp_path


def expected(left: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((left / "expected.json").read_text())
    return found


def deps_on(left: Path, models: Path) -> Deps:
    """The workflows' parts on an old MODEL_DIR, with a Label Studio that holds what its mirror says."""
    database = SqlDatabase(f"sqlite:///{models}/prelabel.sqlite3", lambda: NOW)
    label_studio = FakeLabelStudio()
    for record in database.projects():
        number = label_studio.add_project(record.label_config)
        info = replace(label_studio.fakes.pop(number).info, id=record.project_id, uid=record.key.partition("-")[0])
        tasks = {item.task.id: item for item in database.tasks(record.key)}
        label_studio.fakes[record.project_id] = FakeProject(info, tasks)
    return Deps(
        label_studio=label_studio,
        database=database,
        versions=VersionFolders(models, f"sqlite:///{models}/prelabel.sqlite3"),
        rules=FolderRules(left / "rules"),
        queue=FakeQueue(),
        parse_label_config=parse_label_config,
        policy=lambda _: Policy(top_tasks=8, choice_s=LONG_S, audit_share=0.1),
        now=lambda: NOW,
    )


def assert_suggests_as_before(deps: Deps, key: str, results: dict[str, Any]) -> None:
    """The model of the version answers what it had answered when it was trained."""
    (record,) = [item for item in deps.database.projects() if item.key == key]
    tasks = {item.task.id: item.task for item in deps.database.tasks(key)}
    asked = [item["task"] for item in results["queue"]]
    answers = answer(deps, key, record.label_config, [tasks[task_id].data for task_id in asked], 60.0)
    assert answers.problem == ""
    assert answers.version == f"v{results['version']}"
    assert [dict(item.answers) for item in answers.suggestions] == [
        {name: tuple(labels) for name, labels in item["answers"].items()} for item in results["queue"]
    ]
    confidence = [item.per_question for item in answers.suggestions]
    assert confidence == [pytest.approx(item["confidence"], abs=1e-6) for item in results["queue"]]


def test_versions_and_database_of_an_earlier_release_are_used_on(left: Path) -> None:
    deps = deps_on(left, left / "models")
    results = expected(left)
    assert {record.key for record in deps.database.projects()} == set(results)
    for key, result in results.items():
        assert deps.versions.current(key) == result["version"]
        assert [item.status for item in deps.database.versions(key)] == [VersionStatus.RETIRED, VersionStatus.LIVE]
        assert [item.task_id for item in deps.versions.predictions(key, result["version"])] == [
            item["task"] for item in result["queue"]
        ]
        assert_suggests_as_before(deps, key, result)
        report = deps.database.check_report(key)
        assert report.version == f"v{result['version']}"
        assert report.data_issues.listed
        suspects = {(item.task_id, item.question, item.given, item.expected) for item in deps.database.suspects(key)}
        assert suspects == {
            (item["task"], item["question"], tuple(item["given"]), tuple(item["expected"]))
            for item in result["suspects"]
        }


def test_what_was_in_files_only_is_in_both_places_after_the_next_job(left: Path) -> None:
    models = left / "models"
    key, results = min(expected(left).items())
    folder = models / "projects" / key
    (folder / "settings.json").write_text('{"top_tasks":3}')
    deps, sql = deps_on(left, models), Sql(f"sqlite:///{models}/prelabel.sqlite3")
    settings = ProjectSettings(sql, models, Policy())
    assert settings.policy(key).top_tasks == 3
    VersionFolders(models, sql).settle(key)
    settings.settle(key)
    for name in ("current", "settings.json"):
        (folder / name).unlink()
    assert (deps.versions.current(key), settings.policy(key).top_tasks) == (results["version"], 3)
    learn(deps, key, nothing, force=True)
    settings.save(key, '{"top_tasks": 4}')
    # What the earlier release would read, if it came back.
    assert (folder / "current").read_text() == "3"
    assert (folder / "settings.json").read_text() == '{"top_tasks":4}'


def test_training_goes_on_from_an_earlier_release_and_can_be_rolled_back(left: Path) -> None:
    deps = deps_on(left, left / "models")
    key = min(expected(left))
    learn(deps, key, nothing, force=True)
    assert deps.versions.current(key) == 3
    rollback(deps, key, 1, nothing)
    assert deps.versions.current(key) == 1


def test_a_backup_of_an_earlier_release_is_restored(left: Path, tmp_path: Path) -> None:
    empty = tmp_path / "restored"
    Backup(Sql(f"sqlite:///{empty}/prelabel.sqlite3"), empty).restore(left / "backup.zip")
    deps = deps_on(left, empty)
    for key, result in expected(left).items():
        assert_suggests_as_before(deps, key, result)
    assert (empty / "webhook-secret").read_text() == (left / "models" / "webhook-secret").read_text()


@pytest.fixture
def queue(left: Path) -> Iterator[RedisQueue]:
    """The queue of an earlier release, in today's embedded server."""
    program = redis_program(Settings(model_dir=left / "models", label_studio_url="http://fake"))
    server = subprocess.Popen(program.command, stdout=subprocess.DEVNULL)
    try:
        wait_for(program.ready, 20, "the embedded server")
        yield RedisQueue(f"unix://{left}/models/redis/redis.sock", 60)
    finally:
        server.kill()
        server.wait()


def test_jobs_that_an_earlier_release_left_waiting_can_run(left: Path, queue: RedisQueue) -> None:
    first, second = sorted(expected(left))
    waiting = {(job.job, job.key, job.status) for job in queue.jobs()}
    assert waiting == {
        (Job.TRAIN.value, first, "queued"),
        (Job.RECONCILE.value, first, "requested"),
        (Job.ROLLBACK.value, second, "requested"),
    }
    (job,) = queue.rq.get_jobs()
    # What a worker calls, with what it would call it with.
    called = inspect.signature(job.func).bind(*job.args)
    assert called.arguments["key"] == first
    assert queue.move_due() == 2, "the others are due since the day when the archive was made"


def nothing(step: str, done: int, total: int) -> None:
    """No one watches."""
