"""Tasks and annotations as we keep them, free of Label Studio's JSON."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

OWN_PREFIX = "prelabel_"
"""Keys of task data that we write ourselves. They tell what we think of a task, so they must never be learned from."""

Answer = tuple[str, ...]
"""The labels a person chose for one question, in the order of the annotation. Empty: not answered."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a project.

    `data` is Label Studio's task data as it is, our own keys included; `own_fields` leaves those out.
    `is_open` says whether Label Studio still wants an annotation for it. `updated_at` is Label Studio's own string.
    """

    id: int
    data: Mapping[str, object]
    is_open: bool = True
    updated_at: str = ""


class Origin(StrEnum):
    """How an answer came from a suggestion that stood in the form; Label Studio's own words."""

    ACCEPTED = "prediction"
    CHANGED = "prediction-changed"


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one person answered for one task: question name -> labels.

    origins: of the questions for which a suggestion was in the form; all others were answered without one. lead_time_s:
    seconds that the form was open, all its edits together; None where Label Studio has none (made through its API).
    """

    id: int
    task_id: int
    annotator_id: int | None
    answers: Mapping[str, Answer] = field(default_factory=dict)
    skipped: bool = False
    updated_at: str = ""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    lead_time_s: float | None = None

    @property
    def teaches(self) -> bool:
        """False for skipped and for empty annotations: they say nothing about the labels."""
        return not self.skipped and any(self.answers.values())


@dataclass(frozen=True, slots=True)
class MirroredTask:
    """A task with all its annotations, skipped and empty ones included."""

    task: Task
    annotations: tuple[Annotation, ...] = ()

    @property
    def labels(self) -> tuple[Annotation, ...]:
        """The annotations that say something: neither skipped nor empty."""
        return tuple(entry for entry in self.annotations if entry.teaches)


def user_fields(data: Mapping[str, object]) -> dict[str, object]:
    """Task data without the keys that we wrote."""
    return {key: value for key, value in data.items() if not key.startswith(OWN_PREFIX)}


def content_hash(data: Mapping[str, object]) -> bytes:
    """16 bytes that change with what the user put into a task, not with the order of its fields or our own keys."""
    text = json.dumps(user_fields(data), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
