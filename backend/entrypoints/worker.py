"""The rq worker: runs one job at a time, in a process of its own."""

from rq import Queue, Worker
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from backend.adapters.logs import redact
from backend.adapters.queue import OwnJob
from backend.bootstrap import build
from backend.settings import Settings

HEARTBEAT_EACH_S = 5
MISSING_AFTER_S = 20
"""A worker that gave no sign for so long is dead, and its job goes to another one."""


class PromptWorker(Worker):
    """An rq worker whose death is noticed after seconds (rq's own: after 90 s), and that runs our jobs only."""

    job_class = OwnJob

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002 - rq's signature
        """Seconds that a sign of life counts for."""
        return MISSING_AFTER_S

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry | None = None, exc_string: str = ""
    ) -> None:
        """Keep a failure in Redis, without secrets: whoever may look into the queue need not know them."""
        super().handle_job_failure(job, queue, started_job_registry, redact(exc_string))


def run_worker(settings: Settings) -> None:
    """Work until stopped. A running job is finished first on SIGTERM."""
    # Loaded once here instead of in each job's process, which is forked from this one.
    import backend.entrypoints.jobs  # noqa: F401, PLC0415

    queue = build(settings).queue
    worker = PromptWorker(
        [queue.rq], connection=queue.redis, serializer=JSONSerializer, job_monitoring_interval=HEARTBEAT_EACH_S
    )
    worker.work(with_scheduler=True, logging_level=settings.log_level)
