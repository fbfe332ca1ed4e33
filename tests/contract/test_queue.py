"""The Queue port, fake and real, and what the real one promises besides."""

import asyncio
import socket
import threading
import time
import zlib
from pathlib import Path
from typing import cast

import pytest
from redis import Redis
from rq import SimpleWorker
from rq.executions import Execution
from rq.job import JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from backend.adapters.redis import event_requests, locks, running_job
from backend.adapters.redis import queue as queue_module
from backend.adapters.redis.event_requests import EventRequests
from backend.adapters.redis.queue import DUE, SHIFTED, RedisQueue
from backend.entrypoints.run.worker import PrelabelWorker
from backend.errors import ConfigurationError
from backend.ports import REGULAR, Job, JobOptions, Queue
from tests.fakes import FakeQueue

KEY = "1.1767225600-abcdef01"


@pytest.fixture(params=["fake", "redis"])
def queue(request: pytest.FixtureRequest) -> Queue:
    return FakeQueue() if request.param == "fake" else RedisQueue(request.getfixturevalue("clean_redis_url"), 60)


@pytest.fixture
def real(clean_redis_url: str) -> RedisQueue:
    return RedisQueue(clean_redis_url, 60)


def due(queue: Queue) -> dict[str, float]:
    """Job -> seconds until it is due."""
    if isinstance(queue, FakeQueue):
        return {job.value: at - time.time() for (job, _, _), at in queue.requests.items()}
    assert isinstance(queue, RedisQueue)
    members = cast("list[tuple[bytes, float]]", queue.redis.zrange(DUE, 0, -1, withscores=True))
    return {member.decode().split("|")[0]: at - time.time() for member, at in members}


def test_requests_of_a_kind_become_one(queue: Queue) -> None:
    for _ in range(3):
        queue.request(Job.TRAIN, KEY)
    queue.request(Job.CHECK, KEY)
    assert set(due(queue)) == {"train", "check"}


def test_the_earlier_of_two_requests_counts(queue: Queue) -> None:
    queue.request(Job.TRAIN, KEY, delay_s=60)
    queue.request(Job.TRAIN, KEY, delay_s=5)
    queue.request(Job.TRAIN, KEY, delay_s=90)
    assert due(queue)["train"] == pytest.approx(5, abs=2)


def test_a_request_can_be_postponed(queue: Queue) -> None:
    queue.request(Job.TRAIN, KEY, delay_s=5)
    queue.request(Job.TRAIN, KEY, delay_s=60, postpone=True)
    assert due(queue)["train"] == pytest.approx(60, abs=2)


def test_only_one_holds_a_project(queue: Queue) -> None:
    with queue.lock(KEY) as first, queue.lock(KEY) as second, queue.lock("2.1-x") as other:
        assert (first, second, other) == (True, False, True)
    with queue.lock(KEY) as again:
        assert again


def test_a_lock_is_given_back_after_an_error(queue: Queue) -> None:
    with pytest.raises(ZeroDivisionError), queue.lock(KEY):
        raise ZeroDivisionError
    with queue.lock(KEY) as again:
        assert again


def test_only_what_is_due_moves(real: RedisQueue) -> None:
    real.request(Job.TRAIN, KEY, delay_s=60)
    real.request(Job.CHECK, KEY)
    assert real.move_due() == 1
    assert {(job.job, job.status) for job in real.jobs()} == {("train", "requested"), ("check", "queued")}


def test_one_job_waits_while_further_requests_come(real: RedisQueue) -> None:
    for _ in range(5):
        real.request(Job.TRAIN, KEY)
        real.move_due()
    assert real.rq.count == 1
    assert set(due(real)) == {"train"}, "the later request is kept until the waiting job has ended"


def test_no_second_job_begins_while_one_runs(real: RedisQueue) -> None:
    real.request(Job.TRAIN, KEY)
    real.move_due()
    job = real.rq.jobs[0]
    job.set_status(JobStatus.STARTED)
    with real.redis.pipeline() as pipeline:
        # As a worker begins it.
        running = Execution.create(job, ttl=60, pipeline=pipeline)
        pipeline.execute()
    real.request(Job.TRAIN, KEY)
    assert real.move_due() == 0
    with real.redis.pipeline() as pipeline:
        # It is called started still, but nobody watches over it: this must not hold up the project for ever.
        running.delete(job, pipeline)
        pipeline.execute()
    assert real.move_due() == 1


def test_a_project_that_was_just_read_rests(real: RedisQueue) -> None:
    real.rest(Job.RECONCILE, KEY, 60)
    for job in (Job.RECONCILE, Job.TRAIN):
        real.request(job, KEY)
    real.request(Job.RECONCILE, KEY.replace("1.", "2.", 1))
    assert real.move_due() == 2, "neither another job nor another project waits for it"
    assert set(due(real)) == {"reconcile"}
    real.rest(Job.RECONCILE, KEY, 0.001)
    time.sleep(0.1)
    assert real.move_due() == 1


def test_nobody_rests_for_longer_after_the_clock_was_set(real: RedisQueue) -> None:
    real.rest(Job.RECONCILE, KEY, 7200)
    real.request(Job.RECONCILE, KEY)
    assert real.move_due() == 0
    # Noted an hour ahead, just before the clock went back.
    real.redis.set(SHIFTED, 1, ex=3600)
    real.shift(-7200)
    assert real.move_due() == 1


def test_a_regular_look_is_not_taken_before_one_that_an_event_asked_for(real: RedisQueue) -> None:
    # What the first one finds counts as missed: no event had told of it.
    real.request(Job.RECONCILE, KEY, options=REGULAR)
    real.request(Job.RECONCILE, KEY, delay_s=0.3)
    assert real.move_due() == 0
    time.sleep(0.4)
    assert real.move_due() == 1
    assert list(real.rq.jobs[0].args) == ["reconcile", KEY, {}]
    assert due(real) == {}


def test_a_regular_look_does_not_wait_for_one_that_a_wrong_clock_put_off(real: RedisQueue) -> None:
    real.request(Job.RECONCILE, KEY, delay_s=86_400)
    real.request(Job.RECONCILE, KEY, options=REGULAR)
    assert real.move_due() == 1
    assert list(real.rq.jobs[0].args) == ["reconcile", KEY, {"regular": True}]


def test_a_crowd_of_events_waits_for_a_slow_redis(real: RedisQueue, clean_redis_url: str) -> None:
    events = EventRequests(clean_redis_url)

    async def crowd() -> None:
        await asyncio.gather(*(events.request(Job.RECONCILE, KEY, delay_s=60) for _ in range(500)))

    # It answers nobody for a moment, as while it forks.
    real.redis.client_pause(500)
    asyncio.run(crowd())
    assert set(due(real)) == {"reconcile"}


def test_a_request_from_an_event_loop_is_the_same_request(real: RedisQueue, clean_redis_url: str) -> None:
    events = EventRequests(clean_redis_url)
    real.request(Job.RECONCILE, KEY, delay_s=60)
    asyncio.run(events.request(Job.RECONCILE, KEY, delay_s=5))
    # Another loop, as in tests of the web service.
    asyncio.run(events.request(Job.RECONCILE, KEY, delay_s=90))
    assert due(real) == {"reconcile": pytest.approx(5, abs=2)}
    assert len(cast("list[bytes]", real.redis.zrange(DUE, 0, -1))) == 1


def test_a_lost_job_doesnt_block_later_requests(real: RedisQueue) -> None:
    real.request(Job.TRAIN, KEY)
    real.move_due()
    real.rq.empty()
    real.request(Job.TRAIN, KEY)
    assert real.move_due() == 1


def test_jobs_are_stored_as_json_with_ids_only(real: RedisQueue, clean_redis_url: str) -> None:
    real.request(Job.ROLLBACK, KEY, options=JobOptions(version=3))
    real.move_due()
    job_id = real.rq.get_job_ids()[0]
    packed = cast("bytes", Redis.from_url(clean_redis_url).hget(f"rq:job:{job_id}", "data"))
    stored = JSONSerializer.loads(zlib.decompress(packed))
    assert stored[2] == ["rollback", KEY, {"version": 3}]


def test_status_follows_a_request_from_asking_to_failure(real: RedisQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    assert real.request_status(Job.CHECK, KEY) is None
    real.request(Job.CHECK, KEY)
    assert real.request_status(Job.CHECK, KEY) == "queued"
    monkeypatch.setattr(queue_module, "RUN", "tests.contract.test_queue.broken_job")
    monkeypatch.setattr(queue_module, "RETRIES_S", [0])
    real.move_due()
    assert real.request_status(Job.CHECK, KEY) == "queued"
    worker = SimpleWorker([real.rq], connection=real.redis, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    assert real.request_status(Job.CHECK, KEY) == "failed"
    view = next(job for job in real.jobs() if job.status == "failed")
    assert view.error == "ValueError: broken on purpose"
    assert (view.step, view.done, view.total) == ("breaking", 1, 2)


def test_a_job_that_will_be_tried_again_says_what_it_failed_of(
    real: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "RUN", "tests.contract.test_queue.broken_job")
    monkeypatch.setattr(queue_module, "RETRIES_S", [600])
    real.request(Job.CHECK, KEY)
    real.move_due()
    connection, rq_queue = real.for_worker()
    worker = PrelabelWorker([rq_queue], connection=connection, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    (view,) = real.jobs()
    assert (view.status, view.error) == ("scheduled", "ValueError: broken on purpose")


def test_a_job_that_met_a_busy_project_is_not_listed_for_long(
    real: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "RUN", "tests.contract.test_queue.bounced_job")
    monkeypatch.setattr(running_job, "BOUNCED_TTL_S", 0)
    real.request(Job.CHECK, KEY)
    real.move_due()
    SimpleWorker([real.rq], connection=real.redis, serializer=JSONSerializer).work(burst=True)
    assert real.jobs() == []


def bounced_job(job: str, key: str, argument: int) -> None:
    running_job.forget_soon()


def broken_job(job: str, key: str, argument: int) -> None:
    running_job.report_progress("breaking", 1, 2)
    raise ValueError("broken on purpose")


def test_a_lock_outlives_its_ttl_while_it_is_held(real: RedisQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_TTL_S", 1)
    with real.lock(KEY):
        time.sleep(2)
        with real.lock(KEY) as second:
            assert not second


def test_a_request_is_one_write(real: RedisQueue) -> None:
    seen: list[bytes] = []
    started = threading.Event()

    def watch() -> None:
        with real.redis.monitor() as monitor:  # type: ignore[no-untyped-call]
            started.set()
            for command in monitor.listen():
                seen.append(command["command"])
                if "end" in command["command"]:
                    return

    real.ping()
    watching = threading.Thread(target=watch)
    watching.start()
    started.wait(5)
    time.sleep(0.2)
    real.request(Job.RECONCILE, KEY, delay_s=1)
    real.redis.set("end", 1)
    watching.join(5)
    # A new connection introduces itself first; that happens once, not for each event.
    commands = [name for command in seen if (name := str(command).split()[0]) not in {"HELLO", "CLIENT"}]
    assert commands == ["ZADD", "SET"]


def test_a_redis_that_is_away_is_named(tmp_path: object) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        RedisQueue(f"unix://{tmp_path}/none.sock", 60).request(Job.TRAIN, KEY)
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        asyncio.run(EventRequests(f"unix://{tmp_path}/none.sock").request(Job.TRAIN, KEY))


def test_a_job_that_a_killed_worker_took_and_never_began_is_given_back(
    real: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    real.request(Job.TRAIN, KEY)
    real.move_due()
    # As rq's worker does, a moment before it begins.
    real.redis.lmove(real.rq.key, real.rq.intermediate_queue_key)
    real.recover_abandoned()
    assert real.rq.count == 0, "its worker may be about to begin"
    monkeypatch.setattr(queue_module, "BETWEEN_S", 0.0)
    real.recover_abandoned()
    assert real.rq.count == 1
    real.recover_abandoned()
    assert real.rq.count == 1
    assert real.rq.intermediate_queue.get_job_ids() == []


def test_a_retry_needs_no_worker_to_come_back_to_the_queue(real: RedisQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "RUN", "tests.contract.test_queue.broken_job")
    monkeypatch.setattr(queue_module, "RETRIES_S", [1])
    real.request(Job.CHECK, KEY)
    real.move_due()
    worker = SimpleWorker([real.rq], connection=real.redis, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    assert [job.status for job in real.jobs()] == ["scheduled"]
    deadline = time.monotonic() + 20
    while real.rq.count == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        real.move_due()
    assert [job.status for job in real.jobs()] == ["queued"]


def test_a_killed_worker_s_job_is_counted_and_queued_again(real: RedisQueue) -> None:
    real.request(Job.TRAIN, KEY)
    real.move_due()
    job = real.rq.fetch_job(real.rq.get_job_ids()[0])
    assert job is not None
    with real.redis.pipeline() as pipeline:
        # As a worker leaves it that gave its last sign long ago.
        Execution.create(job, ttl=60, pipeline=pipeline)
        pipeline.lrem(real.rq.key, 1, job.id)
        pipeline.execute()
    started = StartedJobRegistry(queue=real.rq).key
    real.redis.zadd(started, dict.fromkeys(cast("list[bytes]", real.redis.zrange(started, 0, -1)), 1.0))
    assert real.depth() == (0, 1), "looking gives nothing back"
    real.recover_abandoned()
    assert real.depth() == (1, 0)
    assert real.figures.read()["jobs"] == {(("job", "train"), ("outcome", "killed")): 1.0}


def test_requests_stay_as_far_away_as_they_were_when_the_clock_is_set(real: RedisQueue) -> None:
    real.request(Job.TRAIN, KEY, delay_s=60)
    real.shift(-3600)
    real.shift(-3600)
    assert due(real)["train"] == pytest.approx(60 - 3600, abs=2), "two schedulers see it, and it counts once"


def test_a_lock_that_redis_lost_is_taken_again(real: RedisQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_TTL_S", 6)
    with real.lock(KEY):
        real.redis.flushall()
        deadline = time.monotonic() + 20
        while not real.redis.exists(f"prelabel:lock:{KEY}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        real.progress("working", 1, 2)
    with real.lock(KEY) as again:
        assert again


def test_a_job_ends_when_another_worker_took_the_lock_that_redis_lost(
    real: RedisQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TTL_S", 6)
    with real.lock(KEY):
        real.redis.set(f"prelabel:lock:{KEY}", "another worker's")
        with pytest.raises(ConfigurationError, match="another worker took this project"):
            work_on(real, 20)
    assert real.redis.get(f"prelabel:lock:{KEY}") == b"another worker's"


def work_on(real: RedisQueue, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        real.progress("working", 1, 2)
        time.sleep(0.05)


def test_a_redis_that_says_nothing_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (queue_module, event_requests):
        monkeypatch.setattr(module, "ANSWER_S", 0.5)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "redis.sock"))
        silent.listen()
        with pytest.raises(ConfigurationError, match="REDIS_URL"):
            RedisQueue(f"unix://{tmp_path}/redis.sock", 60).request(Job.TRAIN, KEY)
        started = time.monotonic()
        with pytest.raises(ConfigurationError, match="REDIS_URL"):
            asyncio.run(EventRequests(f"unix://{tmp_path}/redis.sock").request(Job.TRAIN, KEY))
        # It isn't asked six times, as one is that refuses connections.
        assert time.monotonic() - started < 0.5 * 5


def test_settings_that_were_left_for_a_project_are_taken_once_and_do_not_stay(real: RedisQueue) -> None:
    taken: list[str] = []
    real.take_params(KEY, taken.append)
    real.leave_params(KEY, "{}")
    assert real.redis.ttl(f"prelabel:params:{KEY}") > 0

    def fail(text: str) -> None:
        raise ConfigurationError(text)

    with pytest.raises(ConfigurationError):
        real.take_params(KEY, fail)
    real.take_params(KEY, taken.append)
    real.take_params(KEY, taken.append)
    assert taken == ["{}"]
