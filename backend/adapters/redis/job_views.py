"""Jobs as a person sees them: `prelabel jobs`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import dropwhile

from rq.exceptions import DeserializationError
from rq.job import Job as RqJob

from backend.domain.outside import read_json, storable
from backend.ports import Job, JobOptions

ERROR = "error"
LATEST = datetime(9999, 1, 1).timestamp()
"""A damaged time may be later than Python can say."""


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
    """Of its last failure, until it is done."""


def newest_last(view: JobView) -> tuple[bool, float]:
    """Sort key: what ended or runs by the time of its start, then what still waits."""
    return (view.started_at is None, view.started_at.timestamp() if view.started_at else 0.0)


def failing(views: Sequence[JobView], key: str | None = None) -> list[JobView]:
    """Of each kind of job of each project (or of one), the newest that was tried, if it failed: until it is done."""
    newest = {(view.key, view.job): view for view in sorted(views, key=newest_last) if view.started_at or view.error}
    return [view for view in newest.values() if view.error and key in {None, view.key}]


def parse_member(member: bytes) -> tuple[str, str, JobOptions]:
    """Job, project's key and options of a request in the sorted set. Raises ValueError: Redis's file was damaged."""
    job, key, options = member.decode().split("|", 2)
    return Job(job).value, key, JobOptions.from_json(job, read_json(options))


def is_request(member: bytes) -> bool:
    """Whether a member of the sorted set can be read."""
    try:
        parse_member(member)
    except ValueError:
        return False
    return True


def view_of_request(member: bytes, due: float) -> JobView:
    """A request that no worker has seen yet."""
    job, key, _ = parse_member(member)
    return JobView("", job, key, "requested", "", 0, 0, datetime.fromtimestamp(min(due, LATEST)), None, "")


def view_of_job(job: RqJob) -> JobView:
    """A job in rq."""
    try:
        args = [str(arg) for arg in job.args or ("", "")]
    except DeserializationError:
        # Redis's file was damaged. Its worker says so, too.
        args = ["?", "?"]
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
        error=_error(job),
    )


def keep_error(job: RqJob, traceback: str) -> None:
    """Keep what a job failed of while it waits to be tried again: rq itself keeps that of the last failure only."""
    job.meta[ERROR] = _reason(traceback)
    job.save_meta()


def _error(job: RqJob) -> str:
    result = job.latest_result() if job.is_failed else None
    if result is not None and result.exc_string:
        return _reason(result.exc_string)
    return "" if job.is_finished else str(job.meta.get(ERROR, ""))


def _reason(traceback: str) -> str:
    """The error itself, which may have several lines: what stands below the last frame."""
    lines = traceback.strip().split("\n")
    frames = [place for place, line in enumerate(lines) if line.startswith('  File "')]
    below = lines[frames[-1] + 1 :] if frames else lines
    message = dropwhile(lambda line: line.startswith(" "), below)
    return storable(" ".join(message) or lines[-1])
