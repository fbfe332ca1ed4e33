"""Load and soak: webhooks and `/predict` on schedule, on a real Label Studio with real workers.

Needs a demo that runs: `prelabel demo --detach`, then
`python -m benchmarks.load --demo prelabel-demo [--seconds N] [--webhooks N] [--predictions N] [--json FILE]`.

Four projects of 5,000 tasks, 500 of them annotated, are made and connected. Then, for `--seconds`, 200 webhooks and 20
predictions a second are sent, each of a task of one of the projects, on schedule whether or not earlier ones were
answered, and timed from when they should have been sent. Webhooks tell of annotations that are there, so jobs read them
from Label Studio again; and meanwhile somebody presses "Start Training" in each project. All of this is on the same
machine. Then the queue is watched until nothing is asked for or runs.

It ends with an error where a bar isn't met: all requests answered, webhook p99 under 50 ms, prediction p99 under
250 ms, web service under 300 MB, worker with its job under 1,200 MB, no failed job, queue drained. A soak is the same
for longer with less, `--seconds 1800 --webhooks 5 --predictions 2`: memory at the end is compared with that after the
first sixth. There is no peer: label-studio-ml's server starts a process for each webhook and dies of this load (see
`benchmarks.webhook` for a rate it survives).
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import psutil

from backend.adapters.label_studio.json import project_uid
from backend.adapters.redis.queue import RedisQueue
from backend.entrypoints.connect import connect_project
from backend.entrypoints.run.demo import demo_settings
from backend.entrypoints.sample import LABEL_CONFIG
from backend.ports import Job
from backend.settings import Settings
from benchmarks.common import OURS, Row, options, quantile, report
from benchmarks.loop import client, make_project, memory_mib

N_PROJECTS = 4
FIRST_VERSION_S = 1_800
DRAINED_S = 1_800
SAMPLE_EACH_S = 2.0
GIVEN_UP_S = 60.0
REUSED_S = 2.0
"""The web service closes a connection that nobody used for five seconds."""
REFUSED = "answers other than 2xx, or none"
MB_IN_MIB = 1e6 / 2**20
BARS = {
    REFUSED: 1.0,
    "/webhook p99 ms": 50.0,
    "/predict p99 ms": 250.0,
    "web most MiB": 300 * MB_IN_MIB,
    "web growth MiB": 10.0,
    "worker most MiB": 1200 * MB_IN_MIB,
    "failed jobs": 1.0,
}
"""Each figure has to stay below its bar."""
BUSY = {"requested", "queued", "started", "scheduled"}


@dataclass
class Target:
    """A connected project: what Label Studio says of it, and of some annotated tasks of it."""

    info: dict[str, Any]
    tasks: list[dict[str, Any]]

    def webhooks(self) -> list[bytes]:
        """What Label Studio sends when an annotation was saved again, one for each task."""
        return [
            posted(
                "/webhook",
                {
                    "action": "ANNOTATION_UPDATED",
                    "project": self.info,
                    "task": {"id": task["id"], "data": task["data"]},
                    "annotation": {**task["annotations"][0], "task": task["id"]},
                },
            )
            for task in self.tasks
        ]

    def training(self) -> bytes:
        """The Start Training button."""
        return posted("/train", {"project": project_uid(self.info)})

    def predictions(self) -> list[bytes]:
        """What Label Studio sends when a person opens a task, one for each."""
        about = {"project": project_uid(self.info), "label_config": LABEL_CONFIG, "params": {}}
        project = self.info["id"]
        return [
            posted("/predict", {"tasks": [{"id": task["id"], "data": task["data"], "project": project}], **about})
            for task in self.tasks
        ]


def posted(route: str, body: dict[str, Any]) -> bytes:
    """A whole HTTP request."""
    content = json.dumps(body).encode()
    head = f"POST {route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


@dataclass
class Answered:
    """What came of the load. took: milliseconds by route. statuses: 0 = no answer."""

    took: dict[str, list[float]] = field(default_factory=lambda: {"/webhook": [], "/predict": [], "/train": []})
    statuses: Counter[int] = field(default_factory=Counter)


class Connections:
    """Connections that stay open, each with one request at a time.

    The requests were made before; an HTTP client that makes them costs more processor time than the web service, and
    both share the machine.
    """

    def __init__(self, url: str) -> None:
        self._host, self._port = httpx.URL(url).host, httpx.URL(url).port or 80
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, request: bytes) -> int:
        """Send a request; returns the status of its answer. Raises OSError or EOFError without one."""
        reader, writer = await self._connection()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        self._idle.append((time.monotonic(), reader, writer))
        return int(head.split(b" ", 2)[1])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < REUSED_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)


async def send(url: str, requests: dict[str, list[bytes]], rates: dict[str, float], seconds: float) -> Answered:
    """Send on schedule; takes as long as the slowest answer. A route without a rate: each request once, in its part of
    the time.
    """
    draw, connections, answered = random.Random(0), Connections(url), Answered()

    async def one(route: str, request: bytes, at: float) -> None:
        try:
            async with asyncio.timeout(GIVEN_UP_S):
                answered.statuses[await connections.post(request)] += 1
        except (OSError, EOFError, TimeoutError):
            answered.statuses[0] += 1
            return
        answered.took[route].append((time.perf_counter() - at) * 1000)

    start = time.perf_counter() + 0.5
    due = [
        (start + place / rate, route, draw.choice(requests[route]))
        for route, rate in rates.items()
        for place in range(int(rate * seconds))
    ]
    for route in requests.keys() - rates.keys():
        n = len(requests[route])
        due += [(start + seconds * place / n, route, request) for place, request in enumerate(requests[route])]
    async with asyncio.TaskGroup() as tasks:
        for at, route, request in sorted(due):
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            tasks.create_task(one(route, request, at))
    return answered


def generate(url: str, requests: dict[str, list[bytes]], rates: dict[str, float], seconds: float) -> Answered:
    """`send`, in a process of its own."""
    return asyncio.run(send(url, requests, rates, seconds))


@dataclass
class Watched:
    """Memory while the load lasts. samples: (seconds, MiB web, MiB of the largest worker with its job)."""

    web: psutil.Process
    workers: list[psutil.Process]
    samples: list[tuple[float, float, float]] = field(default_factory=list)

    def until(self, ended: Callable[[], bool]) -> None:
        """Sample until something has ended."""
        started = time.monotonic()
        while not ended():
            largest = max(memory_mib(worker) for worker in self.workers)
            self.samples.append((time.monotonic() - started, self.web.memory_info().rss / 2**20, largest))
            time.sleep(SAMPLE_EACH_S)


def prepare(state: dict[str, Any], settings: Settings) -> list[Target]:
    """Make and connect the projects, and wait for their first versions."""
    targets = []
    with client(state) as api:
        for _ in range(N_PROJECTS):
            project = make_project(api)
            found = api.get("/api/tasks/", params={"project": project, "fields": "all", "page_size": 100})
            tasks = [task for task in found.raise_for_status().json()["tasks"] if task["annotations"]]
            targets.append(Target(api.get(f"/api/projects/{project}/").raise_for_status().json(), tasks))
    for target in targets:
        connect_project(settings, target.info["id"])
    deadline = time.monotonic() + FIRST_VERSION_S
    for target in targets:
        while True:
            with client(state) as api:
                shown = api.get(f"/api/projects/{target.info['id']}/").raise_for_status().json()["model_version"]
            if shown.startswith("v"):
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"project {target.info['id']} has no version: see `prelabel jobs`")
            time.sleep(2)
    return targets


def trainings(queue: RedisQueue) -> int:
    """How many have finished of those that the queue remembers."""
    return sum(job.job == Job.TRAIN.value and job.status == "finished" for job in queue.jobs())


def is_drained(queue: RedisQueue) -> bool:
    """Whether nothing is asked for or runs."""
    return not any(job.status in BUSY for job in queue.jobs())


def rows_of(name: str, answered: Answered, watched: Watched, seconds: float) -> list[Row]:
    """All figures; growth compares the medians of the last sixth and of the second one."""
    statuses = answered.statuses
    found = [(REFUSED, float(sum(n for code, n in statuses.items() if not 200 <= code < 300)))]
    found.append(("answers", float(statuses.total())))
    for route, took in answered.took.items():
        found += [(f"{route} p50 ms", quantile(took, 0.5)), (f"{route} p99 ms", quantile(took, 0.99))]
    samples = watched.samples
    sixth = max(1, len(samples) // 6)
    for place, process in ((1, "web"), (2, "worker")):
        early = quantile([sample[place] for sample in samples[sixth : 2 * sixth]], 0.5)
        late = quantile([sample[place] for sample in samples[-sixth:]], 0.5)
        found.append((f"{process} most MiB", max(sample[place] for sample in samples)))
        found.append((f"{process} growth MiB", late - early))
    return [Row(name, OURS, metric, value, seconds) for metric, value in found]


def too_much(row: Row) -> bool:
    """Whether a figure misses its bar."""
    return row.metric in BARS and row.value >= BARS[row.metric]


def main() -> None:
    """Measure and report."""
    parser = options(__doc__ or "")
    parser.set_defaults(seconds=60.0)
    parser.add_argument("--demo", type=Path, default=Path("prelabel-demo"))
    parser.add_argument("--webhooks", type=float, default=200.0, help="a second")
    parser.add_argument("--predictions", type=float, default=20.0, help="a second")
    arguments = parser.parse_args()
    if not (arguments.demo / "demo.json").exists():
        start = f"prelabel demo --detach --dir {arguments.demo}"
        parser.exit(0, f"skipped: there is no demo in {arguments.demo} ({start})\n")
    state = json.loads((arguments.demo / "demo.json").read_text())
    targets = prepare(state, Settings.model_validate(demo_settings(arguments.demo)))
    queue = RedisQueue(f"unix://{state['model_dir']}/redis/redis.sock", 60)
    while not is_drained(queue):
        time.sleep(1)
    print(f"{N_PROJECTS} projects are ready", flush=True)
    requests = {
        "/webhook": [request for target in targets for request in target.webhooks()],
        "/predict": [request for target in targets for request in target.predictions()],
        "/train": [target.training() for target in targets],
    }
    rates = {"/webhook": arguments.webhooks, "/predict": arguments.predictions}
    trained_before = trainings(queue)
    workers = [psutil.Process(pid) for name, pid in state["pids"].items() if name.startswith("Worker")]
    watched = Watched(psutil.Process(state["pids"]["Web service"]), workers)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        load = pool.submit(generate, state["backend_url"], requests, rates, arguments.seconds)
        watched.until(load.done)
        answered = load.result()
    ended = time.monotonic()
    watched.until(lambda: is_drained(queue) or time.monotonic() - ended > DRAINED_S)
    waited, failed = time.monotonic() - ended, queue.failed()
    name = f"{arguments.webhooks:.0f} + {arguments.predictions:.0f} a second"
    rows = rows_of(name, answered, watched, arguments.seconds)
    rows += [Row(name, OURS, "drained after s", waited, waited), Row(name, OURS, "failed jobs", float(failed), waited)]
    rows.append(Row(name, OURS, "trainings", float(trainings(queue) - trained_before), waited))
    report(rows, arguments.json)
    missed = [f"{row.metric} is {row.value:.1f}, not below {BARS[row.metric]:.1f}" for row in rows if too_much(row)]
    if trainings(queue) - trained_before < N_PROJECTS:
        missed.append("not all projects were trained")
    if not is_drained(queue):
        missed.append(f"the queue isn't drained after {DRAINED_S} s")
    if missed:
        parser.exit(1, "; ".join(missed) + "\n")


if __name__ == "__main__":
    main()
