"""Jobs that fail, in a sentence each: what a project's figures say is old, or nothing, while they do."""

from dataclasses import dataclass

from backend.adapters.redis.job_views import JobView, failing
from backend.adapters.redis.queue import RedisQueue
from backend.entrypoints.console import say
from backend.errors import ConfigurationError
from backend.ports import Job


@dataclass(frozen=True, slots=True)
class Failing:
    """What fails. `sentences`: without a full stop. hides_state: what is known of the project is old because of it."""

    sentences: tuple[str, ...] = ()
    hides_state: bool = False


def failing_of(queue: RedisQueue, key: str | None = None) -> Failing:
    """The jobs of a project, or of all, whose last try failed."""
    try:
        found = failing(queue.jobs(), key)
    except ConfigurationError as error:
        return Failing((f"whether its jobs fail can't be seen: {error}",))
    hides = any(view.job in {Job.RECONCILE, Job.TRAIN} for view in found)
    return Failing(tuple(_sentence(view, names_project=key is None) for view in found), hides)


def say_failing(queue: RedisQueue, key: str | None = None) -> None:
    """Print what fails, a line each."""
    for sentence in failing_of(queue, key).sentences:
        say((f"{sentence}.", "red"))


def _sentence(view: JobView, *, names_project: bool) -> str:
    of_project = f" of project {view.key.split('.')[0]}" if names_project else ""
    tried = f" (last tried at {view.started_at.astimezone():%H:%M:%S})" if view.started_at else ""
    return f"{view.job}{of_project} fails{tried}: {view.error}"
