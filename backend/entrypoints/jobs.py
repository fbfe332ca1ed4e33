"""What rq workers call. Arguments are short strings and numbers; each job is safe to run twice."""

import functools

import structlog

from backend.adapters.queue import report_progress, without_retries
from backend.bootstrap import App, build, start_logging
from backend.errors import LlmRefused
from backend.ports import ANSWERED, FORCED, Job
from backend.settings import Settings
from backend.workflows.check import check
from backend.workflows.learn import learn, rollback
from backend.workflows.llm.ask import ask, from_argument
from backend.workflows.reconcile import reconcile
from backend.workflows.try_rules import tried_rules

BUSY_RETRY_S = 3.0
"""A project that another worker holds is asked about again after so many seconds."""

ALL_PROJECTS = "all"
"""Stands for a project where an event names none: all that we know are looked at."""

log = structlog.get_logger()


@functools.cache
def _app() -> App:
    settings = Settings()
    start_logging(settings)
    return build(settings)


def run(job: str, key: str, argument: int) -> str:
    """Run one job for one project; returns what became of it.

    Any error is left to rq: it keeps the job with its traceback (`prelabel jobs` shows it) and tries again a few times.
    """
    app = _app()
    if key == ALL_PROJECTS:
        # Also while there is no project yet: the first one is then answered from rules at once.
        tried_rules(app.deps)
        for project in app.database.projects():
            app.queue.request(Job(job), project.key)
        return "asked for each project"
    with structlog.contextvars.bound_contextvars(job=job, project=key), app.queue.lock(_lock_of(job, key)) as held:
        if not held:
            app.queue.request(Job(job), key, delay_s=BUSY_RETRY_S, argument=argument)
            return "the project is busy: asked again"
        log.info("job started")
        if job == Job.TRAIN:
            learn(app.deps, key, report_progress, force=argument in {FORCED, ANSWERED})
        elif job == Job.RECONCILE:
            reconcile(app.deps, key, report_progress)
        elif job == Job.CHECK:
            check(app.deps, key, report_progress)
        elif job == Job.ASK:
            return _ask(app, key, argument)
        else:
            rollback(app.deps, key, argument, report_progress)
        report_progress("done", 1, 1)
        log.info("job done", version=app.versions.current(key))
    return "done"


def _ask(app: App, key: str, argument: int) -> str:
    policy, bulk = from_argument(argument)
    try:
        outcome = ask(app.deps, key, report_progress, policy=policy, bulk=bulk)
    except LlmRefused:
        # Only a person can change that.
        without_retries()
        raise
    log.info("job done", outcome=outcome)
    return outcome


def _lock_of(job: str, key: str) -> str:
    """What a job holds while it runs: the project, but for asking, which changes nothing that others work on."""
    return f"{key} {job}" if job == Job.ASK else key
