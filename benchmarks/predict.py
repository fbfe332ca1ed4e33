"""Time of `/predict` for 1 and for 100 tasks: ours (rules, label model, classifier) and label-studio-ml's server with a
classifier alone. Also the memory of our web service afterwards.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.rules.tried import TriedRules
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.label_studios import mark_of_address
from backend.adapters.versions.folders import VersionFolders
from backend.domain.policy import Policy
from backend.domain.priorities.strategy import Strategy
from backend.entrypoints.sample import LABEL_CONFIG, load_gold, load_reviews
from backend.ports import Deps
from backend.settings import PACKAGED_RULES_DIR
from backend.workflows.train import learn
from benchmarks.common import OURS, PEER, Row, check_peer, options, our_server, peer_server, quantile, redis, report
from tests.fakes import FakeLabelStudio, FakeQueue

UID = "1.1767225600"
ROUNDS = {1: 400, 100: 100}


def train(folder: Path) -> None:
    """A version trained on 200 labels, where the web service will look for it."""
    label_studio = FakeLabelStudio()
    project = label_studio.add_project(LABEL_CONFIG, load_reviews())
    gold = load_gold()
    for number, item in list(label_studio.fakes[project].tasks.items())[:200]:
        label_studio.annotate(project, number, {"sentiment": (gold[str(item.task.data["id"])],)})
    deps = Deps(
        label_studio=label_studio,
        database=SqlDatabase(f"sqlite:///{folder}/prelabel.sqlite3", time.time),
        versions=VersionFolders(folder, f"sqlite:///{folder}/prelabel.sqlite3"),
        rules=TriedRules(PACKAGED_RULES_DIR, folder / "rules"),
        queue=FakeQueue(),
        parse_label_config=parse_label_config,
        policy=lambda _: Policy(query_strategy=Strategy.LEAST_CONFIDENCE),
        now=time.time,
    )
    learn(deps, f"{UID}-{mark_of_address('http://localhost:1')}", lambda *_: None)


def measure(url: str, n_tasks: int) -> list[float]:
    """Milliseconds of each request."""
    reviews = load_reviews()
    took = []
    with httpx.Client(timeout=60) as client:
        client.post(f"{url}/setup", json={"project": UID, "schema": LABEL_CONFIG}).raise_for_status()
        for number in range(ROUNDS[n_tasks] + 10):
            tasks: list[dict[str, Any]] = [
                {"id": place, "project": 1, "data": reviews[(number + place) % len(reviews)]}
                for place in range(n_tasks)
            ]
            body = {"tasks": tasks, "project": UID, "label_config": LABEL_CONFIG, "params": {}}
            started = time.perf_counter()
            answer = client.post(f"{url}/predict", json=body)
            took.append((time.perf_counter() - started) * 1000)
            assert len(answer.raise_for_status().json()["results"]) == n_tasks
    # The first requests load the model.
    return took[10:]


def main() -> None:
    """Measure and report."""
    arguments = options(__doc__ or "").parse_args()
    check_peer()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(folder)
        with redis(folder) as redis_url, our_server(folder, redis_url) as (ours, pid), peer_server(folder) as peer:
            for n_tasks in ROUNDS:
                for method, url in ((OURS, ours), (PEER, peer)):
                    took = measure(url, n_tasks)
                    for metric, share in (("p50 ms", 0.5), ("p99 ms", 0.99)):
                        rows.append(Row(f"predict {n_tasks}", method, metric, quantile(took, share), sum(took) / 1000))
            memory = psutil.Process(pid).memory_info().rss / 2**20
            rows.append(Row("web service", OURS, "memory MiB", memory, 0.0))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
