"""Jobs as a person sees them: `prelabel jobs`."""

from dataclasses import dataclass
from datetime import datetime

from rq.job import Job as RqJob


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as a person sees it."""

    id: str
    job: str
    key: str
    status: str
    step: str
    done: int
    total: int
    started_at: datetime | None
    ended_at: datetime | None
    error: str


def newest_last(view: JobView) -> tuple[bool, float]:
    """Sort key: what ended or runs by the time of its start, then what still waits."""
    return (view.started_at is None, view.started_at.timestamp() if view.started_at else 0.0)


def view_of_request(member: bytes, due: float) -> JobView:
    """A request that no worker has seen yet."""
    job, key, _ = member.decode().split("|")
    return JobView("", job, key, "requested", "", 0, 0, datetime.fromtimestamp(due), None, "")


def view_of_job(job: RqJob) -> JobView:
    """A job in rq."""
    args = [str(arg) for arg in job.args or ("", "")]
    result = job.latest_result() if job.is_failed or job.is_scheduled else None
    last_line = (result.exc_string if result and result.exc_string else "").strip().rsplit("\n", 1)[-1]
    return JobView(
        id=job.id,
        job=args[0],
        key=args[1],
        status=str(job.get_status(refresh=False).value),
        step=str(job.meta.get("step", "")),
        done=int(job.meta.get("done", 0)),
        total=int(job.meta.get("total", 0)),
        started_at=job.started_at,
        ended_at=job.ended_at,
        error=last_line,
    )
