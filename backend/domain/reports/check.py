"""The report of a check: wrong labels and odd data of a whole project."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from backend.domain.codec import omitted


@dataclass(frozen=True, slots=True)
class NotYet:
    """Why labels were not judged. key: of the decision. classes: those whose labels were left out; all of them when
    empty."""

    key: str
    reason: str
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoiseFigures:
    """How labels go wrong; see `label_errors.records.Noise`. None where nothing is known."""

    classes: tuple[str, ...] = ()
    n_labels: int = 0
    n_errors: int = 0
    thresholds: tuple[float | None, ...] = ()
    joint: tuple[tuple[float | None, ...], ...] = ()
    transition: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class LabelingFigures:
    """What an annotator did in a question.

    n_shared: of the labels, those of tasks that others labeled too. quality: 0..1, how far the labels can be relied on;
    None when nothing is known. measured_on: what that rests on. expected_wrong: share of the labels that is expected to
    be wrong. overlapping: of spans, the quality where spans of the same label that overlap count as the same.
    """

    n_labels: int = 0
    n_shared: int = 0
    quality: float | None = None
    measured_on: str | None = None
    expected_wrong: float | None = None
    overlapping: float | None = omitted(None)


@dataclass(frozen=True, slots=True)
class AnnotatorFigures(LabelingFigures):
    """The same, and who it was: a user id of Label Studio, None = unknown."""

    id: int | None = None


@dataclass(frozen=True, slots=True)
class Annotator:
    """An annotator over all questions. quality: mean over his or her labels; None when nothing is known."""

    id: int | None
    questions: Mapping[str, LabelingFigures]
    n_labels: int
    n_shared: int
    quality: float | None


@dataclass(frozen=True, slots=True)
class ConsensusReport:
    """What several annotators of a task agree on.

    methods, reasons: by `Decision.key`, what made the consensus, and why it. n_shared: tasks that several people
    labeled; on n_agree of them they agree. tasks, answers, quality, n_labels: of each such task its id, the consensus,
    the probability that it is right, and how many labels it has. n_disputed: of spans, places that most people marked,
    but none of them as more than half did.
    """

    methods: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    n_shared: int = 0
    n_agree: int = 0
    tasks: tuple[int, ...] = ()
    answers: tuple[tuple[str, ...], ...] = ()
    quality: tuple[float, ...] = ()
    n_labels: tuple[int, ...] = ()
    n_disputed: int = omitted(0)


@dataclass(frozen=True, slots=True)
class QuestionCheck:
    """What was found in a question. n_judged, n_suspects: labels. n_unknown: labels of whose tasks nothing is known;
    they were left out. noise, weights: by `Decision.key`. annotators: the best first."""

    n_judged: int = 0
    n_suspects: int = 0
    n_unknown: int = 0
    not_yet: tuple[NotYet, ...] = ()
    noise: Mapping[str, NoiseFigures] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    annotators: tuple[AnnotatorFigures, ...] = ()
    consensus: ConsensusReport | None = omitted(None)


class IssueKind(StrEnum):
    """What is wrong; the first ones are worth looking at first."""

    CONFLICTING_DUPLICATE = "near-duplicates with different labels"
    DUPLICATE = "near-duplicates"
    EMPTY = "empty"
    FOREIGN = "foreign language"
    ODD = "odd text"
    OUTLIER = "outlier"


@dataclass(frozen=True, slots=True)
class ListedIssue:
    """What is wrong with a task. score: 0..1, the lower, the clearer. others: the first tasks that are like it, of
    n_others."""

    task: int
    kind: IssueKind
    score: float
    others: tuple[int, ...] = ()
    n_others: int = 0


@dataclass(frozen=True, slots=True)
class RareLabel:
    """A label that hardly anything has. share: of the question's labels."""

    question: str
    label: str
    n_labels: int
    share: float


@dataclass(frozen=True, slots=True)
class DataIssues:
    """counts: issues of each kind. listed: those worth looking at first in front. rare: labels that hardly anything
    has."""

    counts: Mapping[str, int] = field(default_factory=dict)
    listed: tuple[ListedIssue, ...] = ()
    rare: tuple[RareLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """held_back: suspects that aren't shown because people confirmed most labels of like quality. version: whose
    posteriors were searched; "" before the first search. at: seconds since the epoch. foreign_tags: keys of ours that
    somebody else wrote, with how many tasks have them."""

    held_back: int = 0
    questions: Mapping[str, QuestionCheck] = field(default_factory=dict)
    version: str = ""
    at: float = 0.0
    data_issues: DataIssues = field(default_factory=DataIssues)
    foreign_tags: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether any search has."""
        return bool(self.version)
