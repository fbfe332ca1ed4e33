"""A small project beside one that trains on 100,000 tasks: how long Start Training takes there, alone and meanwhile.

Needs a demo that runs, with its two workers: `prelabel demo --detach`, then
`python -m benchmarks.fairness --demo prelabel-demo [--tasks N] [--annotated N] [--json FILE]`.

The large project has 100,000 tasks, 10,000 of them annotated, and the small one 500 of 5,000. "Start Training" is
pressed in the small one three times alone, then in the large one, and in the small one again and again until the large
one's training has ended. The small project must not wait for the large one: its figures meanwhile are compared with its
own alone. On two cores it shares them with the large training, so up to twice as long is no waiting. A training has
ended when all suggestions of its version are in Label Studio.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.adapters.redis.job_views import JobView
from backend.bootstrap import App, build
from backend.entrypoints.connect import connect_project
from backend.entrypoints.run.demo import demo_settings
from backend.ports import Job, VersionStatus
from backend.settings import Settings
from benchmarks.common import OURS, Row, options, quantile, report
from benchmarks.loop import client, make_project, start_training

N_TASKS, N_ANNOTATED = 100_000, 10_000
ALONE = 3
BAR = 2.0
GIVEN_UP_S = 1_800
LOOKED_EACH_S = 0.5
BUSY = {"requested", "queued", "started", "scheduled"}


@dataclass
class Team:
    """A project of the demo, for somebody who presses its button."""

    state: dict[str, Any]
    app: App
    project: int

    def jobs(self) -> list[JobView]:
        """What is asked for, runs and ran in this project, as far as the queue remembers."""
        return [job for job in self.app.queue.jobs() if job.key.startswith(f"{self.project}.")]

    def live(self) -> int:
        """The newest version of which all suggestions are in Label Studio; 0 before the first."""
        keys = [item.key for item in self.app.deps.database.projects() if item.project_id == self.project]
        versions = [item for key in keys for item in self.app.deps.database.versions(key)]
        return max((item.number for item in versions if item.status is VersionStatus.LIVE), default=0)

    def train(self) -> tuple[float, float]:
        """Press the button of the project at rest: seconds until the training begins, and until its version is live."""
        self.rest()
        before, pressed = self.live(), time.time()
        with client(self.state) as api:
            start_training(api, self.project)
        return self.trained(before, pressed)

    def trained(self, before: int, pressed: float) -> tuple[float, float]:
        """Wait for a training that follows a version; a failed push is tried again, and counts as long as it takes."""
        begun = None
        while self.live() <= before:
            if begun is None:
                started = [job.started_at.timestamp() for job in self.jobs() if job.job == Job.TRAIN and job.started_at]
                begun = min((moment - pressed for moment in started if moment > pressed), default=None)
            if time.time() - pressed > GIVEN_UP_S:
                raise TimeoutError(f"project {self.project} wasn't trained: see `prelabel jobs`")
            time.sleep(LOOKED_EACH_S)
        ended = time.time() - pressed
        return ended if begun is None else begun, ended

    def rest(self) -> None:
        """Wait until nothing is asked for or runs."""
        deadline = time.monotonic() + GIVEN_UP_S
        while any(job.status in BUSY for job in self.jobs()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"project {self.project} doesn't come to rest: see `prelabel jobs`")
            time.sleep(LOOKED_EACH_S)


def connected(state: dict[str, Any], settings: Settings, n_tasks: int, n_annotated: int) -> Team:
    """A new project that has its first version, and no work left."""
    with client(state) as api:
        team = Team(state, build(settings), make_project(api, n_tasks, n_annotated))
    started = time.time()
    connect_project(settings, team.project)
    team.trained(0, started)
    team.rest()
    return team


def medians(found: list[tuple[float, float]]) -> tuple[float, float]:
    """Of some trainings: seconds until they began, and until they had ended."""
    return quantile([begun for begun, _ in found], 0.5), quantile([ended for _, ended in found], 0.5)


def main() -> None:
    """Measure and report."""
    parser = options(__doc__ or "")
    parser.add_argument("--demo", type=Path, default=Path("prelabel-demo"))
    parser.add_argument("--tasks", type=int, default=N_TASKS, help="of the large project")
    parser.add_argument("--annotated", type=int, default=N_ANNOTATED, help="of them")
    arguments = parser.parse_args()
    if not (arguments.demo / "demo.json").exists():
        start = f"prelabel demo --detach --dir {arguments.demo}"
        parser.exit(0, f"skipped: there is no demo in {arguments.demo} ({start})\n")
    state = json.loads((arguments.demo / "demo.json").read_text())
    settings = Settings.model_validate(demo_settings(arguments.demo))
    small = connected(state, settings, 5_000, 500)
    large = connected(state, settings, arguments.tasks, arguments.annotated)
    alone, meanwhile = [small.train() for _ in range(ALONE)], list[tuple[float, float]]()
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(large.train)
        while not whole.done():
            took = small.train()
            # One that ended after the large training had part of the machine for itself.
            if not whole.done():
                meanwhile.append(took)
    if not meanwhile:
        parser.exit(1, "the large training ended before one of the small project: give it more tasks\n")
    rows = []
    for name, found in (("small, alone", alone), ("small, meanwhile", meanwhile), ("large", [whole.result()])):
        begun, ended = medians(found)
        rows += [Row(name, OURS, "begun after s", begun, begun), Row(name, OURS, "ended after s", ended, ended)]
    ratio = medians(meanwhile)[1] / medians(alone)[1]
    rows.append(Row("small, meanwhile", OURS, "times as long as alone", ratio, float(len(meanwhile))))
    report(rows, arguments.json)
    if ratio >= BAR:
        parser.exit(1, f"the small project's training took {ratio:.1f} times as long, not below {BAR}\n")


if __name__ == "__main__":
    main()
