"""Votes: what each source said of each task."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.domain.alike import fingerprint
from backend.domain.outside import one_line, storable
from backend.domain.questions import Decision, Question
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.rules import History, Not, Rule, Tasks
from backend.domain.rules.contained import Forks, described, end_fork, off_main_thread
from backend.domain.rules.interface import BatchFunction
from backend.domain.sources import is_validated
from backend.errors import RuleError

_NOT = -2
"""A vote against the class with index i has the code `_NOT` - i, within this module only."""

SHOWN_LABEL = 60
"""Characters of a label that a question doesn't have."""
MAX_NAMED = 100_000
"""Labels in one vote; as many as a label config may have."""
MAX_FAILURES = 64
"""Failures of a batch rule after which the rest of its tasks isn't divided any more; about four odd tasks of 10,000."""


@dataclass(frozen=True, slots=True)
class VoteMatrix:
    """The votes on one decision: int16 (n_units, n_sources), -1 = abstain, columns in the order of `sources`.

    `excluded`, of the same shape: the class that a source rules out without saying which other it is, -1 = none; None
    when no source rules any out. Only where there are more than two classes: of two, ruling one out is a vote for the
    other.
    """

    decision: Decision
    sources: tuple[str, ...]
    votes: Votes
    excluded: Votes | None = None

    @property
    def validated(self) -> NDArray[np.bool_]:
        """Which sources people have validated: bool (n_sources,), see `is_validated`."""
        return np.array([is_validated(source) for source in self.sources], dtype=np.bool_)

    @property
    def fingerprint(self) -> bytes:
        """The same for the same votes of the same sources only."""
        return fingerprint(self.votes, self.excluded) + "\n".join(self.sources).encode()

    def rows(self, rows: NDArray[np.int64]) -> "VoteMatrix":
        """The votes on some of the units: int64 (n_some,), their rows."""
        excluded = None if self.excluded is None else self.excluded[rows]
        return VoteMatrix(self.decision, self.sources, self.votes[rows], excluded)


def told_by_validated(votes: Votes, sources: Sequence[str]) -> NDArray[np.bool_]:
    """On which units a source votes that people have validated: bool (n_units,); votes: (n_units, n_sources)."""
    columns = [column for column, source in enumerate(sources) if is_validated(source)]
    return np.asarray((votes[:, columns] != ABSTAIN).any(axis=1))


@dataclass(slots=True)
class RuleFaults:
    """What went wrong while rules voted: rule name -> number of faults and the first reason.

    `off_list`: rules that voted for a label the question doesn't have.
    """

    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    off_list: set[str] = field(default_factory=set)

    def add(self, rule: str, reason: str) -> None:
        """Count one fault; only the first reason of a rule is kept, as text that can be stored."""
        self.counts[rule] = self.counts.get(rule, 0) + 1
        self.reasons.setdefault(rule, storable(reason))

    def merge(self, other: "RuleFaults") -> None:
        """Add another count to this one."""
        for rule, count in other.counts.items():
            self.counts[rule] = self.counts.get(rule, 0) + count
            self.reasons.setdefault(rule, other.reasons[rule])
        self.off_list |= other.off_list


class _OffList(RuleError):
    """A vote for a label that the question doesn't have."""


def apply_rules(
    rules: Sequence[Rule],
    tasks: Sequence[Mapping[str, object]],
    questions: Sequence[Question],
    history: History | None = None,
) -> tuple[dict[str, VoteMatrix], RuleFaults]:
    """Let every rule vote on every task.

    Args:
        rules: labeling functions with unique names.
        tasks: task data, n_tasks of them.
        questions: the questions of the project.
        history: what annotators answered before, for rules that need it; without it they abstain.

    Returns:
        One vote matrix for each decision of each question, by `Decision.key`, rows in the order of `tasks`, columns the
        rules that answer the question, in the order of `rules`; and the faults. A rule that raises anything, or returns
        what is no vote on the question, abstains on that task and is counted. A batch rule that raises is asked about
        each half of its tasks, and so on; where that doesn't help, it abstains on all that are left.
    """
    return off_main_thread(lambda: _apply_rules(rules, tasks, questions, history))


def _apply_rules(
    rules: Sequence[Rule],
    tasks: Sequence[Mapping[str, object]],
    questions: Sequence[Question],
    history: History | None,
) -> tuple[dict[str, VoteMatrix], RuleFaults]:
    fields = Tasks(tasks, history=history)
    faults = RuleFaults()
    matrices: dict[str, VoteMatrix] = {}
    for question in questions:
        asked = [rule for rule in rules if rule.answers(question)]
        asking = fields.asking(question)
        columns = [_column(rule, asking, question, faults) for rule in asked]
        matrices |= _matrices(question, tuple(rule.name for rule in asked), columns, len(tasks))
    return matrices, faults


def no_such_label(question: Question) -> str:
    """What is in the reason of each fault that is a vote for, or against, a label which a question doesn't have."""
    return f"a label that {question.name!r} doesn't have"


def votes_on(
    question: Question, sources: tuple[str, ...], chosen: Sequence[Sequence[tuple[int, ...]]]
) -> dict[str, VoteMatrix]:
    """Vote matrices of one question from the label indices that each source chose for each task (none = abstain).

    In a multiple question, a source that names some labels says nothing about the others: it abstains on them.
    """
    columns = []
    for column in range(len(sources)):
        pairs = [(row, index) for row, picks in enumerate(chosen) for index in picks[column]]
        columns.append(np.array(pairs, dtype=np.int64).reshape(-1, 2).T)
    return _matrices(question, sources, columns, len(chosen))


def _matrices(
    question: Question, sources: tuple[str, ...], columns: Sequence[NDArray[np.int64]], n_tasks: int
) -> dict[str, VoteMatrix]:
    """Vote matrices from what each source said: int64 (2, n_votes), row of the task and code (see `_codes`)."""
    said = [(rows, np.where(codes < 0, _NOT - codes, codes), codes < 0) for rows, codes in columns]
    each, excluded = question.form.cast(n_tasks, said)
    return {
        decision.key: VoteMatrix(decision, sources, votes, excluded)
        for decision, votes in zip(question.form.decisions, each, strict=True)
    }


def _column(rule: Rule, tasks: Tasks, question: Question, faults: RuleFaults) -> NDArray[np.int64]:
    """What one rule says: int64 (2, n_votes), row of the task and code."""
    given: Iterable[object] = tasks
    ask: Callable[[Any], object] = rule.function
    if rule.batch is not None:
        given, ask = _batch_votes(rule.batch, tasks), _given
    n_forks = Forks.n
    rows: list[int] = []
    coded: list[int] = []
    for row, item in enumerate(given):
        try:
            vote = ask(item)
            if vote is None:
                pass
            elif type(vote) is str and (code := question.index(vote)) is not None:
                # Nearly all votes are one label.
                rows.append(row)
                coded.append(code)
            else:
                voted = _codes_voted(vote, question)
                rows += [row] * len(voted)
                coded += voted
        except BaseException as error:  # noqa: BLE001 - a user's function may raise anything; the others go on
            faults.add(rule.name, described(error, rule.place))
            if isinstance(error, _OffList):
                faults.off_list.add(rule.name)
        if Forks.n != n_forks:
            end_fork()
    return np.array([rows, coded], dtype=np.int64)


def _given(vote: object) -> object:
    """A batch rule's vote, which is there already."""
    return vote


def _batch_votes(batch: BatchFunction, tasks: Tasks) -> list[object]:
    """A batch rule's votes, one per task; a RuleError in the place of those that it has none for."""
    votes: list[object] = []
    parts, failures = [(0, len(tasks))], 0
    while parts:
        start, stop = parts.pop()
        n = stop - start
        try:
            # One more than there may be: a generator need not end.
            found = list(islice(batch(tasks if n == len(tasks) else tasks.part(start, stop)), n + 1))
        except BaseException as error:  # noqa: BLE001 - a user's function may raise anything; the others go on
            failures += 1
            if n > 1 and failures <= MAX_FAILURES:
                middle = (start + stop) // 2
                parts += [(middle, stop), (start, middle)]
                continue
            found = [RuleError(described(error))] * n
        if len(found) != n:
            said = len(found) if len(found) < n else f"more than {n}"
            found = [RuleError(f"gave {said} votes for {n} tasks")] * n
        votes += found
    return votes


def _codes_voted(vote: object, question: Question) -> tuple[int, ...]:
    """Codes of a vote, each once, none to abstain.

    Raises:
        RuleError: it doesn't fit the question; the message says how.
    """
    if isinstance(vote, RuleError):
        # One error may stand for thousands of tasks: it would carry the way of each time that it was raised.
        raise vote.with_traceback(None)
    parts: Iterable[object] = (vote,)
    if isinstance(vote, Sequence | Set) and not isinstance(vote, str):
        parts = list(islice(vote, MAX_NAMED + 1))
        if len(parts) > MAX_NAMED:
            raise RuleError(f"voted for more than {MAX_NAMED:,} labels at once")
    named = [part.label if isinstance(part, Not) else part for part in parts]
    labels = [str.__str__(label) for label in named if isinstance(label, str)]
    if len(labels) < len(named):
        raise RuleError("returned something that isn't a label, Not(label), labels or None")
    found: list[int] = []
    for part, label in zip(parts, labels, strict=True):
        index = question.index(label)
        if index is None:
            raise _OffList(f"voted for {one_line(label, SHOWN_LABEL)!r}, {no_such_label(question)}")
        found.append(_NOT - index if isinstance(part, Not) else index)
    voted = tuple(dict.fromkeys(found))
    if not question.accepts(voted):
        raise RuleError(f"voted for several labels, but {question.name!r} takes one")
    if any(_NOT - code in voted for code in voted if code >= 0):
        raise RuleError(f"voted for a label of {question.name!r} and against it")
    return voted
