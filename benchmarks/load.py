"""Load and soak: webhooks and `/predict` on schedule, on a real Label Studio with real workers.

Needs a demo that runs: `prelabel demo --detach`, then
`python -m benchmarks.load --demo prelabel-demo [--seconds N] [--webhooks N] [--predictions N] [--json FILE]`.

Four projects of 5,000 tasks, 500 of them annotated, are made and connected. Then, for `--seconds`, 200 webhooks and 20
predictions a second are sent, each of a task of one of the projects, on schedule whether or not earlier ones were
answered, and timed from when they should have been sent. Webhooks tell of annotations that are there, so jobs read them
from Label Studio again, and versions are trained, all on the same machine. Then the queue is watched until nothing is
asked for or runs.

Bars: no answer of 500 or above, webhook p99 under 50 ms, prediction p99 under 250 ms, web service under 300 MiB, worker
with its job under 1,200 MiB, queue drained. A soak is the same for longer with less: `--seconds 1800 --webhooks 5
--predictions 2`; memory at the end is compared with that after the first sixth. There is no peer: label-studio-ml's
server starts a process for each webhook and dies of this load (see `benchmarks.webhook` for a rate it survives).
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from backend.adapters.label_studio_json import project_uid
from backend.adapters.queue import RedisQueue
from backend.entrypoints.connect import connect_project
from backend.entrypoints.demo import demo_settings
from backend.entrypoints.sample import LABEL_CONFIG
from backend.settings import Settings
from benchmarks.common import OURS, Row, options, quantile, report
from benchmarks.loop import client, make_project, memory_mib

N_PROJECTS = 4
FIRST_VERSION_S = 1_800
DRAINED_S = 1_800
SAMPLE_EACH_S = 2.0
CONNECTIONS = 32
BUSY = {"requested", "queued", "started", "scheduled"}


@dataclass
class Target:
    """A connected project: what Label Studio says of it, and of some annotated tasks of it."""

    info: dict[str, Any]
    tasks: list[dict[str, Any]]

    def webhook(self, draw: random.Random) -> dict[str, Any]:
        """What Label Studio sends when an annotation was saved again."""
        task = draw.choice(self.tasks)
        about = {"id": task["id"], "data": task["data"]}
        annotation = {**task["annotations"][0], "task": task["id"]}
        return {"action": "ANNOTATION_UPDATED", "project": self.info, "task": about, "annotation": annotation}

    def prediction(self, draw: random.Random) -> dict[str, Any]:
        """What Label Studio sends when a person opens a task."""
        task = draw.choice(self.tasks)
        about = {"id": task["id"], "data": task["data"], "project": self.info["id"]}
        uid = project_uid(self.info)
        return {"tasks": [about], "project": uid, "label_config": LABEL_CONFIG, "params": {}}


@dataclass
class Seen:
    """What came of the load. took: milliseconds by route. memory: (seconds, MiB web, MiB worker with its job)."""

    took: dict[str, list[float]] = field(default_factory=lambda: {"/webhook": [], "/predict": []})
    statuses: Counter[int] = field(default_factory=Counter)
    memory: list[tuple[float, float, float]] = field(default_factory=list)


def watch(state: dict[str, Any], seen: Seen, stopped: threading.Event) -> None:
    """Sample the memory of the web service and of all workers with their jobs, until stopped."""
    web = psutil.Process(state["pids"]["Web service"])
    workers = [psutil.Process(pid) for name, pid in state["pids"].items() if name.startswith("Worker")]
    started = time.monotonic()
    while not stopped.wait(SAMPLE_EACH_S):
        largest = max(memory_mib(worker) for worker in workers)
        seen.memory.append((time.monotonic() - started, web.memory_info().rss / 2**20, largest))


async def send(url: str, targets: list[Target], rates: dict[str, float], seconds: float, seen: Seen) -> None:
    """Send on schedule; takes as long as the slowest answer."""
    draw = random.Random(0)
    # Requests that wait for a connection inside of httpx slow it down by their number.
    gate = asyncio.Semaphore(CONNECTIONS)
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as api:

        async def one(route: str, body: dict[str, Any], at: float) -> None:
            try:
                async with gate:
                    answer = await api.post(route, json=body)
            except httpx.HTTPError:
                seen.statuses[0] += 1
                return
            seen.took[route].append((time.perf_counter() - at) * 1000)
            seen.statuses[answer.status_code] += 1

        start = time.perf_counter() + 0.5
        due = sorted(
            (start + place / rate, route) for route, rate in rates.items() for place in range(int(rate * seconds))
        )
        async with asyncio.TaskGroup() as tasks:
            for at, route in due:
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                target = draw.choice(targets)
                body = target.webhook(draw) if route == "/webhook" else target.prediction(draw)
                tasks.create_task(one(route, body, at))


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


def drained(queue: RedisQueue) -> tuple[float, int]:
    """Seconds until nothing is asked for or runs, and how many jobs have failed by then."""
    started = time.monotonic()
    while any(job.status in BUSY for job in queue.jobs()):
        if time.monotonic() - started > DRAINED_S:
            raise TimeoutError(f"the queue isn't drained after {DRAINED_S} s")
        time.sleep(1)
    return time.monotonic() - started, queue.failed()


def rows_of(name: str, seen: Seen, seconds: float, waited: float, failed: int) -> list[Row]:
    """All figures; growth compares the medians of the last sixth and of the second one."""
    found = [("answers 5xx or none", float(sum(n for code, n in seen.statuses.items() if code >= 500 or not code)))]
    found.append(("answers", float(seen.statuses.total())))
    for route, took in seen.took.items():
        found += [(f"{route} p50 ms", quantile(took, 0.5)), (f"{route} p99 ms", quantile(took, 0.99))]
    during = [sample for sample in seen.memory if sample[0] <= seconds]
    sixth = max(1, len(during) // 6)
    for place, process in ((1, "web"), (2, "worker")):
        early = quantile([sample[place] for sample in during[sixth : 2 * sixth]], 0.5)
        late = quantile([sample[place] for sample in during[-sixth:]], 0.5)
        found.append((f"{process} most MiB", max(sample[place] for sample in seen.memory)))
        found.append((f"{process} growth MiB", late - early))
    found += [("drained after s", waited), ("failed jobs", float(failed))]
    return [Row(name, OURS, metric, value, seconds) for metric, value in found]


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
    drained(queue)
    print(f"{N_PROJECTS} projects are ready", flush=True)
    seen, stopped = Seen(), threading.Event()
    watching = threading.Thread(target=watch, args=(state, seen, stopped))
    watching.start()
    rates = {"/webhook": arguments.webhooks, "/predict": arguments.predictions}
    try:
        asyncio.run(send(state["backend_url"], targets, rates, arguments.seconds, seen))
        waited, failed = drained(queue)
    finally:
        stopped.set()
        watching.join()
    name = f"{arguments.webhooks:.0f} + {arguments.predictions:.0f} a second"
    report(rows_of(name, seen, arguments.seconds, waited, failed), arguments.json)


if __name__ == "__main__":
    main()
