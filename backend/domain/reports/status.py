"""The status of a project: how far it is, and whether it is worth labeling on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from backend.domain.codec import omitted
from backend.domain.reports.version import Agreement, AuditReport, Gain, LabelFigures, ProgressFigures
from backend.domain.statistics import Interval

ON_AUDIT, OUT_OF_FOLD = "audit tasks", "labeled tasks, out of fold"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many of a question's suggestions are right, 0..1, with its 95 % interval; None when nothing tells.

    measured_on: `ON_AUDIT`, which holds for all tasks, or, as long as too few of these are labeled, `OUT_OF_FOLD`: most
    of the labeled tasks were chosen because they are hard, so it is rather too low. n: how many. n_audit: labeled audit
    tasks. figure: what it is: accuracy, or what stands in its place, see `QuestionFigures.headline`.
    """

    question: str
    accuracy: float | None
    interval: Interval | None
    measured_on: str
    n: int
    n_audit: int
    figure: str = omitted("accuracy")


@dataclass(frozen=True, slots=True)
class QuestionProgress:
    """What is known of one question's progress; None or empty: not yet.

    n_measured: tasks that accuracy is measured on. recent: gain of about the last third of the labels. expected: gain
    of the next ones. agreements: of successive versions, oldest first.
    """

    question: str
    n_measured: int = 0
    recent: Gain | None = None
    expected: Gain | None = None
    agreements: tuple[Agreement, ...] = ()


class Verdict(StrEnum):
    """What is advised."""

    CONTINUE = "continue"
    STOP = "stop"
    UNKNOWN = "can't tell yet"


@dataclass(frozen=True, slots=True)
class Advice:
    """What is advised, and why: the first reason is the weightiest."""

    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Answers that match no label. question: the control's name on one line, "" where an answer names none. n: how many
    answers. example: one of them, on one line. known: today's label config has such a question."""

    question: str
    n: int
    example: str
    known: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What a project is held at. since: seconds since the epoch. n_new: labels that this version hasn't learned from.
    asks_otherwise: the label config has other questions now, which this version doesn't answer."""

    number: int
    since: float
    n_new: int
    asks_otherwise: bool = False


@dataclass(frozen=True, slots=True)
class StatusMetrics:
    """What of a version's metrics a status rests on; empty without a version. by_label: by question, then by label."""

    audit: AuditReport = field(default_factory=AuditReport)
    progress: Mapping[str, ProgressFigures] = field(default_factory=dict)
    by_label: Mapping[str, Mapping[str, LabelFigures]] = omitted({})


@dataclass(frozen=True, slots=True)
class Status:
    """All that `prelabel status` says. n_labels: annotations that teach. `version`: the one in use, 0 = none.

    metrics: what it rests on. nothing: why nothing can be suggested; "" when something can. left_empty: controls, each
    with why it is left empty. unmatched: answers that teach nothing. n_without_data: tasks without any data that can be
    read. held: the version that a person holds it at. failing: jobs that fail, a sentence each.
    """

    project_id: int
    title: str
    n_tasks: int
    n_open: int
    n_labels: int
    label_budget: int
    version: int
    accuracies: tuple[Accuracy, ...]
    progress: tuple[QuestionProgress, ...]
    advice: Advice
    metrics: StatusMetrics
    nothing: str = ""
    left_empty: Mapping[str, str] = field(default_factory=dict)
    unmatched: tuple[Unmatched, ...] = ()
    n_without_data: int = 0
    held: Held | None = None
    failing: tuple[str, ...] = ()
