"""Whoever can write to Redis can ask for jobs, and can't run code."""

import json
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq.serializers import JSONSerializer

from backend.adapters.redis.queue import QUEUE_NAME, RUN, RedisQueue
from backend.entrypoints import jobs
from backend.entrypoints.run.worker import PrelabelWorker
from backend.errors import BadRequest

Fields = dict[str, bytes]


def data(*call: object) -> bytes:
    return zlib.compress(json.dumps(call).encode())


def a_function_of_the_system(mark: Path) -> Fields:
    return {"data": data("os.system", None, [f"touch {mark}"], {})}


def a_method(mark: Path) -> Fields:
    return {"data": data("write_text", str(mark), ["x"], {})}


def a_pickle(mark: Path) -> Fields:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            import os

            return os.system, (f"touch {mark}",)

    return {"data": zlib.compress(pickle.dumps(Evil()))}


def functions_to_call_afterwards(mark: Path) -> Fields:
    name = f"{__name__}.leave_a_mark".encode()
    mark.with_name("where").write_text(str(mark))
    names = ("success_callback_name", "failure_callback_name", "stopped_callback_name")
    return {"data": data(RUN, None, ["reconcile", "../../evil", 0], {}), **dict.fromkeys(names, name)}


def leave_a_mark(*_: object) -> None:
    (Path.cwd() / "mark").touch()


PLANTED = [a_function_of_the_system, a_method, a_pickle, functions_to_call_afterwards]


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_job_is_refused_before_anything_in_it_runs(
    plant: Callable[[Path], Fields], clean_redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    redis, mark = Redis.from_url(clean_redis_url), tmp_path / "mark"
    planted: dict[Any, bytes] = {
        "created_at": b"2026-01-01T00:00:00.000000Z",
        "origin": QUEUE_NAME.encode(),
        "timeout": b"60",
    }
    planted |= {"status": b"queued"} | plant(mark)
    redis.hset("rq:job:planted", mapping=planted)
    redis.rpush(f"rq:queue:{QUEUE_NAME}", "planted")
    queue = RedisQueue(clean_redis_url, 60)
    worker = PrelabelWorker([queue.rq], connection=queue.redis, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    assert redis.llen(f"rq:queue:{QUEUE_NAME}") == 0
    assert redis.hget("rq:job:planted", "status") == b"failed"
    assert not mark.exists()


@pytest.mark.parametrize("key", ["../../evil", "7.1-../../evil", "7.1-aaaaaaaa/..", "", "all/..", "7.1-aaaaaaaa\n"])
def test_a_job_for_a_project_that_leads_out_of_its_folder_is_refused(key: str) -> None:
    with pytest.raises(BadRequest, match="it is not run"):
        jobs.run("reconcile", key, 0)
