"""From Start Training to the new version, on a real Label Studio: 500 annotations in a project of 5,000 tasks.

Needs a demo that runs: `prelabel demo --detach`, then
`python -m benchmarks.loop --demo prelabel-demo [--tasks N] [--annotated N]`. There is no peer: label-studio-ml leaves
training, pushing and switching to its users. Also the memory of web service and worker.
"""

import json
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from backend.entrypoints.connect import connect_project
from backend.entrypoints.run.demo import demo_settings
from backend.entrypoints.sample import LABEL_CONFIG, load_gold, load_reviews
from backend.settings import Settings
from benchmarks.common import OURS, Row, options, report

N_TASKS = 5000
N_ANNOTATED = 500
IMPORTED = 2_500
"""Tasks in a request: Label Studio takes no body over 200 MB."""


def main() -> None:
    """Measure and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--demo", type=Path, default=Path("prelabel-demo"))
    parser.add_argument("--tasks", type=int, default=N_TASKS)
    parser.add_argument("--annotated", type=int, default=N_ANNOTATED, help="of the tasks")
    arguments = parser.parse_args()
    name, n_open = f"{arguments.annotated:,} of {arguments.tasks:,}", arguments.tasks - arguments.annotated
    if not (arguments.demo / "demo.json").exists():
        parser.exit(
            0, f"skipped: there is no demo in {arguments.demo} (prelabel demo --detach --dir {arguments.demo})\n"
        )
    state = json.loads((arguments.demo / "demo.json").read_text())
    settings = Settings.model_validate(demo_settings(arguments.demo))
    with client(state) as api:
        project = make_project(api, arguments.tasks, arguments.annotated)
    workers = [psutil.Process(pid) for name, pid in state["pids"].items() if name.startswith("Worker")]
    started = time.monotonic()
    connect_project(settings, project)
    first = wait(state, project, "v1", workers, n_open)
    rows = [Row(name, OURS, "connect to v1 s", first[0], time.monotonic() - started)]
    with client(state) as api:
        start_training(api, project)
    switched, complete, peak = wait(state, project, "v2", workers, n_open)
    rows += [
        Row(name, OURS, "train to switch s", switched, switched),
        Row(name, OURS, "train to complete s", complete, complete),
        Row(name, OURS, "worker peak MiB", peak, 0.0),
        Row(name, OURS, "web MiB", psutil.Process(state["pids"]["Web service"]).memory_info().rss / 2**20, 0.0),
    ]
    report(rows, arguments.json)


def make_project(api: httpx.Client, n_tasks: int = N_TASKS, n_annotated: int = N_ANNOTATED) -> int:
    """Tasks of which no two are alike, the first of them annotated."""
    reviews, gold = load_reviews(), load_gold()
    body = {"title": "Benchmark", "label_config": LABEL_CONFIG}
    project = int(api.post("/api/projects/", json=body).raise_for_status().json()["id"])
    tasks = []
    for number in range(n_tasks):
        first, second = reviews[number % len(reviews)], reviews[(number * 7 + number // len(reviews)) % len(reviews)]
        task: dict[str, object] = {"data": first | {"text": f"{first['text']} {second['text']} {number}"}}
        if number < n_annotated:
            value = {"choices": [gold[str(first["id"])]]}
            item = {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": value}
            task["annotations"] = [{"result": [item]}]
        tasks.append(task)
    for start in range(0, n_tasks, IMPORTED):
        api.post(f"/api/projects/{project}/import", json=tasks[start : start + IMPORTED]).raise_for_status()
    return project


def start_training(api: httpx.Client, project: int) -> None:
    """The Start Training button."""
    backend = api.get("/api/ml/", params={"project": project}).raise_for_status().json()[0]["id"]
    api.post(f"/api/ml/{backend}/train", json={}).raise_for_status()


def wait(
    state: dict[str, object], project: int, version: str, workers: list[psutil.Process], n_open: int
) -> tuple[float, float, float]:
    """Seconds until the project shows a version, until all its predictions are there, and a worker's peak in MiB."""
    started, switched, peak = time.monotonic(), 0.0, 0.0
    with client(state) as api:
        while True:
            peak = max(peak, *(memory_mib(worker) for worker in workers))
            if not switched:
                shown = api.get(f"/api/projects/{project}/").raise_for_status().json()["model_version"]
                switched = time.monotonic() - started if shown == version else 0.0
            else:
                counts = api.get(f"/api/projects/{project}/model-versions/").raise_for_status().json()
                if counts.get(version, 0) >= n_open:
                    return switched, time.monotonic() - started, peak
            time.sleep(0.2)


def memory_mib(worker: psutil.Process) -> float:
    """Memory of a worker with the process of its job, which is a fork of it: pages of both count once."""
    found = 0.0
    for process in [worker, *worker.children(recursive=True)]:
        # A job may end while it is looked at.
        with suppress(psutil.NoSuchProcess):
            found += process.memory_full_info().pss / 2**20
    return found


class _SignedIn(httpx.Auth):
    """Access tokens, which Label Studio lets expire after minutes, from one that stays."""

    requires_response_body = True

    def __init__(self, url: str, refresh: str) -> None:
        self._request = httpx.Request("POST", f"{url}/api/token/refresh/", json={"refresh": refresh})
        self._access = "none yet"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request; with a new token once more when it was refused."""
        request.headers["Authorization"] = f"Bearer {self._access}"
        if (yield request).status_code == httpx.codes.UNAUTHORIZED:
            self._access = (yield self._request).raise_for_status().json()["access"]
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request


def client(state: dict[str, Any]) -> httpx.Client:
    """Signed in to the demo's Label Studio."""
    url = state["label_studio_url"]
    return httpx.Client(base_url=url, auth=_SignedIn(url, state["api_key"]), timeout=900)


if __name__ == "__main__":
    main()
