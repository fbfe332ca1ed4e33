"""Real parts for all tests: Redis, and a Label Studio with Prelabel beside it, as the README's command starts them."""

import json
import math
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from threadpoolctl import threadpool_limits

from backend.adapters.redaction import SIGNED_TOKEN
from backend.adapters.redis.job_views import JobView
from backend.adapters.redis.queue import RedisQueue
from backend.entrypoints.run.embedded_redis import redis_server
from backend.ports import Job
from tests.beside import needs_demo
from tests.command_server import Commands
from tests.label_studio_cache import put_migrated_database
from tests.llm_server import LlmServer

DEMO_TIMEOUT_S = 900
SIGNED_S = 240
"""A short-lived token of Label Studio's counts for a minute longer."""
LLM_MODEL = "gold-reader"
LLM_KEY = "sk-test-0123456789abcdef"
Annotations = Mapping[int, Sequence[Mapping[str, object]]]
"""By place of the task: as Label Studio imports them."""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests that train without the application around them compute as it does, see `bootstrap.build`."""
    import sklearn.ensemble  # noqa: F401 - a library is limited only once it is loaded

    threadpool_limits(1)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis on a unix socket, for this test run only."""
    folder = tmp_path_factory.mktemp("redis")
    socket_path = folder / "redis.sock"
    command = [str(redis_server()), "--port", "0", "--unixsocket", str(socket_path), "--dir", str(folder)]
    server = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
    wait_for(socket_path.exists, 20, "Redis")
    yield f"unix://{socket_path}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def clean_redis_url(redis_url: str) -> str:
    """The same Redis, empty."""
    Redis.from_url(redis_url).flushall()
    return redis_url


class SignedIn(httpx.Auth):
    """Signs requests with a short-lived token, which it gets for a personal access token each time one grows old.

    Other tokens, which Label Studio had before 1.17, sign themselves.
    """

    requires_response_body = True

    def __init__(self, url: str, token: str) -> None:
        self._refresh = f"{url}/api/token/refresh/"
        self._token = token
        self._access, self._until = "", -math.inf

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if "." not in self._token:
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        if time.monotonic() > self._until:
            answer = yield httpx.Request("POST", self._refresh, json={"refresh": self._token})
            self._access = answer.raise_for_status().json()["access"]
            self._until = time.monotonic() + SIGNED_S
        request.headers["Authorization"] = f"Bearer {self._access}"
        yield request


@dataclass(frozen=True)
class Demo:
    """A running demo. `api` is signed in to its Label Studio."""

    folder: Path
    state: dict[str, Any]
    environment: dict[str, str]
    commands: Commands
    printed: list[str] = field(default_factory=list)
    """What its commands have printed."""
    signed_in: dict[str, SignedIn] = field(default_factory=dict)
    """By token."""

    @property
    def url(self) -> str:
        return str(self.state["label_studio_url"])

    @property
    def backend_url(self) -> str:
        return str(self.state["backend_url"])

    @property
    def api(self) -> httpx.Client:
        return self.client(self.state["api_key"])

    def client(self, token: str) -> httpx.Client:
        """Signed in with a token of a user."""
        signed_in = self.signed_in.setdefault(token, SignedIn(self.url, token))
        # It is all http: reading the authorities' certificates would take longer than most requests.
        return httpx.Client(base_url=self.url, auth=signed_in, timeout=120, verify=False)

    def prelabel(self, *arguments: str) -> str:
        """Run a command on the demo; returns what it printed."""
        done = self.commands.run("--demo", str(self.folder), *arguments, **self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        self.printed.extend([done.stdout, done.stderr])
        return done.stdout

    def told(self) -> dict[str, str]:
        """All that it has said and kept, by where it was found, but for Label Studio's own files."""
        pages = ("/metrics", "/openapi.json", "/versions", "/health", "/ready")
        found = {page: httpx.get(f"{self.backend_url}{page}", timeout=60).text for page in pages}
        found |= {"printed": "\n".join(self.printed), "Redis": kept_in(self.redis_url)}
        places = (self.folder / "logs", Path(self.state["model_dir"]))
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        own = [path for path in files if path.name not in {"label-studio.log", "webhook-secret"}]
        return found | {str(path): path.read_bytes().decode(errors="replace") for path in own}

    @property
    def secrets(self) -> list[str]:
        """What only its processes may know."""
        hook = (Path(self.state["model_dir"]) / "webhook-secret").read_text().strip()
        return [hook, self.state["api_key"], self.state["password"], self.environment["OPENAI_API_KEY"]]

    @property
    def redis_url(self) -> str:
        return f"unix://{self.state['model_dir']}/redis/redis.sock"

    @cached_property
    def queue(self) -> RedisQueue:
        """Its queue."""
        return RedisQueue(self.redis_url, 60)

    def jobs(self) -> list[JobView]:
        """What `prelabel jobs` shows, without starting a process each time."""
        return self.queue.jobs()

    def account(self, lines: int = 60) -> str:
        """Its jobs, and the last lines of its logs that tell more than that a page was asked for."""
        told = [f"{job.key} {job.job} {job.status} {job.ended_at} {job.error}" for job in self.jobs()]
        for log in sorted((self.folder / "logs").glob("*.log")):
            said = [line for line in log.read_text(errors="replace").splitlines() if '"GET ' not in line]
            told += ["", log.name, *(line[:300] for line in said[-lines:])]
        return "\n".join(told)

    def new_project(
        self, label_config: str, tasks: Sequence[dict[str, object]], annotations: Annotations | None = None
    ) -> tuple[int, list[int]]:
        """A project that nothing is connected to; returns its id and the ids of its tasks.

        annotations: those that it begins with, by their task's place.
        """
        with self.api as api:
            body = {"title": f"Test {time.time()}", "label_config": label_config}
            project = int(api.post("/api/projects/", json=body).raise_for_status().json()["id"])
            if not tasks:
                return project, []
        return project, self.import_tasks(project, tasks, annotations)

    def import_tasks(
        self, project: int, tasks: Sequence[dict[str, object]], annotations: Annotations | None = None
    ) -> list[int]:
        """Add tasks with their annotations by one request, which costs as much as a few of single ones."""
        body: list[dict[str, object]] = [{"data": data} for data in tasks]
        for place, said in (annotations or {}).items():
            body[place]["annotations"] = said
        with self.api as api:
            path = f"/api/projects/{project}/import?return_task_ids=true"
            found: list[int] = api.post(path, json=body).raise_for_status().json()["task_ids"]
        return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test on the demo is reported with what the demo's processes have said."""
    report = yield
    demo = getattr(item, "funcargs", {}).get("demo")
    if report.failed and isinstance(demo, Demo):
        report.sections.append(("the demo", demo.account()))
    return report


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """Runs `prelabel` commands quickly."""
    with Commands() as made:
        yield made


@pytest.fixture(scope="session")
def llm_server() -> Iterator[LlmServer]:
    """An LLM endpoint on this machine."""
    with LlmServer() as server:
        yield server


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, llm_server: LlmServer, commands: Commands) -> Iterator[Demo]:
    """The demo, started and stopped by its commands; it doesn't wait long before it trains, and could ask an LLM."""
    test = os.environ["PYTEST_CURRENT_TEST"]
    assert needs_demo(test), f"{test}: its file must name the type Demo, or several processes would start a demo each"
    folder = tmp_path_factory.mktemp("demo")
    prices = folder / "prices.yaml"
    prices.write_text(f"models: {{{LLM_MODEL}: {{input_usd: 1, output_usd: 2}}}}")
    command = [sys.executable, "-m", "backend.entrypoints.cli.main", "demo", "--dir", str(folder)]
    ports = ["--port", str(free_port()), "--label-studio-port", str(free_port())]
    environment = {
        "TRAINING_QUIET_S": "4",
        # Each of them is a request to Label Studio: the default would be most of what it has to do in all stories.
        "TOP_TASKS": "20",
        # Two processors have a dozen projects to train here.
        "CLASSIFIER_CHOICE_S": "2",
        # Which tasks would be audit tasks hangs on when the project was made. A test that wants some says so.
        "AUDIT_SHARE": "0",
        "OPENAI_BASE_URL": llm_server.base_url,
        "OPENAI_API_KEY": LLM_KEY,
        "LLM_MODEL": LLM_MODEL,
        "LLM_PRICES": str(prices),
    }
    put_migrated_database(folder / "label-studio")
    started = subprocess.run(
        [*command, *ports, "--detach"],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEMO_TIMEOUT_S,
        env=os.environ | environment,
    )
    assert started.returncode == 0, started.stdout + started.stderr
    demo = Demo(folder, json.loads((folder / "demo.json").read_text()), environment, commands)
    yield demo
    told = demo.told()
    stopped = subprocess.run([*command, "--stop"], capture_output=True, text=True, check=False, timeout=120)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    # After all tests that ran on it: whatever was done, no secret got out.
    assert any(name.endswith("worker-1.log") for name in told), sorted(told)
    assert [name for secret in demo.secrets for name, text in told.items() if secret in text] == []
    # Nor any of the short-lived tokens that Label Studio's client gets for ours.
    assert [name for name, text in told.items() if SIGNED_TOKEN.search(text)] == []
    assert_log_lines_can_be_followed(told)


def assert_log_lines_can_be_followed(told: dict[str, str]) -> None:
    """Each line is JSON with a time, and each job's last one says of which project, job and version it is about."""
    logs = {name: text for name, text in told.items() if re.search(r"(worker-\d|web-service|scheduler)\.log$", name)}
    assert len(logs) >= 4, sorted(told)
    lines = [json.loads(line) for text in logs.values() for line in text.splitlines() if line.strip()]
    assert [line for line in lines if not {"event", "level", "timestamp"} <= line.keys()] == []
    trained = [line for line in lines if line["event"] == "job done" and line["job"] == Job.TRAIN]
    assert trained, "nothing was trained"
    assert [line for line in trained if not {"project", "job_id"} <= line.keys()] == []
    assert [line for line in trained if not {"version", "outcome"} & line.keys()] == []


def kept_in(redis_url: str) -> str:
    """All that is in Redis, and the failures that rq keeps there compressed."""
    redis, found = Redis.from_url(redis_url), []
    readers = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"list": lambda name: redis.lrange(name, 0, -1),
        b"zset": lambda name: redis.zrange(name, 0, -1),
        b"stream": redis.xrange,
    }
    for name in redis.scan_iter():
        found.append(f"{name!r} {readers[redis.type(name)](name)!r}")  # type: ignore[index,operator]
    for view in RedisQueue(redis_url, 60).jobs():
        if view.id:
            job = RqJob.fetch(view.id, redis, serializer=JSONSerializer)
            found += [str(result.exc_string) for result in job.results()] + [str(job.exc_info), repr(job.args)]
    return "\n".join(found)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], timeout_s: float, what: str, each_s: float = 0.2) -> None:
    """Wait until a condition holds, asking again each so many seconds; fails with its name."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(each_s)
