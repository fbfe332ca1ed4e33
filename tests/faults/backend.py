"""The backend's own processes on a real Label Studio, with a proxy in each direction, to be killed and cut off.

What takes half a minute in use (missing a dead worker, the pauses between tries, a lock's life) takes seconds here: the
processes are the real ones, with these durations set shorter before they start.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import httpx
import psutil
from redis import Redis

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.redis.job_views import JobView
from backend.adapters.sql.label_studios import mark_of_address
from backend.bootstrap import App, build
from backend.domain.tasks import Annotation, MirroredTask
from backend.entrypoints.connect import connect_project
from backend.entrypoints.run import processes
from backend.entrypoints.run.processes import Program, Supervisor, backend_programs, redis_program
from backend.errors import BackendError
from backend.ports import VersionRecord, VersionStatus
from backend.settings import Settings
from backend.workflows.trained import new_labels
from tests.conftest import Demo, free_port
from tests.e2e.team import Team
from tests.proxy import Proxy

QUICK = """
import sys
from backend.adapters.redis import locks, queue
from backend.adapters.sql import engine as sql
from backend.entrypoints.cli import main as cli
from backend.entrypoints.run import scheduler, worker
worker.HEARTBEAT_EACH_S, worker.MISSING_AFTER_S = 1, 4
scheduler.RECOVER_EACH_S = 1.0
queue.RETRIES_S, locks.LOCK_TTL_S, queue.BETWEEN_S = [0, 1, 2, 2], 4, 4.0
sql.BUSY_TIMEOUT_MS = 3000
cli.main()
"""
BATCH = 12
"""Labels after which a version is trained."""
SETTLED_S = STAGE_S = 240
STEPS = {
    "collecting votes": 1,
    "training": 1,
    "choosing what to label next": 2,
    "tagging suspects": 4,
    "tagging data issues": 4,
}
"""Step of a job -> how far the work is: 1 training, 2 scoring, 3 pushing, 4 looking for wrong labels and tagging."""


@dataclass(frozen=True)
class Outcome:
    """What is there once everything has settled, by place of the task in its project.

    predictions: answer and score of the version that is shown. verdicts: content and label, and what was said.
    """

    version: str
    annotations: dict[int, tuple[str, ...]]
    predictions: dict[int, tuple[str, float]]
    verdicts: set[tuple[str, str]]


class Backend:
    """A context manager: Redis, web service, two workers and a scheduler, restarted when they die."""

    def __init__(self, demo: Demo, folder: Path, **environment: str) -> None:
        """`environment`: settings besides, and what else its processes find in their environment, Redis too."""
        self.demo = demo
        self.folder = folder
        port = free_port()
        self.outbound = Proxy(demo.url)
        """From us to Label Studio."""
        self.inbound = Proxy(f"http://127.0.0.1:{port}")
        """From Label Studio to us."""
        self.environment = {
            "LABEL_STUDIO_URL": self.outbound.url,
            "LABEL_STUDIO_API_KEY": str(demo.state["api_key"]),
            "MODEL_DIR": str(folder / "m"),
            "PORT": str(port),
            "BACKEND_URL": self.inbound.url,
            "REDIS_URL": "",
            "DATABASE_URL": "",
            "WORKERS": "2",
            "TOP_TASKS": "10",
            "AUDIT_SHARE": "0",
            "START_TRAINING_EACH_N_UPDATES": str(BATCH),
            "TRAINING_QUIET_S": "600",
            "RECONCILE_EACH_S": "15",
            # However slow the machine is, all classifiers are compared: trainings can be repeated.
            "CLASSIFIER_CHOICE_S": "600",
            **environment,
        }
        self.settings = Settings.model_validate(self.environment)
        self.ahead_s = 0.0
        """By how much its clock is ahead of ours."""
        self.said: list[str] = []
        self.stop = threading.Event()
        self.supervisor = Supervisor(folder / "logs", self.said.append, self.stop)
        self.label_studio = LabelStudioApi(demo.url, str(demo.state["api_key"]))
        """Past the proxy."""
        self._settled_after_s = processes.SETTLED_AFTER_S

    def __enter__(self) -> "Backend":
        self.outbound.__enter__()
        self.inbound.__enter__()
        # Each kill is one that the supervisor has not seen before: it restarts without a pause.
        processes.SETTLED_AFTER_S = 0.0
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        processes.SETTLED_AFTER_S = self._settled_after_s
        self.end()
        self.outbound.__exit__(None, None, None)
        self.inbound.__exit__(None, None, None)

    def start(self) -> None:
        """Start all programs."""
        self.stop.clear()
        redis = redis_program(self.settings)
        self.supervisor.start(replace(redis, environment=os.environ | self.environment))
        for program in backend_programs(self.settings, os.environ | self.environment):
            self.supervisor.start(quick(program))
        self._watching = threading.Thread(target=self.supervisor.watch, daemon=True)
        self._watching.start()

    def end(self) -> None:
        """Stop all programs."""
        self.stop.set()
        self._watching.join(60)
        self.supervisor.stop()

    def restart(self, **environment: str) -> None:
        """Stop all programs and start them with other settings."""
        self.end()
        self.environment |= environment
        self.settings = Settings.model_validate(self.environment)
        self.start()

    @cached_property
    def app(self) -> App:
        """The application as the command line builds it: with connections of its own."""
        return build(self.settings)

    @cached_property
    def redis(self) -> Redis:
        return Redis.from_url(self.settings.queue_url)

    def web(self, path: str) -> httpx.Response:
        """What the web service answers, which must be soon."""
        return httpx.get(f"http://127.0.0.1:{self.settings.port}{path}", timeout=60, trust_env=False)

    def is_ready(self) -> bool:
        """Whether all parts that the web service needs are there, and it is itself."""
        try:
            return self.web("/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def figure(self, name: str, *words: str) -> float:
        """Sum of the figures in `/metrics` of a name whose labels hold all of some words."""
        lines = [line for line in self.web("/metrics").text.splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(word in line for word in words))

    # Damage

    def kill(self, name: str) -> None:
        """kill -9 of a program with all its children at one moment."""
        self.kill_family(self.supervisor.pids()[name])

    def kill_family(self, pid: int) -> None:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in family(pid):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def pause(self, stage: int, team: Team) -> list[psutil.Process]:
        """Stand still the processes of the worker whose job is at a stage; go on with `resume`."""
        pid, _ = self.wait_for_stage(stage, team)
        stopped = family(pid)
        for process in stopped:
            process.suspend()
        return stopped

    def kill_at(self, stage: int, delay_s: float, team: Team) -> int:
        """kill -9 of the worker, with its job, a moment after a stage was reached; returns the stage that it was in."""
        while True:
            pid, _ = self.wait_for_stage(stage, team)
            time.sleep(delay_s)
            stopped = family(pid)
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            found = self.busy(team)
            if found and found[0] == pid:
                self.kill_family(pid)
                return found[1]
            # Its job ended in that moment.
            resume(stopped)
            delay_s /= 2

    def busy(self, team: Team) -> tuple[int, int] | None:
        """Process and stage of the worker whose job in a project is the furthest; None when there is no job."""
        found = []
        for job in self.jobs(team):
            name = self.redis.hget(f"rq:job:{job.id}", "worker_name")
            pid = self.redis.hget(f"rq:worker:{bytes(name).decode()}", "pid") if isinstance(name, bytes) else None
            if pid is None:
                # A Redis that lost its data knows no worker's process.
                workers = [number for part, number in self.supervisor.pids().items() if part.startswith("Worker")]
                pid = next((str(number).encode() for number in workers if len(family(number)) > 1), None)
            # A killed worker's job is shown as running until that is noticed.
            if isinstance(pid, bytes) and len(family(int(pid))) > 1:
                found.append((int(pid), stage_of(job)))
        return max(found, key=lambda item: item[1], default=None)

    def wait_for_stage(self, stage: int, team: Team) -> tuple[int, int]:
        """The worker that has reached a stage, and the stage."""
        deadline = time.monotonic() + STAGE_S
        while True:
            found = self.busy(team)
            if found and found[1] >= stage:
                return found
            assert time.monotonic() < deadline, f"stage {stage} was not reached: {self.account()}"
            time.sleep(0.01)

    def forget(self, team: Team) -> None:
        """Delete a project that no test needs any more, so that the others have the machine."""
        with self.demo.api as api:
            api.delete(f"/api/projects/{team.project}/").raise_for_status()

    # What is there

    def connect(self, team: Team) -> None:
        connect_project(self.settings, team.project)

    def key(self, team: Team) -> str:
        return f"{self.label_studio.project(team.project).uid}-{mark_of_address(self.outbound.url)}"

    def jobs(self, team: Team) -> list[JobView]:
        """Jobs of a project that run."""
        return [
            job
            for job in self.app.queue.jobs()
            if job.status == "started" and job.key.startswith(f"{team.project}.") and job.step != "done"
        ]

    def live(self, team: Team) -> VersionRecord | None:
        records = self.app.database.versions(self.key(team))
        return next((item for item in records if item.status is VersionStatus.LIVE), None)

    def unsettled(self, team: Team) -> str:
        """Why things are not as they should be in the end; "" when they are."""
        app, key = self.app, self.key(team)
        now = time.time() + self.ahead_s
        busy = [job for job in app.queue.jobs() if job.key == key and is_busy(job, now)]
        if busy:
            return f"jobs wait or run: {busy}"
        record = app.database.project(key)
        theirs = [item for page in self.label_studio.tasks(team.project) for item in page]
        if record is None or given(theirs) != given(app.database.tasks(key)):
            return "the mirror has other tasks or annotations than Label Studio"
        live = self.live(team)
        info = self.label_studio.project(team.project)
        if live is None or live.number != app.versions.current(key) or info.model_version != live.name:
            return f"{info.model_version} is shown, and {live} is live"
        if new_labels(app.deps, live) >= BATCH:
            return "a version is due"
        if record.checked_at < live.created_at:
            return f"{live.name} was not checked"
        predicted = {item["task"] for item in self.predictions(team) if item["model_version"] == live.name}
        is_open = {item.task.id for item in theirs if item.task.is_open}
        return f"{len(is_open - predicted)} open tasks have no suggestion" if is_open - predicted else ""

    def settle(self, team: Team) -> None:
        """Wait until all is as it should be; fails with what isn't."""
        deadline = time.monotonic() + SETTLED_S
        times = 0
        while times < 2:
            why = "it can't be asked"
            with suppress(httpx.HTTPError, psutil.Error, BackendError):
                why = self.unsettled(team)
            times = 0 if why else times + 1
            assert time.monotonic() < deadline, f"not within {SETTLED_S} s: {why}\n{self.account()}"
            time.sleep(0.5)

    def predictions(self, team: Team) -> list[dict[str, object]]:
        found: list[dict[str, object]] = team.get("/api/predictions/", project=team.project)
        return found

    def assert_nothing_double(self, team: Team) -> None:
        """One prediction for each task and version, and not more than two versions."""
        pairs = [(item["task"], item["model_version"]) for item in self.predictions(team)]
        assert len(pairs) == len(set(pairs)), f"{len(pairs) - len(set(pairs))} predictions twice"
        assert len({version for _, version in pairs}) <= 2

    def outcome(self, team: Team) -> Outcome:
        app, key, live = self.app, self.key(team), self.live(team)
        assert live is not None
        place = {task_id: place for place, task_id in enumerate(team.task_ids)}
        shown = team.predictions(live.name)
        return Outcome(
            live.name,
            {
                place[item.task.id]: tuple(str(entry.answers) for entry in item.annotations)
                for item in app.database.tasks(key)
                if item.annotations
            },
            {place[task_id]: (str(item["result"]), float(item["score"])) for task_id, item in shown.items()},
            {(item.id, item.status.value) for item in app.database.verdicts(key)},
        )

    def account(self, lines: int = 25) -> str:
        """Its jobs, and the last lines of its logs."""
        told = [f"{job.key} {job.job} {job.status} {job.step} {job.error}" for job in self.app.queue.jobs()]
        for log in sorted((self.folder / "logs").glob("*.log")):
            said = log.read_text(errors="replace").splitlines()
            told += ["", log.name, *(line[:400] for line in said[-lines:])]
        return "\n".join([*told, *self.said])


def quick(program: Program) -> Program:
    """The program with shorter durations."""
    *_, name = program.command
    return replace(program, command=[sys.executable, "-c", QUICK, name])


def is_busy(job: JobView, now: float) -> bool:
    if job.status == "requested":
        # `started_at` is when it is due: a training on few labels may wait for long.
        return job.started_at is not None and job.started_at.timestamp() < now + 5
    return job.status in {"queued", "started", "scheduled"}


def stage_of(job: JobView) -> int:
    """See `STEPS`; 0 = before all of them."""
    if job.job == "check":
        return 4
    return 3 if job.step.startswith(("pushing", "removing")) else STEPS.get(job.step, 0) if job.job == "train" else 0


def family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def resume(stopped: list[psutil.Process]) -> None:
    for process in stopped:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def given(items: list[MirroredTask]) -> dict[int, dict[int, tuple[Mapping[str, object], str]]]:
    """Annotations with their answers and times, by task."""

    def shown(entry: Annotation) -> tuple[Mapping[str, object], str]:
        return dict(entry.answers), entry.updated_at

    return {item.task.id: {entry.id: shown(entry) for entry in item.annotations} for item in items}
