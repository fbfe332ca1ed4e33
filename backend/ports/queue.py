"""The queue: what workers are asked to do."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Protocol, Self

from backend.domain.llm.options import LlmPolicyName


class Job(StrEnum):
    """What a worker can be asked to do for a project."""

    ASK = "ask"
    """Ask LLMs about the tasks that the project's policy names."""

    TRAIN = "train"
    RECONCILE = "reconcile"
    CHECK = "check"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What is asked of a job besides its kind and its project.

    forced: a person asked for this training: it trains even if nothing is new. answered: this training is to learn from
    what LLMs answered. version: what to roll back to; 0 lets go of the version that is held. regular: no event asked
    for this reconciliation: what it finds, events should have told. policy: of asking LLMs, "" = the project's. bulk:
    ask through the Batch API.
    """

    forced: bool = False
    answered: bool = False
    version: int = 0
    regular: bool = False
    policy: str = ""
    bulk: bool = False

    def to_json(self) -> dict[str, object]:
        """Those that say something."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name))}

    @classmethod
    def from_json(cls, job: str, value: object) -> Self:
        """What `to_json` made, or the number that earlier releases put in its place.

        Raises:
            ValueError: it is neither; Redis's file was damaged, or somebody else writes to it.
        """
        if isinstance(value, int) and not isinstance(value, bool):
            return cls._from_number(job, value)
        known = {item.name: type(getattr(cls(), item.name)) for item in fields(cls)}
        if not isinstance(value, dict) or any(type(said) is not known.get(name) for name, said in value.items()):
            raise ValueError("these are no options of a job")
        return cls(**value)

    @classmethod
    def _from_number(cls, job: str, number: int) -> Self:
        match job:
            case Job.TRAIN:
                return cls(forced=number == 1, answered=number == 2)
            case Job.ROLLBACK:
                return cls(version=number)
            case Job.RECONCILE:
                return cls(regular=number == 1)
            case Job.ASK:
                policy = ("", *LlmPolicyName)[number % 10]
                return cls(policy=str(policy), bulk=number >= 10)
            case _:
                return cls()


PLAIN = JobOptions()
FORCED = JobOptions(forced=True)
ANSWERED = JobOptions(answered=True)
LET_GO = JobOptions()
REGULAR = JobOptions(regular=True)
ALL_PROJECTS = "all"
"""Stands for a project where an event names none: all that we know are looked at."""


class Queue(Protocol):
    """Asks workers for jobs. At most one of a kind waits for a project."""

    def request(
        self, job: Job, key: str, *, delay_s: float = 0.0, postpone: bool = False, options: JobOptions = PLAIN
    ) -> None:
        """Ask for a job in `delay_s` seconds. A request that waits already runs at the earlier of both times; with
        `postpone` at the new time."""

    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Hold a project; gives False at once when someone else holds it."""
