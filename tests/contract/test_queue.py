"""The Queue port, fake and real, and what the real one promises besides."""

import threading
import time
import zlib
from typing import cast

import pytest
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from backend.adapters import queue as queue_module
from backend.adapters.queue import DUE, RedisQueue
from backend.errors import ConfigurationError
from backend.ports import Job, Queue
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
    assert set(due(real)) == {"train"}, "the later request is kept until the waiting job has started"


def test_a_lost_job_doesnt_block_later_requests(real: RedisQueue) -> None:
    real.request(Job.TRAIN, KEY)
    real.move_due()
    real.rq.empty()
    real.request(Job.TRAIN, KEY)
    assert real.move_due() == 1


def test_jobs_are_stored_as_json_with_ids_only(real: RedisQueue, clean_redis_url: str) -> None:
    real.request(Job.ROLLBACK, KEY, argument=3)
    real.move_due()
    job_id = real.rq.get_job_ids()[0]
    packed = cast("bytes", Redis.from_url(clean_redis_url).hget(f"rq:job:{job_id}", "data"))
    stored = JSONSerializer.loads(zlib.decompress(packed))
    assert stored[2] == ["rollback", KEY, 3]


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


def broken_job(job: str, key: str, argument: int) -> None:
    queue_module.report_progress("breaking", 1, 2)
    raise ValueError("broken on purpose")


def test_a_lock_outlives_its_ttl_while_it_is_held(real: RedisQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "LOCK_TTL_S", 1)
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
