"""Web service, Redis, database or scheduler killed, silent, locked or there twice."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator

import httpx
import pytest

from backend.entrypoints.run.processes import backend_programs
from backend.ports import FORCED, Job
from tests.conftest import Demo, wait_for
from tests.e2e.team import Team
from tests.faults.backend import BATCH, Backend, quick

AWAY_S = 60.0


@pytest.fixture(scope="module")
def team(demo: Demo, running: Backend) -> Iterator[Team]:
    made = Team.with_reviews(demo, 60)
    running.connect(made)
    running.settle(made)
    yield made
    running.forget(made)


def label(backend: Backend, team: Team, n: int) -> None:
    """The next tasks that nobody has labeled."""
    done = backend.outcome(team).annotations
    for place in [place for place in range(60) if place not in done][:n]:
        team.annotate(team.task_ids[place], team.gold[team.task_ids[place]])


def reasons(backend: Backend) -> str:
    """What `/ready` says is missing; "" when it is ready."""
    try:
        answer = backend.web("/ready")
    except httpx.HTTPError:
        return "the web service"
    assert answer.status_code == (503 if answer.json()["reasons"] else 200)
    return " ".join(answer.json()["reasons"])


@pytest.mark.timeout(900)
def test_a_killed_web_service_loses_events_and_no_label(backend: Backend, team: Team) -> None:
    before = len(backend.outcome(team).annotations)
    backend.kill("Web service")
    label(backend, team, BATCH)
    wait_for(lambda: not reasons(backend), 120, "the web service")
    backend.settle(team)
    assert len(backend.outcome(team).annotations) == before + BATCH


@pytest.mark.timeout(900)
@pytest.mark.parametrize("with_its_file", [True, False])
def test_a_killed_redis_loses_no_label_and_no_training(backend: Backend, team: Team, with_its_file: bool) -> None:
    before = backend.live(team)
    assert before is not None
    labeled = len(backend.outcome(team).annotations)
    label(backend, team, BATCH)
    backend.wait_for_stage(1, team)
    if not with_its_file:
        shutil.rmtree(backend.settings.redis_socket.parent / "appendonlydir", ignore_errors=True)
        (backend.settings.redis_socket.parent / "appendonly.aof").unlink(missing_ok=True)
    backend.kill("Redis")
    wait_for(lambda: not reasons(backend), 120, "Redis")
    wait_for(lambda: (backend.live(team) or before).n_labels == labeled + BATCH, 240, "the version")
    backend.settle(team)
    assert len(backend.outcome(team).annotations) == labeled + BATCH
    backend.assert_nothing_double(team)
    wait_for(lambda: backend.figure("prelabel_workers") == 2, 120, "both workers are known")


@pytest.mark.timeout(900)
def test_a_silent_redis_is_said_at_once_and_made_up_for(backend: Backend, team: Team) -> None:
    labeled = len(backend.outcome(team).annotations)
    pid = backend.supervisor.pids()["Redis"]
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        # None of these may hang as long as Redis does.
        assert "Redis" in reasons(backend)
        assert backend.figure("prelabel_up", 'part="redis"') == 0
        event = {"action": "ANNOTATION_CREATED", "project": backend.key(team).rsplit("-", 1)[0]}
        secret = (backend.settings.model_dir / "webhook-secret").read_text()
        url = f"http://127.0.0.1:{backend.settings.port}/webhook"
        answer = httpx.post(url, json=event, headers={"X-Webhook-Secret": secret}, timeout=60, trust_env=False)
        assert answer.status_code == 503
        assert "Redis doesn't answer" in answer.json()["detail"]
        for task_id in [task_id for task_id in team.task_ids if task_id][-3:]:
            team.annotate(task_id, team.gold[task_id])
        time.sleep(max(0.0, AWAY_S - (time.monotonic() - began)))
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not reasons(backend), 60, "Redis")
    backend.settle(team)
    assert len(backend.outcome(team).annotations) == labeled + 3


@pytest.mark.timeout(900)
def test_a_locked_database_is_waited_for(backend: Backend, team: Team) -> None:
    before = backend.live(team)
    assert before is not None
    lock = sqlite3.connect(backend.settings.model_dir / "prelabel.sqlite3", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        backend.app.queue.request(Job.TRAIN, backend.key(team), options=FORCED)

        def errors() -> str:
            return " ".join(job.error for job in backend.app.queue.jobs())

        wait_for(lambda: "database is locked" in errors(), 120, "a sentence for the operator")
        # Suggestions only read.
        assert backend.web("/ready").status_code == 200
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    # The job that failed is tried again, or asked for by a person.
    backend.app.queue.request(Job.TRAIN, backend.key(team), options=FORCED)
    wait_for(lambda: (backend.live(team) or before).number > before.number, 240, "the version")
    backend.settle(team)
    backend.assert_nothing_double(team)


@pytest.mark.timeout(900)
def test_two_schedulers_at_once_do_no_harm(backend: Backend, team: Team) -> None:
    before = backend.live(team)
    assert before is not None
    *_, scheduler = backend_programs(backend.settings, os.environ | backend.environment)
    backend.supervisor.start(quick(scheduler))
    label(backend, team, BATCH)
    wait_for(lambda: (backend.live(team) or before).number > before.number, 240, "the version")
    backend.settle(team)
    live = backend.live(team)
    assert live is not None
    assert live.number == before.number + 1, "one training"
    backend.assert_nothing_double(team)
