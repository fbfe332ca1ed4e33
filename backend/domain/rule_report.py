"""The report of each rule: how often it votes, how often it is right, and what is suspicious about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.frame import Frame
from backend.domain.label_model.propensity import PRIOR_ACCURACY
from backend.domain.questions import Decision, Question, decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.rules import Rule
from backend.domain.statistics import wilson
from backend.domain.votes import RuleFaults, VoteMatrix, no_such_label

MIN_JUDGED = 5
"""Votes on human-labeled tasks from which a rule may be called worse than chance."""
MIN_LABELS = 20
"""Human labels from which they tell how many tasks a label can have."""
DUPLICATE = 0.95
"""Share of equal votes, of the tasks on which either of two rules votes, that makes one a duplicate of the other."""
MIN_VOTES = 20
"""Votes that a rule needs to be called broad or a duplicate: a few can be chance."""

Codes = NDArray[np.int16]
"""int16 (n_tasks, n_sources): -1 = abstain, c = for class c, k + c = against class c."""


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule on one question.

    polarity: the labels it votes for, and against as "not <label>". n_votes: in a multiple question one for each label
    it speaks of. coverage, overlaps, conflicts: shares of all tasks on which it votes; on which another rule votes too;
    on which another one votes otherwise (`LFAnalysis` of Snorkel: Ratner et al. 2017). accuracy: of the n_judged votes
    on tasks with a human label, with its 95 % interval (Wilson 1927). learned_accuracy: what the label model believes
    of its votes for classes, None where it doesn't know the rule or all votes are against classes. weight:
    log(p (k - 1) / (1 - p)) of it, what a vote of a source that is right with probability p among k classes adds to the
    log-odds of its class; 0 = says nothing.

    flags:

    * "worse than chance": the interval lies below what votes that know nothing get right: 1/k, or the share of the
      human labels that the class has if that is less.
    * "broad": it votes for one label on more tasks than can have it. That is the upper end of the interval of the
      label's share of the human labels; with fewer than `MIN_LABELS` of them 1 / (0.7 k), on more than which it
      can't be right as often as rules are believed to be when labels are equally common.
    * "duplicate of <name>": of an earlier rule.
    * "stale label: <label>": it is about a label that the question doesn't have (any more), and so is not used; or
      "stale label" alone, where such votes of it were dropped.
    """

    name: str
    question: str
    polarity: tuple[str, ...] = ()
    n_votes: int = 0
    coverage: float = 0.0
    overlaps: float = 0.0
    conflicts: float = 0.0
    n_judged: int = 0
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    learned_accuracy: float | None = None
    weight: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mistake:
    """A vote that people disagree with; `row` of the task."""

    row: int
    question: str
    voted: str
    given: str


def report_rules(
    rules: Sequence[Rule],
    frame: Frame,
    learned: Mapping[str, Mapping[str, float]],
    faults: RuleFaults,
) -> list[RuleReport]:
    """One record for each question and each rule that is about it, in this order.

    Args:
        rules: the rules.
        frame: the questions of the project, with the votes of these rules, and gold.
        learned: by `Decision.key`: rule -> the accuracy that the label model learned, within (0, 1).
        faults: of the rules while they voted.
    """
    reports = []
    for question in frame.questions:
        tally = _Tally(question, frame.votes)
        for decision in decisions(question):
            tally.add(frame.votes[decision.key], frame.gold[decision.key], learned.get(decision.key, {}))
        known = {name: tally.report(column, faults) for column, name in enumerate(tally.sources)}
        for rule in rules:
            stale = stale_labels(rule, question, frame.questions)
            if rule.name in known:
                reports.append(known[rule.name])
            elif stale:
                reports.append(RuleReport(rule.name, question.name, flags=(f"stale label: {', '.join(stale)}",)))
    return reports


def mistakes_of(name: str, frame: Frame) -> list[Mistake]:
    """The votes of one rule that people disagree with, by question, then row."""
    found = []
    for decision in (decision for question in frame.questions for decision in decisions(question)):
        matrix, truth = frame.votes[decision.key], frame.gold[decision.key]
        if name not in matrix.sources:
            continue
        codes = codes_of(matrix)[:, [matrix.sources.index(name)]]
        judged, right = _judge(codes, truth, len(decision.classes))
        for row in np.flatnonzero(judged & ~right).tolist():
            voted, given = _words(decision, int(codes[row, 0])), _words(decision, int(truth[row]))
            found.append(Mistake(frame.units[decision.question].task(row), decision.question, voted, given))
    return found


def stale_labels(rule: Rule, question: Question, questions: Sequence[Question]) -> list[str]:
    """The labels of a rule about a question that the question doesn't have, so that the rule isn't used for it.

    A rule that names no question is taken to be about one that has some of its labels, if none has all of them. Rules
    about other projects' questions are none of ours.
    """
    labels = rule.labels or ()
    missing = [label for label in labels if question.index(label) is None]
    if rule.question is not None:
        return missing if rule.question == question.name else []
    return [] if len(missing) == len(labels) or any(map(rule.answers, questions)) else missing


def codes_of(matrix: VoteMatrix) -> Codes:
    """Votes for and against classes in one array."""
    if matrix.excluded is None:
        return matrix.votes
    k = len(matrix.decision.classes)
    against = np.where(matrix.excluded != ABSTAIN, matrix.excluded + np.int16(k), ABSTAIN)
    return np.where(matrix.votes != ABSTAIN, matrix.votes, against).astype(np.int16)


class _Tally:
    """Counts over the decisions of a question; arrays have one entry, or column, for each source."""

    def __init__(self, question: Question, votes: Mapping[str, VoteMatrix]) -> None:
        first = votes[decisions(question)[0].key]
        self.question = question
        self.sources = first.sources
        shape = first.votes.shape
        m = len(self.sources)
        self.voted, self.overlapping, self.conflicting = (np.zeros(shape, dtype=np.bool_) for _ in range(3))
        self.n_votes, self.n_judged, self.n_right = (np.zeros(m, dtype=np.int64) for _ in range(3))
        self.by_chance, self.learned, self.n_learned = (np.zeros(m) for _ in range(3))
        self.broad = np.zeros(m, dtype=np.bool_)
        self.same, self.both = np.zeros((m, m)), np.zeros((m, m))
        self.polarity: list[list[str]] = [[] for _ in self.sources]

    def add(self, matrix: VoteMatrix, gold: NDArray[np.int64], learned: Mapping[str, float]) -> None:
        """Count the votes on one decision."""
        codes, k = codes_of(matrix), len(matrix.decision.classes)
        voted = codes != ABSTAIN
        n_votes = voted.sum(axis=0)
        if voted.any():
            # A question may have thousands of labels on which nothing votes.
            self._add_votes(matrix.decision, codes, gold)

        accuracies = np.array([learned.get(source, np.nan) for source in self.sources])
        known = np.isfinite(accuracies)
        n_for = (voted & (codes < k)).sum(axis=0)
        # The label model knows votes for classes only. A rule that says nothing of any task has an accuracy all the
        # same: what the label model believes beforehand.
        weights = np.where(known & ((n_for > 0) | (n_votes == 0)), np.maximum(n_for, 1e-9), 0.0)
        self.learned += weights * np.where(known, accuracies, 0.0)
        self.n_learned += weights

    def _add_votes(self, decision: Decision, codes: Codes, gold: NDArray[np.int64]) -> None:
        voted, k = codes != ABSTAIN, len(decision.classes)
        self.voted |= voted
        self.overlapping |= voted & (voted.sum(axis=1) > 1)[:, None]
        self.conflicting |= _conflicting(codes, k)
        self.n_votes += voted.sum(axis=0)

        judged, right = _judge(codes, gold, k)
        self.n_judged += judged.sum(axis=0)
        self.n_right += (judged & right).sum(axis=0)
        chance, limits = _chance(gold, k), _limits(decision, gold)
        self.by_chance += np.where(judged, chance[codes], 0.0).sum(axis=0)
        for code in range(2 * k):
            cast = codes == code
            n_cast = cast.sum(axis=0)
            for column in np.flatnonzero(n_cast):
                self.polarity[column].append(_words(decision, code))
            self.broad |= (n_cast >= MIN_VOTES) & (n_cast > limits[code] * len(codes))
            self.same += _together(cast)
        self.both += _together(voted)

    def report(self, column: int, faults: RuleFaults) -> RuleReport:
        """The record of one source."""
        name, n_judged = self.sources[column], int(self.n_judged[column])
        interval = wilson(int(self.n_right[column]), n_judged)
        learned = float(self.learned[column] / self.n_learned[column]) if self.n_learned[column] else None
        n = max(len(self.voted), 1)
        return RuleReport(
            name=name,
            question=self.question.name,
            polarity=tuple(self.polarity[column]),
            n_votes=int(self.n_votes[column]),
            coverage=float(self.voted[:, column].sum() / n),
            overlaps=float(self.overlapping[:, column].sum() / n),
            conflicts=float(self.conflicting[:, column].sum() / n),
            n_judged=n_judged,
            accuracy=float(self.n_right[column] / n_judged) if n_judged else None,
            accuracy_interval=(interval[0], interval[1]) if interval else None,
            learned_accuracy=learned,
            weight=None if learned is None else _weight(learned, self.question),
            flags=tuple(self._flags(column, interval, faults)),
        )

    def _flags(self, column: int, interval: Sequence[float] | None, faults: RuleFaults) -> list[str]:
        name, n_judged = self.sources[column], self.n_judged[column]
        flags = []
        if interval and n_judged >= MIN_JUDGED and interval[1] < self.by_chance[column] / n_judged:
            flags.append("worse than chance")
        if self.broad[column]:
            flags.append("broad")
        either = self.n_votes[column] + self.n_votes - self.both[column]
        alike = (self.same[column] >= DUPLICATE * either) & (either >= MIN_VOTES)
        flags += [f"duplicate of {self.sources[other]}" for other in np.flatnonzero(alike[:column])[:1]]
        if no_such_label(self.question) in faults.reasons.get(name, ""):
            flags.append("stale label")
        return flags


def _judge(codes: Codes, gold: NDArray[np.int64], k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which votes are on a task with a human label, and which are right there: bool, in the shape of `codes`."""
    judged = (codes != ABSTAIN) & (gold >= 0)[:, None]
    right = (codes % k == gold[:, None]) ^ (codes >= k)
    return judged, right


def _conflicting(codes: Codes, k: int) -> NDArray[np.bool_]:
    """Votes with which another vote on the task can't be right together.

    Votes for different classes, or for and against the same one; votes against different classes agree.
    """
    counts = np.stack([(codes == code).sum(axis=1) for code in range(2 * k)], axis=1)
    n_for = counts[:, :k].sum(axis=1, keepdims=True)
    others = np.concatenate([n_for - counts[:, :k] + counts[:, k:], counts[:, :k]], axis=1)
    clashing = np.take_along_axis(others, np.maximum(codes, 0).astype(np.intp), axis=1) > 0
    return np.asarray((codes != ABSTAIN) & clashing)


def _chance(gold: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Share of votes that would be right if they knew nothing, by code (2k,).

    No more than the class's own share of the human labels: a rule that is right in 30 % of its votes for a class of
    10 % knows a lot. Laplace's estimate, so that a class which nobody chose yet isn't impossible.
    """
    counts = np.bincount(gold[gold >= 0], minlength=k)
    share = (counts + 1) / (counts.sum() + k)
    return np.concatenate([np.minimum(share, 1 / k), np.minimum(1 - share, 1 - 1 / k)])


def _limits(decision: Decision, gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of tasks on which a rule may say each code without being called broad (2k,)."""
    k = len(decision.classes)
    counts = np.bincount(gold[gold >= 0], minlength=k)
    n = int(counts.sum())
    limits = np.ones(2 * k)
    if n >= MIN_LABELS:
        limits[:k] = [(wilson(int(count), n) or [0.0, 1.0])[1] for count in counts]
    else:
        limits[:k] = min(1.0, 1 / (PRIOR_ACCURACY * k))
        if decision.label is not None:
            # Most labels of a multiple question are absent from most tasks.
            limits[0] = 1.0
    return limits


def _together(cast: NDArray[np.bool_]) -> NDArray[np.float64]:
    """On how many tasks each pair of sources does something: bool (n, m) -> (m, m)."""
    sparse = csr_matrix(cast, dtype=np.float64)
    counts: NDArray[np.float64] = (sparse.T @ sparse).toarray()
    return counts


def _weight(accuracy: float, question: Question) -> float | None:
    k = len(decisions(question)[0].classes)
    return float(np.log(accuracy * (k - 1) / (1 - accuracy))) if k > 1 else None


def _words(decision: Decision, code: int) -> str:
    """A code as people say it: "Positive", "not Positive"; of a multiple question's label "drama", "not drama"."""
    k = len(decision.classes)
    if decision.label is not None:
        return decision.label if code == 1 else f"not {decision.label}"
    return decision.classes[code] if code < k else f"not {decision.classes[code - k]}"
