"""Labels that are probably wrong, and what became of them."""

from dataclasses import dataclass
from enum import StrEnum

from backend.domain.tasks import Annotation


class SuspectStatus(StrEnum):
    """What became of a suspect."""

    OPEN = "suspect"
    FIXED = "fixed"
    CONFIRMED = "confirmed"
    CLEARED = "cleared"
    """Later evidence no longer speaks against the label, or the task is gone."""
    WAITING = "waiting"
    """For its turn: more suspects are open already than people are to be shown at a time."""


TagPlace = tuple[int, str]
"""Where a tag stands: the task's id, and our key in its data."""
TagValue = str | float


@dataclass(frozen=True, slots=True)
class SuspectRecord:
    """A suspect and what became of it.

    seen: the task's annotations when it was found, those that teach. reason: why it is suspect, for people. shown: it
    has or had tags in Label Studio. region: the region whose answer is suspect; "" = the task's answer as a whole.
    """

    task_id: int
    question: str
    given: tuple[str, ...]
    expected: tuple[str, ...]
    quality: float
    status: SuspectStatus
    seen: tuple[Annotation, ...] = ()
    tagged: bool = False
    """Whether Label Studio's tags say the same as this record."""
    reason: str = ""
    shown: bool = False
    region: str = ""


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """What people said of a label: `FIXED` or `CONFIRMED`. Remembered when the task itself is deleted.

    id: changes with content of the task, question, label and region. quality: the label's, when it was shown. at: when
    we saw it, seconds since the epoch. region: as the suspect's.
    """

    id: str
    question: str
    status: SuspectStatus
    quality: float
    at: float
    region: str = ""
