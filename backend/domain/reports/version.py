"""The metrics of a version: `metrics.json`, written once, when it is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.domain.codec import omitted, spread
from backend.domain.reports.figures import Answered, Measured, Metric, Share, from_keys, to_keys
from backend.domain.statistics import Interval

ENTITY_F1 = "entity_f1"
"""F1 of exact spans, the figure of questions about them."""
FEW, FAR = 20, 0.1
"""Suggestions with a label, and the distance of confidence and accuracy, below which nothing is said of a label."""


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """coverage: share of all tasks that a source votes on. accuracy: what the label model learned of it."""

    coverage: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class LabelFigures(Share):
    """How often suggestions with a label are right, and how sure they say that they are: `confidence`, the mean."""

    confidence: float | None = None

    @property
    def is_misstated(self) -> bool:
        """Whether what suggestions say is certainly not what they are worth, and far from it."""
        if self.n < FEW or self.confidence is None or self.accuracy is None or self.accuracy_interval is None:
            return False
        low, high = self.accuracy_interval
        return not low <= self.confidence <= high and abs(self.confidence - self.accuracy) > FAR


@dataclass(frozen=True, slots=True)
class QuestionFigures(Measured):
    """How good the answers to a question are, each measured without the task's own label; None where no human label
    supports a figure.

    All else is measured on the tasks that are `answered`. macro_f1: mean over the labels that people used, with a
    percentile bootstrap, 95 %. log_loss: of the whole answer. calibration_error: the expected one (Naeini et al. 2015)
    of the confidence in ten equal bins. own: what only this question's type has. majority_vote: on tasks with votes.
    by_label: of the units that were suggested with each label. sources: by name.
    """

    macro_f1: float | None = None
    macro_f1_interval: Interval | None = None
    log_loss: float | None = None
    calibration_error: float | None = None
    by_label: Mapping[str, LabelFigures] = omitted({})
    own: tuple[Metric, ...] = spread((), from_keys, to_keys)
    majority_vote: Answered = Answered()
    sources: Mapping[str, SourceFigures] = field(default_factory=dict)

    @property
    def headline(self) -> Metric:
        """How good the answers are, in one figure: entity F1 of spans, and accuracy of all else."""
        for item in self.own:
            if item.name == ENTITY_F1:
                return Metric("entity F1", item.value, item.interval)
        return Metric("accuracy", self.accuracy, self.accuracy_interval)


@dataclass(frozen=True, slots=True)
class LabelModelChoice:
    """Which label model was chosen for a decision, and why. log_loss: mean by method on human labels it didn't see."""

    method: str = ""
    reason: str = ""
    log_loss: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecipeUsed:
    """How a classifier is made; see `classifier.Recipe`."""

    candidate: str = ""
    trust: float = 1.0
    smoothing: float = 0.0
    view: str = omitted("")


@dataclass(frozen=True, slots=True)
class ClassifierFigures:
    """Which classifier was chosen for a decision, and why; see `classifier.choice.RecipeChoice`. sharpness, shift: its
    calibration; None without a classifier. too_few_labels: classes that it doesn't predict."""

    recipe: RecipeUsed | None = omitted(None)
    calibrations: tuple[Interval, ...] = omitted(())
    n_labels: int | None = omitted(None)
    n_tasks: int | None = omitted(None)
    losses: Mapping[str, float] | None = omitted(None)
    reason: str | None = omitted(None)
    sharpness: float | None = omitted(None)
    shift: float | None = omitted(None)
    too_few_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentFigures:
    """unread: tasks of which nothing can be read. left_out: fields that aren't learned from, with why."""

    unread: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingFigures:
    """model: what embeds. n_tasks: tasks that it embedded. dimensions: that are used. problem: why some are missing."""

    model: str = ""
    n_tasks: int = 0
    dimensions: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RuleFault:
    """How often a rule failed in training, and the first reason."""

    count: int = 0
    first: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """What one version learned from: one record of the history.

    shares: strategy -> its share of the tasks that were newly labeled, 0..1. reward: fall of the log-loss on audit
    tasks, for each new label. n_labels: labels before.
    """

    shares: Mapping[str, float]
    reward: float
    n_labels: int


@dataclass(frozen=True, slots=True)
class Anchoring:
    """Do people choose a label because it was suggested?

    n_shown, n_withheld: tasks that can be compared. accepted: share of what was shown that people left. would_choose:
    share of what was withheld that people chose by themselves. difference: of the two, at equal confidence, with its
    95 % interval. The last four are None, with a `reason`, where there are too few.
    """

    n_shown: int = 0
    n_withheld: int = 0
    accepted: float | None = None
    would_choose: float | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditFigures(Measured):
    """What audit tasks say of a question. sources: how often each rule or
    LLM is right. members: the same of label model and classifier alone."""

    sources: Mapping[str, Share] = field(default_factory=dict)
    members: Mapping[str, Share] = field(default_factory=dict)
    anchoring: Anchoring = Anchoring()


@dataclass(frozen=True, slots=True)
class AuditReport:
    """share: of the tasks that are audit tasks. questions: by name."""

    share: float | None = omitted(None)
    questions: Mapping[str, AuditFigures] = omitted({})


@dataclass(frozen=True, slots=True)
class Gain:
    """By how much accuracy (0..1) rises, with its 95 % interval."""

    gain: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kappa of the predictions of a version and the one before it, with their numbers of labels."""

    kappa: float
    n_before: int
    n_labels: int


@dataclass(frozen=True, slots=True)
class ProgressFigures:
    """How accuracy and predictions moved. measured_on: which tasks, `n` of them. curve: number of labels, and of right
    answers, of versions. recent_gain: of about the last third of the labels. expected_gain: of the next ones.
    agreement: with the version before."""

    measured_on: str = ""
    n: int = 0
    curve: tuple[tuple[int, int], ...] = ()
    recent_gain: Gain | None = None
    expected_gain: Gain | None = None
    agreement: Agreement | None = None


@dataclass(frozen=True, slots=True)
class VersionMetrics:
    """All that is known of a version when it is trained.

    questions, progress: by question. label_models, classifiers: by `Decision.key`. content: None where an earlier
    release, which didn't look, made the version. embeddings: None without a model. rule_faults: by rule.
    rules_set_aside: name -> why. taught: the round that led to it; None where too little was labeled to tell.
    """

    n_tasks: int = 0
    questions: Mapping[str, QuestionFigures] = field(default_factory=dict)
    label_models: Mapping[str, LabelModelChoice] = field(default_factory=dict)
    classifiers: Mapping[str, ClassifierFigures] = field(default_factory=dict)
    content: ContentFigures | None = omitted(None)
    embeddings: EmbeddingFigures | None = omitted(None)
    rule_faults: Mapping[str, RuleFault] = field(default_factory=dict)
    rules_set_aside: Mapping[str, str] = field(default_factory=dict)
    taught: Round | None = omitted(None)
    audit: AuditReport = omitted(AuditReport())
    progress: Mapping[str, ProgressFigures] = omitted({})
