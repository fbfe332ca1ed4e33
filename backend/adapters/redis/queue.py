"""Jobs through Redis and rq: the `Queue` port, and what the scheduler and `prelabel jobs` need besides.

A request is one member of a sorted set, scored with the time at which it is due. That one write makes requests
idempotent, delays and postpones them, and is all that a webhook waits for. The scheduler moves what is due into rq.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry as ConnectionRetry
from rq import Queue as RqQueue
from rq import Worker
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job as RqJob
from rq.job import JobStatus, Retry
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.worker_registration import clean_worker_registry

from backend.adapters.redis.access import ANSWER_S, BACKOFF, TRIES, named_errors
from backend.adapters.redis.figures import Figures
from backend.adapters.redis.job_views import (
    JobView,
    is_request,
    newest_last,
    parse_member,
    view_of_job,
    view_of_request,
)
from backend.adapters.redis.locks import Locks
from backend.adapters.redis.running_job import report_progress
from backend.adapters.redis.wishes import WISH_TTL_S, is_wish, wish_key
from backend.errors import BadRequest, ConfigurationError
from backend.ports import PLAIN, REGULAR, Job, JobOptions

DUE = "prelabel:due"
QUEUE_NAME = "prelabel"
RUN = "backend.entrypoints.jobs.run"
"""Dotted path of the function that workers call: run(job, key, options)."""
RETRIES_S = [0, 30, 120, 300]
"""Pauses before a failed job is tried again: at once, because its worker may just have been killed, then long enough
for Label Studio to restart."""
RESULT_TTL_S = 24 * 3600
FAILURE_TTL_S = 7 * 24 * 3600
SCHEDULER_ALIVE = "prelabel:scheduler"
SHIFTED = "prelabel:shifted"
SCHEDULER_TTL_S = 15
BETWEEN_S = 20.0
"""A worker that took a job off the queue begins with it long before so many seconds have passed."""
SOON_S = 60.0
"""Longer than anything waits that an event asked for: it is put off by seconds, and a project rests for ten at most."""
SHIFTED_ONCE_S = 10
DAMAGED = (NoSuchJobError, DeserializationError, ValueError, TypeError, AttributeError)
"""What rq raises for a job that isn't there, or whose fields can't be read."""
KILLED = "killed"
"""Outcome of a job whose process or worker was killed; it is tried again."""

log = structlog.get_logger()


class OwnJob(RqJob):
    """An rq job that can only be ours.

    Jobs are JSON: rq's default, pickle, would make write access to Redis code execution. So would a job's function,
    which rq finds by the name that stands in Redis, and the functions to call after it.
    """

    @property
    def func(self) -> Callable[..., Any]:
        """The function to call. Raises BadRequest when it isn't the one that all our jobs have."""
        if self.func_name != RUN or self.instance is not None:
            raise BadRequest("This job is none of Prelabel's: it is not run. Who else writes to its Redis?")
        return super().func  # type: ignore[no-any-return]

    def restore(self, raw_data: Any) -> None:
        """Read a job from Redis, without the functions to call after it: ours have none."""
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None


class RedisQueue:
    """Requests, locks and rq on one Redis. Opens nothing before its first call."""

    def __init__(self, url: str, train_timeout_s: int) -> None:
        self._url = url
        # One that refuses connections is being restarted, which takes a second; one that is silent isn't asked again.
        retry = ConnectionRetry(BACKOFF, TRIES, (RedisConnectionError,))
        self._redis = Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=retry)
        self._timeout_s = train_timeout_s
        self._between: dict[str, float] = {}
        self._locks = Locks(self._redis)
        self.figures = Figures(self._redis)

    @property
    def redis(self) -> Redis:
        """The connection pool."""
        return self._redis

    @property
    def rq(self) -> RqQueue:
        """The rq queue."""
        return _rq_on(self._redis)

    def for_worker(self) -> tuple[Redis, RqQueue]:
        """A connection that waits for jobs as long as rq likes, and the rq queue on it."""
        connection = Redis.from_url(self._url)
        return connection, _rq_on(connection)

    def request(
        self, job: Job, key: str, *, delay_s: float = 0.0, postpone: bool = False, options: JobOptions = PLAIN
    ) -> None:
        """Ask for a job in `delay_s` seconds; one write.

        A request that waits already runs at the earlier of both times; with `postpone` at the new time. A person's wish
        replaces those before it.
        """
        member = request_member(job, key, options)
        with named_errors(), self._redis.pipeline(transaction=False) as pipeline:
            if is_wish(job, options):
                pipeline.set(wish_key(key), member, ex=WISH_TTL_S)
            pipeline.zadd(DUE, {member: time.time() + delay_s}, lt=not postpone)
            pipeline.execute()

    def ask_again(self, job: Job, key: str, options: JobOptions, delay_s: float) -> None:
        """Ask for a job that could not be done now in `delay_s` seconds: nobody wishes for it anew."""
        with named_errors():
            self._redis.zadd(DUE, {request_member(job, key, options): time.time() + delay_s}, lt=True)

    def is_overtaken(self, job: Job, key: str, options: JobOptions) -> bool:
        """Whether a person wished for something else after this: another version, to let go, or a new training."""
        with named_errors():
            newest = cast("bytes | None", self._redis.get(wish_key(key)))
        return newest is not None and newest.decode() != request_member(job, key, options)

    def move_due(self) -> int:
        """Move the requests that are due into rq; returns how many. For the scheduler.

        A request whose predecessor still waits in rq or runs goes there only after that one has ended: it may see what
        came too late for that one, and two at a time would do the same work twice. A regular reconciliation beside one
        that an event asked for is left to that one, if that begins soon: what the event told of was not missed.
        """
        moved = 0
        with named_errors():
            self._move_retries()
            members = cast("list[bytes]", self._redis.zrangebyscore(DUE, 0, time.time()))
            for member in members:
                try:
                    job, key, options = parse_member(member)
                except ValueError:
                    log.error("a damaged request is dropped", member=repr(member[:200]))
                    self._redis.zrem(DUE, member)
                    continue
                event = request_member(Job.RECONCILE, key)
                if member == request_member(Job.RECONCILE, key, REGULAR).encode() and self._begins_soon(event):
                    self._redis.zrem(DUE, member)
                    continue
                if self._is_under_way(job, key) or self._redis.exists(_resting_key(job, key)):
                    continue
                # Enqueued before it is forgotten: a crash in between gives one job too many, never one too few.
                enqueued = self._enqueue(job, key, options)
                self._redis.set(_newest_key(job, key), enqueued.id, ex=FAILURE_TTL_S)
                self._redis.zrem(DUE, member)
                moved += 1
        return moved

    def _begins_soon(self, member: str) -> bool:
        due = self._redis.zscore(DUE, member)
        # One whose time was set by a clock that was ahead may be days away.
        return due is not None and due <= time.time() + SOON_S

    def rest(self, job: Job, key: str, seconds: float) -> None:
        """Begin no job of a kind in a project for so many seconds: what is asked for meanwhile is done after that."""
        with named_errors():
            self._redis.set(_resting_key(job.value, key), 1, px=max(1, round(seconds * 1000)))

    def leave_params(self, key: str, text: str) -> None:
        """Leave the settings of a project that only its next reconciliation can tell from a made-up one."""
        with named_errors():
            self._redis.set(_params_key(key), text, ex=RESULT_TTL_S)

    def take_params(self, key: str, keep: Callable[[str], None]) -> None:
        """Give what was left for a project to `keep`, if anything was, and forget it."""
        with named_errors():
            found = cast("bytes | None", self._redis.get(_params_key(key)))
            if found is not None:
                keep(found.decode())
                self._redis.delete(_params_key(key))

    def recover_abandoned(self) -> None:
        """Give the jobs of killed workers back to rq (retried while they have retries left), count them, and forget
        those workers. For the scheduler.
        """
        with named_errors():
            StartedJobRegistry(queue=self.rq).cleanup(exception_handlers=[lambda job, *_: self.count_killed(job)])
            self._recover_between()
            clean_worker_registry(self.rq)
            for registry in (FinishedJobRegistry, FailedJobRegistry):
                registry(queue=self.rq).cleanup()

    def count_killed(self, job: RqJob) -> None:
        """Count a job whose process was killed: it could not do that itself."""
        name = (job.description or "").partition(" ")[0]
        name = name if name in set(Job) else "?"
        log.warning("job was killed", job=name, job_id=job.id, retries_left=job.retries_left)
        self.figures.count("jobs", job=name, outcome=KILLED)

    def shift(self, seconds: float) -> None:
        """Move what waits for its time, after the clock was set by so many seconds: it stays as far away as it was."""
        with named_errors():
            if not self._redis.set(SHIFTED, 1, nx=True, ex=SHIFTED_ONCE_S):
                if self._redis.pttl(SHIFTED) <= 1000 * SHIFTED_ONCE_S:
                    # Another scheduler saw it too.
                    return
                # It was noted before a clock went back, and would stay for hours.
                self._redis.set(SHIFTED, 1, ex=SHIFTED_ONCE_S)
            for name in (DUE, ScheduledJobRegistry(queue=self.rq).key):
                for member in cast("list[bytes]", self._redis.zrange(name, 0, -1)):
                    self._redis.zadd(name, {member: seconds}, xx=True, incr=True)
            # Redis ends a rest at a time of its clock, which may have become hours away.
            for resting in self._redis.scan_iter(_resting_key("*", "*")):
                self._redis.delete(resting)

    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Hold a project, see `Locks`; `progress` ends the job when somebody else has it."""
        return self._locks.hold(key)

    def progress(self, step: str, done: int, total: int) -> None:
        """Report the progress of the running job.

        Raises:
            ConfigurationError: another worker holds what this one locked.
        """
        if self._locks.lost:
            raise ConfigurationError("Redis lost its data, and another worker took this project: this one leaves it.")
        report_progress(step, done, total)

    def status(self, job_id: str) -> str | None:
        """rq's status of a job; None when it is gone."""
        with named_errors():
            try:
                return str(RqJob.fetch(job_id, self._redis, serializer=JSONSerializer).get_status().value)
            except DAMAGED:
                # Or rq gives no job an id like this.
                return None

    def request_status(self, job: Job, key: str) -> str | None:
        """What became of the newest request of a kind: queued, or rq's status of its job; None when it is forgotten."""
        with named_errors():
            due = cast("list[bytes]", self._redis.zrange(DUE, 0, -1))
            if any(member.startswith(f"{job.value}|{key}|".encode()) for member in due):
                return JobStatus.QUEUED.value
            found = cast("bytes | None", self._redis.get(_newest_key(job.value, key)))
        return self.status(found.decode()) if found else None

    def jobs(self) -> list[JobView]:
        """Requests, waiting, running, finished and failed jobs, newest last."""
        queue = self.rq
        with named_errors():
            due = cast("list[tuple[bytes, float]]", self._redis.zrange(DUE, 0, -1, withscores=True))
            views = [view_of_request(member, at) for member, at in due if is_request(member)]
            ids: Sequence[str] = [
                *FinishedJobRegistry(queue=queue).get_job_ids(),
                *FailedJobRegistry(queue=queue).get_job_ids(),
                *ScheduledJobRegistry(queue=queue).get_job_ids(),
                # Only the scheduler cleans up: it counts what was killed.
                *StartedJobRegistry(queue=queue).get_job_ids(cleanup=False),
                *queue.get_job_ids(),
            ]
            views += [view_of_job(job) for job in self._jobs_of(ids)]
        return sorted(views, key=newest_last)

    def depth(self) -> tuple[int, int]:
        """Numbers of jobs that wait and that run."""
        with named_errors():
            return self.rq.count, StartedJobRegistry(queue=self.rq).get_job_count(cleanup=False)

    def failed(self) -> int:
        """Number of jobs that failed for good and are still kept."""
        with named_errors():
            return FailedJobRegistry(queue=self.rq).count

    def age_s(self) -> float:
        """Seconds that the oldest job which is due waits; 0 without any."""
        with named_errors():
            due = cast("list[tuple[bytes, float]]", self._redis.zrange(DUE, 0, 0, withscores=True))
            since = [at for _, at in due]
            ids = self.rq.get_job_ids(0, 1)
            since += [job.enqueued_at.timestamp() for job in self._jobs_of(ids) if job.enqueued_at is not None]
        return max(0.0, time.time() - min(since)) if since else 0.0

    def beat(self) -> None:
        """Leave a sign that the scheduler lives."""
        with named_errors():
            self._redis.set(SCHEDULER_ALIVE, 1, ex=SCHEDULER_TTL_S)

    def alive(self) -> tuple[int, bool]:
        """Number of living workers, and whether a scheduler lives."""
        with named_errors():
            return Worker.count(queue=self.rq), bool(self._redis.exists(SCHEDULER_ALIVE))

    def ping(self) -> str:
        """Which server it is, and its version.

        Raises:
            ConfigurationError: it doesn't answer.
        """
        with named_errors():
            server = self._redis.info("server")
        # Valkey says in redis_version which Redis it is like.
        name = "valkey" if "valkey_version" in server else "redis"
        return f"{name.capitalize()} {server.get(f'{name}_version', '?')}"

    def _jobs_of(self, ids: Sequence[str]) -> list[RqJob]:
        """Jobs by id. Those that are gone, or were damaged in Redis's file, are left out."""
        with suppress(*DAMAGED):
            together = RqJob.fetch_many(list(ids), connection=self._redis, serializer=JSONSerializer)
            return [job for job in together if job is not None]
        found = []
        for job_id in ids:
            with suppress(*DAMAGED):
                found.append(RqJob.fetch(job_id, self._redis, serializer=JSONSerializer))
        return found

    def _is_under_way(self, job: str, key: str) -> bool:
        newest = cast("bytes | None", self._redis.get(_newest_key(job, key)))
        if newest is None:
            return False
        status = self.status(newest.decode())
        if status == JobStatus.STARTED.value:
            # One that nobody watches over any more would never end, and nothing of its kind would begin again.
            return newest.decode() in StartedJobRegistry(queue=self.rq).get_job_ids(cleanup=False)
        return status in {JobStatus.QUEUED.value, JobStatus.SCHEDULED.value}

    def _move_retries(self) -> None:
        """Put retries that are due into the queue.

        Not left to rq's own scheduler: that one lives in a worker, and for ten minutes after this worker was killed no
        other one takes its place.
        """
        registry = ScheduledJobRegistry(queue=self.rq)
        for job_id in registry.get_jobs_to_schedule():
            job = next(iter(self._jobs_of([job_id])), None)
            with self._redis.pipeline() as pipeline:
                if job is not None:
                    self.rq.enqueue_job(job, pipeline=pipeline)
                registry.remove(job_id, pipeline=pipeline)
                pipeline.execute()

    def _recover_between(self) -> None:
        """Give back the jobs that workers took off the queue and never began with, being killed just then.

        rq does so too, but only after ten minutes and more, in which no other job of this kind may begin.
        """
        between = self.rq.intermediate_queue
        ids = between.get_job_ids()
        self._between = {job_id: self._between.get(job_id, time.monotonic()) for job_id in ids}
        for job_id, since in self._between.items():
            if time.monotonic() - since < BETWEEN_S:
                continue
            # A job that was begun with, or given back already, has left only its name here.
            if self.status(job_id) == JobStatus.QUEUED.value and job_id not in self.rq.get_job_ids():
                log.warning("job was taken but never begun", job_id=job_id)
                self.rq.push_job_id(job_id, at_front=True)
            between.remove(job_id)

    def _enqueue(self, job: str, key: str, options: JobOptions) -> RqJob:
        return self.rq.enqueue_call(
            RUN,
            args=(job, key, options.to_json()),
            timeout=self._timeout_s,
            result_ttl=RESULT_TTL_S,
            failure_ttl=FAILURE_TTL_S,
            description=f"{job} {key}",
            retry=Retry(max=len(RETRIES_S), interval=RETRIES_S),
        )


def request_member(job: Job, key: str, options: JobOptions = PLAIN) -> str:
    """A request as it stands in the sorted set: the same text for the same request."""
    return f"{job.value}|{key}|{json.dumps(options.to_json(), separators=(',', ':'))}"


def _rq_on(connection: Redis) -> RqQueue:
    return RqQueue(QUEUE_NAME, connection=connection, serializer=JSONSerializer, job_class=OwnJob)


def _newest_key(job: str, key: str) -> str:
    return f"prelabel:newest:{job}:{key}"


def _params_key(key: str) -> str:
    return f"prelabel:params:{key}"


def _resting_key(job: str, key: str) -> str:
    return f"prelabel:resting:{job}:{key}"
