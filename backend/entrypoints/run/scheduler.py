"""The scheduler: moves requests that are due into rq, asks for the regular jobs, gives dead workers' jobs back."""

import signal
import threading
import time

import structlog

from backend.bootstrap import App, build
from backend.errors import BackendError, ModelMissing
from backend.ports import ALL_PROJECTS, REGULAR, Job
from backend.settings import Settings
from backend.workflows.trained import is_unchecked

TICK_S = 0.25
RECOVER_EACH_S = 5.0
AFTER_ERROR_S = 2.0
RULES_EACH_S = 1.0
CLOCK_SET_S = 5.0
"""A clock that is so far from where it should be was set; less is drift."""
CLOCK_SETTLES_S = 30.0
"""After the clock was set, signs of life of before look old, or too new, for a moment."""

log = structlog.get_logger()


def run_scheduler(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Two schedulers at once do no harm: a request that both move runs twice."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    schedule(build(settings), stop)


def schedule(app: App, stop: threading.Event) -> None:
    """Tick until told to stop. Redis or the database being away is logged, and tried again."""
    regular_at = recover_at = rules_at = 0.0
    ahead = _ahead()
    while not stop.wait(TICK_S):
        try:
            app.queue.beat()
            if abs(_ahead() - ahead) > CLOCK_SET_S:
                log.warning("the clock was set", seconds=round(_ahead() - ahead))
                app.queue.shift(_ahead() - ahead)
                ahead, recover_at = _ahead(), time.monotonic() + CLOCK_SETTLES_S
            app.queue.move_due()
            if time.monotonic() >= recover_at:
                # Set first: what can't be recovered must not stop what comes after it.
                recover_at = time.monotonic() + RECOVER_EACH_S
                app.queue.recover_abandoned()
            if time.monotonic() >= rules_at:
                request_try_out(app)
                rules_at = time.monotonic() + RULES_EACH_S
            if time.monotonic() >= regular_at:
                request_regular_jobs(app)
                regular_at = time.monotonic() + app.settings.reconcile_each_s
        except BackendError as error:
            log.error("scheduler waits", error=str(error))
            stop.wait(AFTER_ERROR_S)
        except Exception:
            # Nothing moves without this loop, so it outlives even what nobody thought of; the log has the traceback.
            log.exception("scheduler waits")
            stop.wait(AFTER_ERROR_S)


def request_try_out(app: App) -> None:
    """Ask for a look at each project when a rule was edited: workers then try the rules out, and train with them."""
    if app.rules.changed():
        log.info("rules changed")
        app.queue.request(Job.RECONCILE, ALL_PROJECTS)


def request_regular_jobs(app: App) -> None:
    """Ask for a reconciliation of each project, and for a check where the last one is too long ago."""
    if app.may_have_moved():
        # Only a worker asks Label Studio which one it is: that may take long, and nothing moves without us.
        app.queue.request(Job.RECONCILE, ALL_PROJECTS)
        return
    for project in app.projects():
        app.queue.request(Job.RECONCILE, project.key, options=REGULAR)
        try:
            trained = app.versions.current(project.key) > 0
        except ModelMissing as error:
            log.error("no check asked for", project=project.key, error=str(error))
            continue
        is_late = time.time() - project.checked_at > app.settings.check_each_s
        # Also after a training whose worker was killed before it asked for this.
        if trained and (is_late or is_unchecked(app.deps, project)):
            app.queue.request(Job.CHECK, project.key)


def _ahead() -> float:
    """Seconds that the clock is ahead of the one that nobody sets."""
    return time.time() - time.monotonic()
