"""`prelabel check --wait`: it follows the job on a real Redis, and says why nothing comes."""

import io
import threading
import time
from collections.abc import Iterator

import pytest
from rq import SimpleWorker, Worker
from rq.serializers import JSONSerializer

from backend.adapters.redis import queue as queue_module
from backend.adapters.redis import running_job
from backend.adapters.redis.queue import RedisQueue
from backend.entrypoints.cli.check import wait_for_check
from backend.errors import BackendError, ConfigurationError
from backend.ports import Job
from tests.screen import screen

KEY = "1.1767225600-abcdef01"
PATIENCE_S = 60.0
shown: list[io.StringIO] = []
waiting: list[threading.Thread] = []
raised: list[Exception] = []


@pytest.fixture
def queue(clean_redis_url: str) -> Iterator[RedisQueue]:
    waiting.clear()
    raised.clear()
    with screen(is_terminal=True) as text:
        shown[:] = [text]
        yield RedisQueue(clean_redis_url, 60)
        for thread in waiting:
            thread.join(PATIENCE_S)


def follow(redis_url: str) -> None:
    """What the command does."""
    try:
        wait_for_check(RedisQueue(redis_url, 60), KEY)
    except BackendError as error:
        raised.append(error)


def watched_job(job: str, key: str, redis_url: str) -> None:
    """A check that goes on until the one who waits has seen it, and then fails if its progress is never shown."""
    running_job.report_progress("looking for wrong labels", 1, 2)
    waiting.append(threading.Thread(target=follow, args=(redis_url,)))
    waiting[0].start()
    deadline = time.monotonic() + PATIENCE_S
    while "looking for wrong labels" not in shown[0].getvalue():
        assert time.monotonic() < deadline, "the progress bar doesn't show the step"
        time.sleep(0.05)


def failing_job(job: str, key: str, argument: int) -> None:
    """A check that can't be done, and won't be tried again."""
    running_job.without_retries()
    raise BackendError("Label Studio is away")


def work(queue: RedisQueue, function: str, argument: object) -> None:
    """Run one job, while another worker and a scheduler are there."""
    Worker([queue.rq], connection=queue.redis, serializer=JSONSerializer, name="other").register_birth()
    queue.beat()
    queue.rq.enqueue_call(function, args=(Job.CHECK.value, KEY, argument), job_id="one")
    queue.redis.set(queue_module._newest_key(Job.CHECK.value, KEY), "one")
    SimpleWorker([queue.rq], connection=queue.redis, serializer=JSONSerializer).work(burst=True, logging_level="ERROR")


def test_waiting_shows_progress_and_ends_with_the_check(queue: RedisQueue, clean_redis_url: str) -> None:
    work(queue, "tests.integration.test_check_command.watched_job", clean_redis_url)
    waiting[0].join(PATIENCE_S)
    assert not waiting[0].is_alive()
    assert raised == []


def test_a_check_that_failed_is_said(queue: RedisQueue) -> None:
    work(queue, "tests.integration.test_check_command.failing_job", 0)
    with pytest.raises(BackendError, match=r"The check failed: .*Label Studio is away"):
        wait_for_check(queue, KEY)


def test_nobody_waits_for_a_worker_that_isnt_there(queue: RedisQueue) -> None:
    queue.request(Job.CHECK, KEY)
    with pytest.raises(ConfigurationError, match="no worker runs: start `prelabel up`"):
        wait_for_check(queue, KEY)
