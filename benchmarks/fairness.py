"""A small project beside one that trains on 100,000 tasks: how long Start Training takes there, alone and meanwhile.

Needs a demo that runs, with its two workers: `prelabel demo --detach`, then
`python -m benchmarks.fairness --demo prelabel-demo [--tasks N] [--annotated N] [--json FILE]`.

The large project has 100,000 tasks, 10,000 of them annotated, and the small one 500 of 5,000. "Start Training" is
pressed in the small one three times alone, then in the large one, and in the small one again and again until the large
one's training has ended. The small project must not wait for the large one: its figures meanwhile are compared with its
own alone. On two cores it shares them with the large training, so up to twice as long is no waiting.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.adapters.job_views import JobView
from backend.adapters.queue import RedisQueue
from backend.entrypoints.connect import connect_project
from backend.entrypoints.demo import demo_settings
from backend.ports import Job
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
    queue: RedisQueue
    project: int

    def jobs(self) -> list[JobView]:
        """What is asked for, runs and ran in this project, as far as the queue remembers."""
        return [job for job in self.queue.jobs() if job.key.startswith(f"{self.project}.")]

    def press(self) -> float:
        """Start a training; returns when."""
        pressed = time.time()
        with client(self.state) as api:
            start_training(api, self.project)
        return pressed

    def trained(self, pressed: float) -> tuple[float, float] | None:
        """Seconds from the button until the training began, and until it had ended; None before."""
        for job in self.jobs():
            if job.job == Job.TRAIN.value and job.started_at and job.started_at.timestamp() > pressed and job.ended_at:
                return job.started_at.timestamp() - pressed, job.ended_at.timestamp() - pressed
        return None

    def train(self) -> tuple[float, float]:
        """`trained`, of a training that is started now and waited for. The project is at rest before."""
        self.rest()
        pressed, deadline = self.press(), time.monotonic() + GIVEN_UP_S
        while (found := self.trained(pressed)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"project {self.project} wasn't trained: see `prelabel jobs`")
            time.sleep(LOOKED_EACH_S)
        return found

    def rest(self) -> None:
        """Wait until nothing is asked for or runs."""
        deadline = time.monotonic() + GIVEN_UP_S
        while any(job.status in BUSY for job in self.jobs()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"project {self.project} doesn't come to rest: see `prelabel jobs`")
            time.sleep(LOOKED_EACH_S)


def connected(state: dict[str, Any], settings: Settings, queue: RedisQueue, n_tasks: int, n_annotated: int) -> Team:
    """A new project that has its first version, and no work left."""
    with client(state) as api:
        team = Team(state, queue, make_project(api, n_tasks, n_annotated))
    before = time.time()
    connect_project(settings, team.project)
    while team.trained(before) is None:
        time.sleep(LOOKED_EACH_S)
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
    queue = RedisQueue(f"unix://{state['model_dir']}/redis/redis.sock", 60)
    small = connected(state, settings, queue, 5_000, 500)
    large = connected(state, settings, queue, arguments.tasks, arguments.annotated)
    alone, meanwhile = [small.train() for _ in range(ALONE)], list[tuple[float, float]]()
    pressed = large.press()
    while (whole := large.trained(pressed)) is None:
        took = small.train()
        # One that ended after the large training had part of the machine for itself.
        if large.trained(pressed) is None:
            meanwhile.append(took)
    if not meanwhile:
        parser.exit(1, "the large training ended before one of the small project: give it more tasks\n")
    rows = []
    for name, found in (("small, alone", alone), ("small, meanwhile", meanwhile), ("large", [whole])):
        begun, ended = medians(found)
        rows += [Row(name, OURS, "begun after s", begun, begun), Row(name, OURS, "ended after s", ended, ended)]
    ratio = medians(meanwhile)[1] / medians(alone)[1]
    rows.append(Row("small, meanwhile", OURS, "times as long as alone", ratio, float(len(meanwhile))))
    report(rows, arguments.json)
    if ratio >= BAR:
        parser.exit(1, f"the small project's training took {ratio:.1f} times as long, not below {BAR}\n")


if __name__ == "__main__":
    main()
