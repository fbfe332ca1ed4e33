"""The queue: what workers are asked to do."""

from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol


class Job(StrEnum):
    """What a worker can be asked to do for a project."""

    ASK = "ask"
    """Ask LLMs about the tasks that the project's policy names."""

    TRAIN = "train"
    RECONCILE = "reconcile"
    CHECK = "check"
    ROLLBACK = "rollback"


FORCED = 1
"""Argument of a training that a person asked for: it trains even if nothing is new."""
ANSWERED = 2
"""Argument of a training that is to learn from what LLMs answered."""
LET_GO = 0
"""Argument of a rollback, in place of a version: automatic trainings may replace what is shown again."""
REGULAR = 1
"""Argument of a reconciliation that no event asked for: what it finds, events should have told."""
ALL_PROJECTS = "all"
"""Stands for a project where an event names none: all that we know are looked at."""


class Queue(Protocol):
    """Asks workers for jobs. At most one of a kind waits for a project."""

    def request(self, job: Job, key: str, *, delay_s: float = 0.0, postpone: bool = False, argument: int = 0) -> None:
        """Ask for a job in `delay_s` seconds. A request that waits already runs at the earlier of both times; with
        `postpone` at the new time."""

    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Hold a project; gives False at once when someone else holds it."""
