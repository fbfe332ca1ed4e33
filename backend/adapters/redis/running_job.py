"""The rq job that this process runs, as its own code sees it. Outside a job nothing happens."""

import math

import structlog
from redis.exceptions import RedisError
from rq.job import get_current_job

BOUNCED_TTL_S = 5
"""A job that met a busy project is asked for again every few seconds: nobody wants to read of each time."""

log = structlog.get_logger()


def report_progress(step: str, done: int, total: int) -> None:
    """Write the progress of the running rq job into its meta."""
    job = get_current_job()
    if job is not None:
        job.meta.update(step=step, done=done, total=total)
        try:
            job.save_meta()
        except RedisError as error:
            # Nobody sees how far the job is; that is no reason to begin anew.
            log.warning("progress is not shown", error=str(error))


def job_id() -> str:
    """Id of the running rq job, for log lines; "" outside a job."""
    job = get_current_job()
    return "" if job is None else job.id


def job_asked_at() -> float:
    """When the running rq job was asked for, in seconds since the epoch; infinity outside a job."""
    job = get_current_job()
    return math.inf if job is None or job.created_at is None else job.created_at.timestamp()


def forget_soon() -> None:
    """Keep the running rq job for seconds only once it is done: it did nothing."""
    job = get_current_job()
    if job is not None:
        job.result_ttl = BOUNCED_TTL_S


def without_retries() -> None:
    """Make the running rq job's failure its last one."""
    job = get_current_job()
    if job is not None:
        job.retries_left = 0
        job.save()
