"""The embedded Redis on files that it can't read: they are set aside, and it starts."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from backend.adapters.redis.queue import RedisQueue, request_member
from backend.bootstrap import build
from backend.entrypoints.doctor.examine import examine
from backend.entrypoints.run.embedded_redis import KEPT_ASIDE, set_aside, stamps_aside
from backend.entrypoints.run.processes import Supervisor, redis_program
from backend.errors import ConfigurationError
from backend.ports import FORCED, Job
from backend.settings import Settings
from tests.conftest import wait_for

ZEROS = bytes(200)
KEY = "1.1700000000-0123abcd"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "m"))
    monkeypatch.delenv("REDIS_URL", raising=False)
    return Settings()


class Run:
    """A supervisor with a Redis, and what it said."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.said: list[str] = []
        self.stop = threading.Event()
        self.supervisor = Supervisor(logs, self.said.append, self.stop)
        self.program = redis_program(settings)
        self.watcher = threading.Thread(target=self.supervisor.watch, daemon=True)

    def start(self) -> None:
        self.supervisor.start(self.program)
        self.watcher.start()

    def end(self) -> None:
        self.stop.set()
        if self.watcher.is_alive():
            self.watcher.join(40)
        self.supervisor.stop()
        if self.program.lock is not None:
            self.program.lock.close()


@pytest.fixture
def used(settings: Settings, tmp_path: Path) -> tuple[Settings, Path]:
    """Settings of an installation whose Redis held something and was stopped, and its folder."""
    run = Run(settings, tmp_path / "logs")
    run.start()
    queue = RedisQueue(settings.queue_url, 60)
    for number in range(300):
        queue.request(Job.RECONCILE, f"{number}.1700000000-0123abcd")
    run.end()
    return settings, settings.redis_socket.parent


def overwrite(place: Callable[[int], int]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
        content = path.read_bytes()
        assert len(content) > 10_000
        at = place(len(content))
        path.write_bytes(content[:at] + ZEROS + content[at + len(ZEROS) :])

    return damage


def damage_base(folder: Path) -> None:
    (path,) = (folder / "appendonlydir").glob("*.base.rdb")
    path.write_bytes(ZEROS)


def damage_manifest(folder: Path) -> None:
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_bytes(ZEROS)


def lose_base(folder: Path) -> None:
    (path,) = (folder / "appendonlydir").glob("*.base.rdb")
    path.unlink()


def file_for_folder(folder: Path) -> None:
    (folder / "appendonlydir").rename(folder / "elsewhere")
    (folder / "appendonlydir").write_bytes(ZEROS)


def of_redis_6(folder: Path) -> None:
    """The one file of Redis 6, damaged."""
    (folder / "appendonlydir").rename(folder / "old")
    (folder / "old" / "appendonly.aof.1.incr.aof").rename(folder / "appendonly.aof")
    with (folder / "appendonly.aof").open("ab") as file:
        file.write(ZEROS)


DAMAGE = {
    "start": overwrite(lambda _: 0),
    "middle": overwrite(lambda size: size // 2),
    "end": overwrite(lambda size: size),
    "base": damage_base,
    "manifest": damage_manifest,
    "lost base": lose_base,
    "a file in place of the folder": file_for_folder,
    "Redis 6": of_redis_6,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_files_that_redis_cannot_read_are_set_aside(used: tuple[Settings, Path], tmp_path: Path, name: str) -> None:
    settings, folder = used
    DAMAGE[name](folder)
    run = Run(settings, tmp_path / "logs")
    try:
        run.start()
        queue = RedisQueue(settings.queue_url, 60)
        assert queue.jobs() == []
        queue.request(Job.RECONCILE, KEY)
        assert [job.key for job in queue.jobs()] == [KEY]
        (stamp,) = stamps_aside(folder)
        assert any(f"set aside as {folder / stamp}" in said for said in run.said)
        found = next(item for item in examine(build(settings), None) if item.name == "Redis")
        assert found.good
        assert f"could not read its files at {stamp.removeprefix('set-aside-')} and began anew" in found.detail
        assert f"set aside as {folder / stamp}" in (tmp_path / "logs" / "redis.log").read_text()
        assert list(folder.glob(f"{stamp}-append*"))
    finally:
        run.end()


def test_whole_and_cut_off_files_are_read(used: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, folder = used
    path = folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    path.write_bytes(path.read_bytes()[:-20])
    run = Run(settings, tmp_path / "logs")
    try:
        run.start()
        assert len(RedisQueue(settings.queue_url, 60).jobs()) == 299
        assert stamps_aside(folder) == []
        assert run.said == []
    finally:
        run.end()


def test_files_that_are_damaged_while_it_runs_are_set_aside_when_it_restarts(
    used: tuple[Settings, Path], tmp_path: Path
) -> None:
    settings, folder = used
    run = Run(settings, tmp_path / "logs")
    try:
        run.start()
        wait_for(lambda: run.supervisor._running[0].was_ready, 20, "Redis")
        DAMAGE["start"](folder)
        os.kill(run.supervisor.pids()["Redis"], signal.SIGKILL)
        wait_for(lambda: stamps_aside(folder), 30, "the damage to be seen")
        wait_for(run.program.ready, 30, "Redis")
        assert RedisQueue(settings.queue_url, 60).jobs() == []
    finally:
        run.end()


def test_what_is_no_damage_of_the_files_leaves_them(
    used: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = used
    assert set_aside(folder, -signal.SIGKILL, "") == ""
    assert set_aside(folder, 0, "") == ""
    assert set_aside(folder, 1, "# Fatal: Can't initialize Jobs: Resource temporarily unavailable") == ""
    monkeypatch.setattr("backend.entrypoints.run.embedded_redis.why_not_writable", lambda _: "the disk is full")
    assert set_aside(folder, 1, "") == ""
    assert (folder / "appendonlydir" / "appendonly.aof.manifest").is_file()


@pytest.mark.parametrize(("value_bytes", "is_whole"), [(1_000_000, True), (499_999_999_999, False)])
def test_files_are_kept_by_a_redis_that_ran_out_of_memory_for_what_they_hold(
    settings: Settings, tmp_path: Path, value_bytes: int, is_whole: bool
) -> None:
    folder = settings.redis_socket.parent
    folder.mkdir(parents=True)
    value = b"x" * 1_000_000
    with (folder / "appendonly.aof").open("wb") as file:
        for number in range(60):
            file.write(b"*3\r\n$3\r\nSET\r\n$2\r\n%02d\r\n$%d\r\n%s\r\n" % (number, value_bytes, value))
    run = Run(settings, tmp_path / "logs")
    limited = ["bash", "-c", 'ulimit -v 90000; exec "$0" "$@"', *run.program.command]
    run.program = replace(run.program, command=limited)
    try:
        if is_whole:
            with pytest.raises(ConfigurationError, match="out of memory"):
                run.start()
        else:
            # No machine has so much: the file is damaged.
            run.start()
        assert bool(stamps_aside(folder)) != is_whole
    finally:
        run.end()


def test_two_damages_in_one_second_are_both_set_aside(tmp_path: Path) -> None:
    for _ in range(KEPT_ASIDE):
        (tmp_path / "appendonlydir").mkdir()
        (tmp_path / "appendonlydir" / "a").write_text("x")
        assert set_aside(tmp_path, 1, "") != ""
    assert len(stamps_aside(tmp_path)) == len(list(tmp_path.iterdir())) == KEPT_ASIDE


def test_the_file_of_redis_6_is_read(settings: Settings, tmp_path: Path) -> None:
    words = [b"ZADD", b"prelabel:due", b"1e12", request_member(Job.TRAIN, KEY, FORCED).encode()]
    folder = settings.redis_socket.parent
    folder.mkdir(parents=True)
    command = b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)])
    (folder / "appendonly.aof").write_bytes(command)
    run = Run(settings, tmp_path / "logs")
    try:
        run.start()
        assert [(job.job, job.key) for job in RedisQueue(settings.queue_url, 60).jobs()] == [("train", KEY)]
        assert run.said == []
    finally:
        run.end()


def test_values_that_were_damaged_are_left_out(clean_redis_url: str) -> None:
    queue, redis = RedisQueue(clean_redis_url, 60), Redis.from_url(clean_redis_url)
    for number in range(4):
        queue.request(Job.TRAIN, f"{number}.1700000000-0123abcd")
    assert queue.move_due() == 4
    first, second, third, whole = queue.rq.get_job_ids()
    redis.hset(f"rq:job:{first}", "created_at", ZEROS)
    redis.hset(f"rq:job:{second}", "data", ZEROS)
    redis.hset(f"rq:job:{third}", "meta", ZEROS)
    redis.zadd("prelabel:due", {ZEROS: 1, b"train\0|1|x": 1, b"tr\0in|1.1-0123abcd|0": 1})
    queue.request(Job.RECONCILE, KEY, delay_s=1e15)
    assert KEY in {job.key for job in queue.jobs()}
    redis.zrem("prelabel:due", request_member(Job.RECONCILE, KEY))
    queue.figures.count("jobs", job="train", outcome="done")
    redis.hset("prelabel:figures", ZEROS, 1)
    redis.zadd("rq:scheduled:prelabel", {first: 1})
    assert {job.id for job in queue.jobs()} == {second, third, whole}
    assert queue.figures.read() == {"jobs": {(("job", "train"), ("outcome", "done")): 1.0}}
    queue.request(Job.CHECK, KEY)
    assert queue.move_due() == 1
    assert redis.zcard("prelabel:due") == 0
    assert queue.age_s() >= 0


def test_few_files_are_kept_aside(tmp_path: Path) -> None:
    for second in range(5):
        (tmp_path / f"set-aside-20260101T00000{second}Z-appendonlydir").mkdir()
        (tmp_path / f"set-aside-20260101T00000{second}Z-appendonly.aof").touch()
    (tmp_path / "appendonlydir").mkdir()
    assert "set aside" in set_aside(tmp_path, 1, "")
    found = stamps_aside(tmp_path)
    assert len(found) == KEPT_ASIDE
    assert found[0] == "set-aside-20260101T000003Z"
    assert len(list(tmp_path.iterdir())) == 2 * KEPT_ASIDE - 1
