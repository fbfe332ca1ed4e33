"""A real scheduler and worker process, killed in the middle of their work."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from backend.adapters.redis import queue as queue_module
from backend.adapters.redis import running_job
from backend.adapters.redis.queue import RedisQueue
from backend.adapters.rules.tried import TriedRules
from backend.adapters.sql.label_studios import mark_of_address
from backend.entrypoints import jobs
from backend.ports import Job
from backend.settings import Settings
from tests.conftest import wait_for

URL = "http://localhost:1"
KEY, OTHER = (f"{number}.1767225600-{mark_of_address(URL)}" for number in (1, 2))
WORKER = """
import sys
from pathlib import Path
from backend.adapters.redis import queue
queue.RUN = "tests.integration.test_worker.{runs}"
if "{command}" == "worker":
    # These jobs train nothing: what training needs takes longer to load than all they do.
    from backend.entrypoints.run import worker
    worker.PRELOADED = ("backend.entrypoints.jobs",)
from backend.entrypoints.cli.main import main
sys.argv = ["prelabel", "{command}"]
main()
"""


def slow_job(job: str, key: str, argument: int) -> None:
    """Leaves a mark when it begins; the first one never ends by itself."""
    marks = Path(os.environ["MODEL_DIR"]) / "marks"
    with marks.open("a") as file:
        file.write("begun\n")
    running_job.report_progress("working", 1, 2)
    if marks.read_text().count("begun") == 1:
        time.sleep(600)


def long_training(job: str, key: str, argument: int) -> str:
    """Runs a job as always, but that it leaves a mark instead of its work, and that one project's training is long."""

    def work(_: object, job: str, key: str, __: int) -> str:
        with (Path(os.environ["MODEL_DIR"]) / "marks").open("a") as file:
            file.write(f"{key} {job}\n")
        if (key, job) == (KEY, Job.TRAIN):
            time.sleep(600)
        return "done"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_run", work)
        return jobs.run(job, key, argument)


@pytest.fixture
def environment(tmp_path: Path, clean_redis_url: str) -> dict[str, str]:
    own = {"MODEL_DIR": str(tmp_path), "REDIS_URL": clean_redis_url, "LABEL_STUDIO_URL": URL}
    # Without rules there is nothing to try out: the only jobs are the tests' own.
    return {**os.environ, **own, "LF_RULES_DIR": str(tmp_path / "none")}


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        for child in _family(process):
            child.kill()
        process.wait()


def _family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []


def start(command: str, environment: dict[str, str], runs: str = "slow_job") -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WORKER.format(command=command, runs=runs)], env=environment)


@pytest.mark.parametrize("victims", ["the worker with its job", "the job alone"])
def test_the_job_of_a_killed_worker_is_done_by_the_next_one(
    environment: dict[str, str],
    processes: list["subprocess.Popen[bytes]"],
    clean_redis_url: str,
    tmp_path: Path,
    victims: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_module, "RUN", "tests.integration.test_worker.slow_job")
    queue = RedisQueue(clean_redis_url, 300)
    first = start("worker", environment)
    processes += [first, start("scheduler", environment)]
    queue.request(Job.TRAIN, KEY)
    queue.move_due()
    marks = tmp_path / "marks"
    wait_for(marks.exists, 60, "the job begins")
    wait_for(lambda: any(view.step == "working" for view in queue.jobs()), 10, "progress is shown")
    family = _family(first)
    # The newest child runs the job; an older one is rq's own scheduler.
    newest = max(family, key=lambda process: process.create_time())
    for process in family if victims == "the worker with its job" else [newest]:
        os.kill(process.pid, signal.SIGKILL)
    if victims == "the worker with its job":
        processes.append(start("worker", environment))
    wait_for(lambda: marks.read_text().count("begun") == 2, 90, "the job is tried again")
    wait_for(lambda: [view.status for view in queue.jobs()] == ["finished"], 30, "the job is done")


def test_a_request_is_carried_out_within_a_second_or_two(
    environment: dict[str, str], processes: list["subprocess.Popen[bytes]"], clean_redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "marks").write_text("begun\n")
    processes += [start("worker", environment), start("scheduler", environment)]
    queue = RedisQueue(clean_redis_url, 60)
    wait_for(lambda: queue.alive() == (1, True), 60, "worker and scheduler")
    queue.request(Job.CHECK, KEY)
    wait_for(lambda: "finished" in [view.status for view in queue.jobs()], 30, "the job is done")
    assert Redis.from_url(clean_redis_url).zcard(queue_module.DUE) == 0


def test_a_long_training_of_one_project_delays_no_other(
    environment: dict[str, str],
    processes: list["subprocess.Popen[bytes]"],
    clean_redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_module, "RUN", "tests.integration.test_worker.long_training")
    # As many as are started without being told, so that this holds without settings.
    n_workers = Settings.model_fields["workers"].default
    processes += [start("worker", environment, "long_training") for _ in range(n_workers)]
    processes.append(start("scheduler", environment, "long_training"))
    queue, marks = RedisQueue(clean_redis_url, 300), tmp_path / "marks"
    queue.request(Job.TRAIN, KEY)
    wait_for(marks.exists, 120, "the long training begins")
    # Its own other jobs wait for it, without a worker that waits with them.
    for kind in (Job.RECONCILE, Job.CHECK):
        queue.request(kind, KEY)
    for kind in (Job.RECONCILE, Job.TRAIN, Job.CHECK):
        queue.request(kind, OTHER)

    def done() -> set[str]:
        return set(marks.read_text().splitlines())

    wait_for(lambda: len(done()) == 4, 120, "the other project's jobs")
    assert done() == {f"{KEY} train", f"{OTHER} reconcile", f"{OTHER} train", f"{OTHER} check"}


def test_an_edited_rule_is_noticed_tried_out_and_used_by_all(
    environment: dict[str, str], processes: list["subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    folder = tmp_path / "edited"
    folder.mkdir()
    rule = "rules: [{name: NAME, type: keyword, field: text, keywords: [good], vote: Positive}]"
    (folder / "words.yaml").write_text(rule.replace("NAME", "before"))
    own = environment | {"LF_RULES_DIR": str(folder)}
    for name in ("worker", "scheduler"):
        processes.append(subprocess.Popen([sys.executable, "-m", "backend.entrypoints.cli.main", name], env=own))
    web = TriedRules(folder, tmp_path / "rules")

    def names() -> list[str]:
        return [item.name for item in web.load().rules]

    wait_for(lambda: names() == ["before"], 60, "the first try-out")
    (folder / "words.yaml").write_text(rule.replace("NAME", "after"))
    (folder / "endless.py").write_text("while True: pass")
    wait_for(lambda: names() == ["after"], 60, "the try-out of the edit")
    assert "10 s" in web.load().set_aside["endless.py"]
