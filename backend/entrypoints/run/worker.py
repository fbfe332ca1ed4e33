"""The rq worker: runs one job at a time, in a process of its own."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue, Worker
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.worker_registration import register

from backend.adapters.redaction import redact
from backend.adapters.redis.job_views import keep_error
from backend.adapters.redis.queue import OwnJob, RedisQueue
from backend.adapters.sql.database import SqlDatabase
from backend.bootstrap import build
from backend.domain.outside import storable
from backend.settings import Settings
from backend.settings.llm import BUILTIN

if TYPE_CHECKING:
    from redis.client import Pipeline

log = structlog.get_logger()

HEARTBEAT_EACH_S = 5
MISSING_AFTER_S = 20
"""A worker that gave no sign for so long is dead, and its job goes to another one."""
IDLE_SIGN_EACH_S = 15
"""An idle worker's signs; `prelabel_workers` counts it for a minute longer."""
PRELOADED = (
    "backend.entrypoints.jobs",
    "backend.adapters.rules.yaml_rules",
    "backend.adapters.versions.features",
    "backend.adapters.versions.models",
    "backend.adapters.versions.tables",
    "cleanlab.multiannotator",
    "httpcore",
    "modAL.disagreement",
    "pyarrow.dataset",
    "label_studio_sdk.label_interface.interface",
)
"""Loaded once in the worker instead of in each job's process, which is forked from it."""
PRELOADED_FOR_MODELS = ("backend.adapters.llm.client",)
"""The same, where an LLM or an embedding model is configured."""
KEPT_OF_FAILURE = 50_000
"""Characters of a traceback."""
NICENESS = 5
"""A third of the processor time that the web service gets when both want it: in one service's control group. In a login
session Linux shares the time between sessions, and each of our processes has its own."""


class PrelabelWorker(Worker):
    """An rq worker whose death is noticed after seconds (rq's own: after 90 s), and that runs our jobs only."""

    job_class = OwnJob
    outcomes: RedisQueue
    """Counts what was killed."""
    database: SqlDatabase | None = None
    """Seen by the jobs' processes as it was when this worker first saw it."""

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002 - rq's signature
        """Seconds that a sign of life counts for."""
        return MISSING_AFTER_S

    def heartbeat(self, timeout: int | None = None, pipeline: "Pipeline | None" = None) -> None:
        """Give a sign of life, also to a Redis that lost its data and doesn't know us any more."""
        super().heartbeat(timeout, pipeline)
        register(self, pipeline)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Begin a job's process."""
        if self.database is not None:
            self.database.note()
        super().fork_work_horse(job, queue)

    def set_current_job_working_time(self, current_job_working_time: float, pipeline: "Pipeline | None" = None) -> None:
        """Say how long the job has run."""
        with _not_ended_by_redis():
            super().set_current_job_working_time(current_job_working_time, pipeline)

    def maintain_heartbeats(self, job: Job) -> None:
        """Give a sign of life, for the job as well."""
        with _not_ended_by_redis():
            super().maintain_heartbeats(job)

    def run_maintenance_tasks(self) -> None:
        """Nothing: our scheduler does it, sooner."""

    def handle_work_horse_killed(self, job: Job, *_: object) -> None:
        """Count a job whose process was killed, for example because memory was short."""
        self.outcomes.count_killed(job)

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry | None = None, exc_string: str = ""
    ) -> None:
        """Keep a failure in Redis, without secrets: whoever may look into the queue need not know them.

        Half characters of users' texts, which Redis can't hold, would leave the job running for ever. The end says why.
        """
        said = storable(redact(exc_string)[-KEPT_OF_FAILURE:], KEPT_OF_FAILURE)
        keep_error(job, said)
        super().handle_job_failure(job, queue, started_job_registry, said)


@contextmanager
def _not_ended_by_redis() -> Iterator[None]:
    """Let a job go on while Redis is away: answers that it waits for are paid for. The next sign comes in seconds."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        log.warning("Redis is away: the job goes on", error=str(error))


def preload(settings: Settings) -> None:
    """Load what jobs need, besides what building the application loads."""
    asks_embeddings = settings.embeds and settings.embedding_model != BUILTIN
    has_models = settings.llm_model or asks_embeddings
    for name in (*PRELOADED, *(PRELOADED_FOR_MODELS if has_models else ())):
        importlib.import_module(name)


def run_worker(settings: Settings) -> None:
    """Work until stopped. A running job is finished first on SIGTERM."""
    preload(settings)
    # Annotators wait for the web service, nobody waits for a job: on a busy machine, jobs stand back.
    os.nice(NICENESS)

    app = build(settings)
    queue = app.queue
    connection, rq_queue = queue.for_worker()
    worker = PrelabelWorker(
        [rq_queue],
        connection=connection,
        serializer=JSONSerializer,
        job_monitoring_interval=HEARTBEAT_EACH_S,
        # rq waits for a job 15 seconds less than this, and then gives a sign.
        worker_ttl=IDLE_SIGN_EACH_S + 15,
    )
    worker.outcomes, worker.database = queue, app.database
    # Retries are moved by our scheduler.
    worker.work(with_scheduler=False, logging_level=settings.log_level)
