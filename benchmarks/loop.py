"""From Start Training to the new version, on a real Label Studio: 500 annotations in a project of 5,000 tasks.

Needs a demo that runs: `prelabel demo --detach`, then `python -m benchmarks.loop --demo prelabel-demo`. There is no
peer: label-studio-ml leaves training, pushing and switching to its users. Also the memory of web service and worker.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from backend.entrypoints.connect import connect_project
from backend.entrypoints.demo import demo_settings
from backend.entrypoints.sample import LABEL_CONFIG, load_gold, load_reviews
from backend.settings import Settings
from benchmarks.common import OURS, Row, options, report

N_TASKS = 5000
N_ANNOTATED = 500
NAME = "500 of 5,000"


def main() -> None:
    """Measure and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--demo", type=Path, default=Path("prelabel-demo"))
    arguments = parser.parse_args()
    if not (arguments.demo / "demo.json").exists():
        parser.exit(
            0, f"skipped: there is no demo in {arguments.demo} (prelabel demo --detach --dir {arguments.demo})\n"
        )
    state = json.loads((arguments.demo / "demo.json").read_text())
    settings = Settings.model_validate(demo_settings(arguments.demo))
    with client(state) as api:
        project = make_project(api)
    workers = [psutil.Process(pid) for name, pid in state["pids"].items() if name.startswith("Worker")]
    started = time.monotonic()
    connect_project(settings, project)
    first = wait(state, project, "v1", workers)
    rows = [Row(NAME, OURS, "connect to v1 s", first[0], time.monotonic() - started)]
    with client(state) as api:
        backend = api.get("/api/ml/", params={"project": project}).json()[0]["id"]
        api.post(f"/api/ml/{backend}/train", json={}).raise_for_status()
    switched, complete, peak = wait(state, project, "v2", workers)
    rows += [
        Row(NAME, OURS, "train to switch s", switched, switched),
        Row(NAME, OURS, "train to complete s", complete, complete),
        Row(NAME, OURS, "worker peak MiB", peak, 0.0),
        Row(NAME, OURS, "web MiB", psutil.Process(state["pids"]["Web service"]).memory_info().rss / 2**20, 0.0),
    ]
    report(rows, arguments.json)


def make_project(api: httpx.Client) -> int:
    """5,000 tasks, no two alike, the first 500 annotated."""
    reviews, gold = load_reviews(), load_gold()
    body = {"title": "Benchmark", "label_config": LABEL_CONFIG}
    project = int(api.post("/api/projects/", json=body).raise_for_status().json()["id"])
    tasks = []
    for number in range(N_TASKS):
        first, second = reviews[number % len(reviews)], reviews[(number * 7 + number // len(reviews)) % len(reviews)]
        task: dict[str, object] = {"data": first | {"text": f"{first['text']} {second['text']}"}}
        if number < N_ANNOTATED:
            value = {"choices": [gold[str(first["id"])]]}
            item = {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": value}
            task["annotations"] = [{"result": [item]}]
        tasks.append(task)
    api.post(f"/api/projects/{project}/import", json=tasks).raise_for_status()
    return project


def wait(
    state: dict[str, object], project: int, version: str, workers: list[psutil.Process]
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
                if counts.get(version, 0) >= N_TASKS - N_ANNOTATED:
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


def client(state: dict[str, object]) -> httpx.Client:
    """Signed in to the demo's Label Studio."""
    url = str(state["label_studio_url"])
    answer = httpx.post(f"{url}/api/token/refresh/", json={"refresh": state["api_key"]}, timeout=60)
    headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['access']}"}
    return httpx.Client(base_url=url, headers=headers, timeout=300)


if __name__ == "__main__":
    main()
