"""The scheduler's regular jobs with a real Redis, database and model folder that is partly broken."""

import asyncio
import threading
import time
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from backend.adapters.redis.event_requests import EventRequests
from backend.adapters.redis.queue import DUE, request_member
from backend.adapters.sql.label_studios import mark_of_address
from backend.bootstrap import App, build
from backend.entrypoints import jobs
from backend.entrypoints.run.scheduler import request_regular_jobs, schedule
from backend.ports import (
    ALL_PROJECTS,
    ANSWERED,
    FORCED,
    LET_GO,
    PLAIN,
    REGULAR,
    Deps,
    Hold,
    Job,
    JobOptions,
    ProjectRecord,
)
from backend.settings import Settings
from tests.conftest import wait_for

URL = "http://localhost:1"
GOOD, BROKEN = (f"{number}.1767225600-{mark_of_address(URL)}" for number in (1, 2))


@pytest.fixture
def environment(tmp_path: Path, clean_redis_url: str) -> dict[str, str]:
    return {"MODEL_DIR": str(tmp_path), "REDIS_URL": clean_redis_url, "LABEL_STUDIO_URL": URL}


@pytest.fixture
def app(environment: dict[str, str]) -> App:
    app = build(Settings.model_validate(environment))
    for key in (BROKEN, GOOD):
        app.database.save_project(ProjectRecord(key, 1))
    app.versions.set_current(GOOD, 1)
    app.settle_mark()
    (Path(environment["MODEL_DIR"]) / "projects" / BROKEN / "current").mkdir(parents=True)
    return app


def due(redis_url: str) -> set[str]:
    return {member.decode() for member in cast("list[bytes]", Redis.from_url(redis_url).zrange(DUE, 0, -1))}


def test_a_project_whose_folder_cant_be_read_costs_the_others_nothing(app: App, clean_redis_url: str) -> None:
    request_regular_jobs(app)
    assert due(clean_redis_url) == {
        request_member(Job.RECONCILE, GOOD, REGULAR),
        request_member(Job.CHECK, GOOD),
        request_member(Job.RECONCILE, BROKEN, REGULAR),
    }


def test_the_scheduler_outlives_an_error_nobody_thought_of(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def fail_once() -> None:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise OSError("disk full")

    monkeypatch.setattr("backend.entrypoints.run.scheduler.AFTER_ERROR_S", 0.01)
    monkeypatch.setattr(app.queue, "beat", fail_once)
    stop = threading.Event()
    running = threading.Thread(target=schedule, args=(app, stop))
    running.start()
    deadline = time.monotonic() + 20
    while len(calls) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    running.join()
    assert len(calls) >= 3


class Clock:
    """A clock that somebody sets; the one that nobody sets goes on."""

    def __init__(self) -> None:
        self.set_by_s = 0.0

    def time(self) -> float:
        return time.time() + self.set_by_s

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.mark.parametrize("set_by_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_neither_holds_up_requests_nor_hurries_them(
    app: App, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch, set_by_s: float
) -> None:
    clock, redis = Clock(), Redis.from_url(clean_redis_url)
    for module in ("backend.adapters.redis.queue", "backend.entrypoints.run.scheduler"):
        monkeypatch.setattr(f"{module}.time", clock)
    later = request_member(Job.TRAIN, GOOD, ANSWERED)
    app.queue.request(Job.TRAIN, GOOD, delay_s=1000, options=ANSWERED)
    stop = threading.Event()
    running = threading.Thread(target=schedule, args=(app, stop))
    running.start()
    try:
        wait_for(
            lambda: request_member(Job.CHECK, GOOD) not in due(clean_redis_url) and app.queue.rq.count > 0,
            60,
            "the first jobs",
        )
        app.queue.request(Job.ROLLBACK, GOOD, delay_s=3)
        clock.set_by_s = set_by_s
        wait_for(
            lambda: request_member(Job.ROLLBACK, GOOD) not in due(clean_redis_url), 60, "what was due in 3 seconds"
        )
        at = cast("float", redis.zscore(DUE, later))
        assert at - clock.time() == pytest.approx(1000, abs=100)
    finally:
        stop.set()
        running.join()


def test_a_look_at_all_projects_asks_for_each(
    app: App, environment: dict[str, str], clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    jobs._app.cache_clear()
    jobs.run(Job.RECONCILE.value, ALL_PROJECTS, 0)
    jobs._app.cache_clear()
    assert due(clean_redis_url) == {request_member(Job.RECONCILE, GOOD), request_member(Job.RECONCILE, BROKEN)}


def test_projects_of_another_label_studio_are_left_alone(
    app: App, environment: dict[str, str], clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app.database.save_project(ProjectRecord("3.1767225600-abcdef01", 3))
    request_regular_jobs(app)
    assert not any("abcdef01" in member for member in due(clean_redis_url))
    jobs._app.cache_clear()
    assert jobs.run(Job.RECONCILE.value, "3.1767225600-abcdef01", {}).startswith("not run")
    jobs._app.cache_clear()
    assert app.database.project("3.1767225600-abcdef01") is not None, "its state is kept"


def test_a_worker_finds_out_first_which_label_studio_has_this_address(
    environment: dict[str, str], clean_redis_url: str
) -> None:
    moved = build(Settings.model_validate(environment | {"LABEL_STUDIO_URL": "http://localhost:2"}))
    moved.database.save_project(ProjectRecord("3.1767225600-abcdef01", 3))
    request_regular_jobs(moved)
    assert due(clean_redis_url) == {request_member(Job.RECONCILE, ALL_PROJECTS)}


ROLLBACK_2, ROLLBACK_3 = (Job.ROLLBACK, JobOptions(version=2)), (Job.ROLLBACK, JobOptions(version=3))
RETRAIN, LET = (Job.TRAIN, FORCED), (Job.ROLLBACK, LET_GO)


@pytest.mark.parametrize(
    ("asked", "held", "trains"),
    [
        ([ROLLBACK_2, ROLLBACK_3], 3, False),
        ([ROLLBACK_3, ROLLBACK_2, ROLLBACK_3], 3, False),
        ([ROLLBACK_2, LET], None, False),
        ([LET, ROLLBACK_2], 2, False),
        ([RETRAIN, ROLLBACK_2], 2, False),
        ([ROLLBACK_2, RETRAIN], None, True),
    ],
)
def test_what_a_person_asked_for_last_counts_in_whatever_order_jobs_begin(
    app: App,
    environment: dict[str, str],
    clean_redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[tuple[Job, JobOptions]],
    held: int | None,
    trains: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Label Studio isn't asked: what becomes of the hold is what counts here.
    trained: list[bool] = []
    monkeypatch.setattr(jobs, "rollback", lambda deps, key, number, _: deps.database.save_hold(key, hold_at(number)))

    def learn(deps: Deps, key: str, *_: object, by_person: bool, **__: object) -> None:
        if by_person:
            deps.database.save_hold(key, None)
            trained.append(True)

    monkeypatch.setattr(jobs, "learn", learn)
    app.database.save_hold(GOOD, hold_at(1))
    jobs._app.cache_clear()
    with app.queue.lock(GOOD):
        for job, options in asked:
            app.queue.request(job, GOOD, options=options)
            if (job, options) != asked[-1]:
                # A worker takes it, and finds the project busy.
                answer = jobs.run(job.value, GOOD, options.to_json())
                assert answer == "the project is busy: asked again"
    # Those that were asked for first begin last.
    for job, options in reversed(dict.fromkeys(asked)):
        jobs.run(job.value, GOOD, options.to_json())
    jobs._app.cache_clear()
    found = app.database.hold(GOOD)
    assert (found and found.number) == held
    assert trained == [True] * trains


def test_a_job_takes_over_what_only_an_earlier_release_knew(
    app: App, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jobs, "reconcile", lambda *_: None)
    folder = Path(environment["MODEL_DIR"]) / "projects" / GOOD
    (folder / "current").write_text("2")
    (folder / "settings.json").write_text('{"top_tasks": 3}')
    jobs._app.cache_clear()
    jobs.run(Job.RECONCILE.value, GOOD, PLAIN.to_json())
    jobs._app.cache_clear()
    for name in ("current", "settings.json"):
        (folder / name).unlink()
    assert (app.versions.current(GOOD), app.deps.policy(GOOD).top_tasks) == (2, 3)


def hold_at(number: int) -> Hold | None:
    return Hold(number, 0.0) if number else None


def test_start_training_in_label_studio_is_a_wish_as_well(app: App, clean_redis_url: str) -> None:
    app.queue.request(Job.ROLLBACK, GOOD, options=JobOptions(version=2))
    asyncio.run(EventRequests(clean_redis_url).request(Job.TRAIN, GOOD, options=FORCED))
    assert app.queue.is_overtaken(Job.ROLLBACK, GOOD, JobOptions(version=2))
    assert not app.queue.is_overtaken(Job.TRAIN, GOOD, FORCED)
    # What no person asked for overtakes nothing.
    app.queue.request(Job.TRAIN, GOOD)
    asyncio.run(EventRequests(clean_redis_url).request(Job.RECONCILE, GOOD))
    assert not app.queue.is_overtaken(Job.TRAIN, GOOD, FORCED)
