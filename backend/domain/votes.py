"""Votes: what each source said of each task."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Decision, Question, decisions
from backend.domain.rules import History, Not, Rule, Tasks, Vote
from backend.errors import RuleError

ABSTAIN = -1
_NOT = -2
"""A vote against the class with index i has the code `_NOT` - i, within this module only."""

Votes = NDArray[np.int16]
"""int16 (n_tasks, n_sources): a class index, or -1 = abstain."""


@dataclass(frozen=True, slots=True)
class VoteMatrix:
    """The votes on one decision: int16 (n_tasks, n_sources), -1 = abstain, columns in the order of `sources`.

    `excluded`, of the same shape: the class that a source rules out without saying which other it is, -1 = none; None
    when no source rules any out. Only where there are more than two classes: of two, ruling one out is a vote for the
    other.
    """

    decision: Decision
    sources: tuple[str, ...]
    votes: Votes
    excluded: Votes | None = None

    def rows(self, rows: NDArray[np.int64]) -> "VoteMatrix":
        """The votes on some of the tasks."""
        excluded = None if self.excluded is None else self.excluded[rows]
        return VoteMatrix(self.decision, self.sources, self.votes[rows], excluded)


@dataclass(slots=True)
class Faults:
    """What went wrong while rules voted: rule name -> number of faults and the first reason.

    `off_list`: rules that voted for a label the question doesn't have.
    """

    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    off_list: set[str] = field(default_factory=set)

    def add(self, rule: str, reason: str) -> None:
        """Count one fault; only the first reason of a rule is kept."""
        self.counts[rule] = self.counts.get(rule, 0) + 1
        self.reasons.setdefault(rule, reason)

    def merge(self, other: "Faults") -> None:
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
) -> tuple[dict[str, VoteMatrix], Faults]:
    """Let every rule vote on every task.

    Args:
        rules: labeling functions with unique names.
        tasks: task data, n_tasks of them.
        questions: the questions of the project.
        history: what annotators answered before, for rules that need it; without it they abstain.

    Returns:
        One vote matrix for each decision of each question, by `Decision.key`, rows in the order of `tasks`, columns the
        rules that answer the question, in the order of `rules`; and the faults. A rule that raises, or that votes for a
        label the question doesn't have, abstains on that task and is counted; a batch rule that raises abstains on all.
    """
    fields = Tasks(tasks, history=history)
    faults = Faults()
    matrices: dict[str, VoteMatrix] = {}
    for question in questions:
        asked = [rule for rule in rules if rule.answers(question)]
        asking = fields.asking(question)
        columns = [_column(rule, asking, question, faults) for rule in asked]
        matrices |= _matrices(question, tuple(rule.name for rule in asked), columns, len(tasks))
    return matrices, faults


def no_such_label(question: Question) -> str:
    """The reason of the fault that is counted for a vote for, or against, a label that a question doesn't have."""
    return f"voted for a label that {question.name!r} doesn't have"


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
    asked = decisions(question)
    shape = (n_tasks, len(sources))
    matrices = [np.full(shape, ABSTAIN, dtype=np.int16) for _ in asked]
    excluded = np.full(shape, ABSTAIN, dtype=np.int16)
    for column, (rows, codes) in enumerate(columns):
        against = codes < 0
        named = np.where(against, _NOT - codes, codes)
        if question.multiple:
            for index in np.unique(named):
                of_label = named == index
                matrices[index][rows[of_label], column] = ~against[of_label]
        elif len(question.labels) == 2:
            # Of two classes, ruling one out is a vote for the other.
            matrices[0][rows, column] = np.where(against, 1 - named, named)
        else:
            matrices[0][rows[~against], column] = named[~against]
            excluded[rows[against], column] = named[against]
    ruled_out = excluded if (excluded != ABSTAIN).any() else None
    return {
        decision.key: VoteMatrix(decision, sources, votes, ruled_out)
        for decision, votes in zip(asked, matrices, strict=True)
    }


def _column(rule: Rule, tasks: Tasks, question: Question, faults: Faults) -> NDArray[np.int64]:
    """What one rule says: int64 (2, n_votes), row of the task and code."""
    codes = _codes(question)
    said = _said(rule, tasks, faults)
    try:
        # Nearly all votes are one label or None: a look-up each.
        coded = np.array([codes[vote] for vote in said], dtype=np.int64)  # type: ignore[index]
    except (KeyError, TypeError):
        pairs = []
        for row, vote in enumerate(said):
            try:
                pairs += [(row, code) for code in _codes_voted(vote, question, codes)]
            except RuleError as error:
                faults.add(rule.name, str(error))
                if isinstance(error, _OffList):
                    faults.off_list.add(rule.name)
        return np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    rows = np.flatnonzero(coded != ABSTAIN)
    return np.stack([rows, coded[rows]])


def _said(rule: Rule, tasks: Tasks, faults: Faults) -> Sequence[Vote | RuleError]:
    """A rule's votes, one per task; None where it raises."""
    if rule.batch is not None:
        try:
            votes = list(rule.batch(tasks))
            if len(votes) != len(tasks):
                raise RuleError(f"gave {len(votes)} votes for {len(tasks)} tasks")
        except RuleError as error:
            faults.add(rule.name, str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as below
            faults.add(rule.name, f"{type(error).__name__}: {error}")
        else:
            return votes
        return [None] * len(tasks)
    function = rule.function
    said: list[Vote | RuleError] = []
    for task in tasks:
        try:
            said.append(function(task))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's function may raise anything; the others go on
            said.append(None)
            faults.add(rule.name, f"{type(error).__name__}: {error}")
    return said


def _codes(question: Question) -> dict[str | Not | None, int]:
    """Numbers for what can be voted: a label's index; `_NOT` - index against it; `ABSTAIN`."""
    against = {Not(label): _NOT - index for index, label in enumerate(question.labels)}
    return {None: ABSTAIN} | {label: index for index, label in enumerate(question.labels)} | against


def _codes_voted(vote: Vote | RuleError, question: Question, codes: Mapping[str | Not | None, int]) -> tuple[int, ...]:
    """Codes of a vote, each once, none to abstain.

    Raises:
        RuleError: it doesn't fit the question; the message says how.
    """
    if isinstance(vote, RuleError):
        raise vote
    if vote is None:
        return ()
    parts = list(vote) if isinstance(vote, Sequence | Set) and not isinstance(vote, str) else [vote]
    if not all(isinstance(part, str | Not) for part in parts):
        raise RuleError("returned something that isn't a label, Not(label), labels or None")
    if not all(part in codes for part in parts):
        raise _OffList(no_such_label(question))
    voted = tuple(dict.fromkeys(codes[part] for part in parts))
    if len(voted) > 1 and not question.multiple:
        raise RuleError(f"voted for several labels, but {question.name!r} takes one")
    if any(_NOT - code in voted for code in voted if code >= 0):
        raise RuleError(f"voted for a label of {question.name!r} and against it")
    return voted
