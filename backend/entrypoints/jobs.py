"""What rq workers call. Arguments are short strings and numbers; each job is safe to run twice."""

import functools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import structlog
from redis.exceptions import RedisError

from backend.adapters.redis.running_job import forget_soon, job_asked_at, job_id, without_retries
from backend.bootstrap import App, build, start_logging
from backend.domain.llm.options import LlmPolicyName
from backend.errors import BackendError, BadRequest, ConfigurationError, LlmRefused, ProjectMissing
from backend.ports import ALL_PROJECTS, Job, JobOptions
from backend.settings import Settings
from backend.workflows.check.search import check
from backend.workflows.llm.ask import ask
from backend.workflows.reconcile import reconcile
from backend.workflows.rollback import rollback
from backend.workflows.train import learn
from backend.workflows.try_rules import tried_rules

BUSY_RETRY_S = 3.0
"""A project that another worker holds is asked about again after so many seconds."""

REST_FACTOR = 9.0
"""After a reconciliation, a project rests so many times as long as it took: a stream of events takes a tenth of a
worker's and of Label Studio's time."""
LONGEST_REST_S = 10.0
"""New tasks must not wait long for their suggestions. So a project that takes long to read is read most of the time."""

KEY = r"[0-9]{1,18}\.[0-9]{1,18}-[0-9a-f]{8}"
"""A project's key is part of a folder's name, so nothing else may pass."""

log = structlog.get_logger()


@functools.cache
def _app() -> App:
    settings = Settings()
    start_logging(settings)
    return build(settings)


def run(job: str, key: str, asked: object) -> str:
    """Run one job for one project; returns what became of it. `asked`: see `JobOptions.from_json`.

    Any error is left to rq: it keeps the job with its traceback (`prelabel jobs` shows it) and tries again a few times.
    """
    if key != ALL_PROJECTS and not re.fullmatch(KEY, key):
        raise BadRequest("A job names something else than a project: it is not run. Who else writes to Redis?")
    try:
        options = JobOptions.from_json(job, asked)
    except ValueError as error:
        raise BadRequest(f"A job can't be run: {error}. Who else writes to Redis?") from error
    app = _app()
    app.settle_mark()
    if key == ALL_PROJECTS:
        # Also while there is no project yet: the first one is then answered from rules at once.
        tried_rules(app.deps)
        for project in app.projects():
            app.queue.request(Job(job), project.key)
        return "asked for each project"
    own = app.own_key(key)
    if own is None:
        return "not run: it is about a project of another Label Studio than LABEL_STUDIO_URL"
    key = own
    if job == Job.ROLLBACK and app.queue.is_overtaken(Job.ROLLBACK, key, options):
        return "not run: a person asked for something else after it"
    ids = {"job": job, "project": key, "job_id": job_id()}
    with structlog.contextvars.bound_contextvars(**ids), app.queue.lock(_lock_of(job, key)) as held:
        if not held:
            app.queue.ask_again(Job(job), key, options, BUSY_RETRY_S)
            forget_soon()
            return "the project is busy: asked again"
        with counted(app, job, key, is_regular=job == Job.RECONCILE and options.regular):
            return _run_or_forget(app, job, key, options)


def _run_or_forget(app: App, job: str, key: str, options: JobOptions) -> str:
    """Run a job; when it fails because its project is deleted meanwhile, the project is forgotten instead."""
    try:
        return _run(app, job, key, options)
    except (BackendError, LookupError, TypeError, ValueError) as error:
        # What Label Studio answers about a project that is going depends on its release, and on the moment.
        try:
            app.label_studio.project(int(key.partition(".")[0]))
        except ProjectMissing:
            app.database.forget_project(key)
            log.warning("the project was deleted meanwhile", error=str(error))
            return "the project was deleted meanwhile"
        except BackendError as other:
            log.warning("whether the project is still there can't be said", error=str(other))
        raise


def _run(app: App, job: str, key: str, options: JobOptions) -> str:
    log.info("job started")
    if job != Job.ASK:
        # Under the project's lock: no other worker, of an earlier release either, is changing these.
        app.versions.settle(key)
        app.project_settings.settle(key)
    if job == Job.TRAIN:
        force = options.forced or options.answered
        by_person = options.forced and not app.queue.is_overtaken(Job.TRAIN, key, options)
        learn(app.deps, key, app.queue.progress, force=force, by_person=by_person, asked_at=job_asked_at())
    elif job == Job.RECONCILE:
        started = time.monotonic()
        app.queue.take_params(key, partial(_keep_params, app, key))
        reconcile(app.deps, key, app.queue.progress)
        rest_s = min(LONGEST_REST_S, REST_FACTOR * (time.monotonic() - started))
        app.queue.rest(Job.RECONCILE, key, rest_s)
    elif job == Job.CHECK:
        check(app.deps, key, app.queue.progress)
    elif job == Job.ASK:
        return _ask(app, key, options)
    else:
        rollback(app.deps, key, options.version, app.queue.progress)
    app.queue.progress("done", 1, 1)
    log.info("job done", version=app.versions.current(key))
    return "done"


def _keep_params(app: App, key: str, text: str) -> None:
    """Keep what `/setup` brought for a project that nothing was known of, if Label Studio has it."""
    try:
        info = app.label_studio.project(int(key.split(".", 1)[0]))
    except ProjectMissing:
        return
    if app.key(info.uid) == key:
        app.project_settings.save(key, text)


def _ask(app: App, key: str, options: JobOptions) -> str:
    policy = LlmPolicyName(options.policy) if options.policy else None
    try:
        outcome = ask(app.deps, key, app.queue.progress, policy=policy, bulk=options.bulk)
    except LlmRefused:
        # Only a person can change that.
        without_retries()
        raise
    log.info("job done", outcome=outcome)
    return outcome


@contextmanager
def counted(app: App, job: str, key: str, *, is_regular: bool) -> Iterator[None]:
    """Count a job with its outcome and its time; of a regular reconciliation also what no event had told of."""
    started, outcome = time.monotonic(), "failed"
    before = app.database.annotations_state(key) if is_regular else (0, "")
    try:
        yield
        outcome = "done"
    finally:
        seconds = time.monotonic() - started
        try:
            app.queue.figures.count("jobs", job=job, outcome=outcome)
            app.queue.figures.time("job", seconds, job=job)
            # A made-up project is trained in no time, and leaves no figures.
            if job == Job.TRAIN and outcome == "done" and app.database.project(key) is not None:
                app.queue.figures.time("training", seconds, project=key)
            after = app.database.annotations_state(key) if is_regular and outcome == "done" else before
            # The first look at a project finds all of it.
            if before[0] and after != before:
                app.queue.figures.count("drift", max(1, abs(after[0] - before[0])), project=key)
        except (RedisError, ConfigurationError) as error:
            # The job's own outcome counts, not whether it could be counted.
            log.warning("the job is not counted", error=str(error))


def _lock_of(job: str, key: str) -> str:
    """What a job holds while it runs: the project, but for asking, which changes nothing that others work on."""
    return f"{key} {job}" if job == Job.ASK else key
