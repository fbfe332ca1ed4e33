"""A project whose jobs fail: every command says so first, on a real Redis."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from backend.adapters.redis import running_job
from backend.adapters.redis.queue import RedisQueue
from backend.entrypoints.connect import what_comes_next
from backend.entrypoints.doctor.examine import _examine_project
from backend.errors import ConfigurationError
from backend.ports import Job, ProjectRecord
from tests.commands import app_of, run, use
from tests.unit.house import House


def failing_job(job: str, key: str, argument: int) -> None:
    """A job that Label Studio's data ends."""
    running_job.without_retries()
    raise OverflowError("int too large\x1b]0;x\x07 to convert")


def working_job(job: str, key: str, argument: int) -> None:
    """The same, mended."""


def work(queue: RedisQueue, function: str, job: Job, key: str) -> None:
    name = f"tests.integration.test_failing_jobs.{function}"
    queue.rq.enqueue_call(name, args=(job.value, key, 0), job_id=f"{function}-{job}-{key[:1]}")
    SimpleWorker([queue.rq], connection=queue.redis, serializer=JSONSerializer).work(burst=True, logging_level="ERROR")


def test_all_commands_name_the_failing_job_and_its_reason_first(
    tmp_path: Path, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, queue = House(tmp_path), RedisQueue(clean_redis_url, 60)
    house.deps.database.save_project(ProjectRecord(house.key, house.project, "Films"))
    app, project = app_of(house, queue), str(house.project)
    use(monkeypatch, app)
    assert run("status", project).endswith("can't tell yet: no task is known\n")
    assert what_comes_next(app, house.key).startswith("Its first suggestions come in a moment")

    work(queue, "failing_job", Job.RECONCILE, house.key)
    work(queue, "failing_job", Job.RECONCILE, "7.1-aaaaaaaa")
    reason = "OverflowError: int too large ]0;x to convert"
    for command in ("status", "versions", "jobs"):
        said = run(command, *([] if command == "jobs" else [project]))
        assert reason in " ".join(said.splitlines()[0].split()), said
        assert "\x1b" not in said
    said = run("status", project)
    assert said.startswith("Films (1): reconcile fails (last tried at ")
    assert "stop" not in said
    assert "project 7" in run("jobs")
    assert "project 7" not in run("versions", project)
    assert "Nothing new comes" in what_comes_next(app, house.key)
    monkeypatch.setattr(
        "backend.entrypoints.doctor.examine.WebhookSecret", lambda _: SimpleNamespace(read=lambda: "secret")
    )
    findings = {finding.name: finding for finding in _examine_project(app, house.project)}
    assert next(iter(findings)) == "Jobs"
    assert "OverflowError" in findings["Jobs"].detail
    assert "See Jobs above" in findings["Version"].fix

    work(queue, "working_job", Job.RECONCILE, house.key)
    assert "fails" not in run("status", project)
    assert {finding.name: finding.good for finding in _examine_project(app, house.project)}["Jobs"]
    house.learn()
    assert what_comes_next(app, house.key).startswith("It has suggestions of v1 already")


def test_only_a_version_that_exists_is_rolled_back_to(
    tmp_path: Path, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, queue = House(tmp_path), RedisQueue(clean_redis_url, 60)
    use(monkeypatch, app_of(house, queue))
    for version in ("v²", "²", "v9", "", "v-1", "-1", "v1.0", "9" * 5000, "V1", "v" * 300):
        with pytest.raises(ConfigurationError, match="There is no version"):
            run("rollback", str(house.project), "--", version)
    assert queue.jobs() == []
