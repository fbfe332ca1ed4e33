"""What annotators answered on earlier tasks that have something in common with this one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.domain.questions import Question
from backend.domain.rules.fields import domain_of
from backend.domain.rules.interface import Rule, Vote, batch_rule
from backend.domain.rules.tasks import Tasks, key_of
from backend.domain.tasks import OWN_PREFIX, Answer
from backend.errors import RuleError

Answers = Sequence[Mapping[str, Answer]]
"""What each annotator of one task answered: question -> labels."""


@dataclass(frozen=True, slots=True)
class History:
    """Annotated tasks.

    `data` and `answers` are theirs, in the same order. `own` says for each task that is voted on at which place it is
    itself among them, -1 = it isn't: its own answers must never speak for it.
    """

    data: Sequence[Mapping[str, object]]
    answers: Sequence[Answers]
    own: Sequence[int]

    def part(self, start: int, stop: int) -> "History":
        """The same for the tasks from one place up to another."""
        return History(self.data, self.answers, self.own[start:stop])


@dataclass(slots=True)
class _Counts:
    """Of the answers that share a value: how many there are, and how many have each label."""

    n: int
    labels: Counter[str]


def history_rule(
    name: str,
    *,
    field: str,
    min_count: int = 5,
    min_share: float = 0.8,
    domain: bool = False,
    question: str | None = None,
    description: str = "",
) -> Rule:
    """Vote what annotators answered for other tasks with the same value of a field (author, source, web domain).

    Args:
        name: the rule's name.
        field: what the tasks have in common; text without regard to case and surrounding space.
        min_count: answers needed, each annotator's counting as one.
        min_share: share of these answers that has to have the label, above 0.5.
        domain: compare the host names of the web addresses in the field.
        question: the question; None for every one.
        description: what the rule means.

    Of a multiple question every label that reaches the share is voted for. A task's own answers never count for it.

    Raises:
        RuleError: `min_share` isn't above 0.5 and at most 1, or `min_count` is below 1.
    """
    if not 0.5 < min_share <= 1 or min_count < 1:
        raise RuleError(f"{name}: min_share must be above 0.5 and at most 1, min_count at least 1")

    def key(value: object) -> str | None:
        if domain:
            return domain_of(value) if isinstance(value, str) else None
        return key_of(value)

    def batch(tasks: Tasks) -> list[Vote]:
        history, asked = tasks.history, tasks.question
        if history is None or asked is None or field.startswith(OWN_PREFIX):
            return [None] * len(tasks)
        given = [_known(answers, asked) for answers in history.answers]
        keys = [key(data.get(field)) for data in history.data]
        counts: dict[str, _Counts] = {}
        for known, answers in zip(keys, given, strict=True):
            if known is not None and answers:
                _add(counts.setdefault(known, _Counts(0, Counter())), answers)
        votes: list[Vote] = []
        for value, own in zip(tasks.values(field), history.own, strict=True):
            found = counts.get(key(value) or "")
            # The own answers are taken out where they were put in: under the value that the history has for the task.
            mine = given[own] if own >= 0 and keys[own] == key(value) else []
            votes.append(_vote(found, mine, min_count, min_share))
        return votes

    return batch_rule(name, batch, question=question, labels=None, description=description, needs_history=True)


def _known(answers: Answers, question: Question) -> list[Answer]:
    """Answers to a question, without the labels that it doesn't have (any more); answers without any other are none."""
    given = (question.read(answer.get(question.name, ())) for answer in answers)
    return [answer for answer in given if answer]


def _add(counts: _Counts, answers: Sequence[Answer]) -> None:
    counts.n += len(answers)
    for answer in answers:
        counts.labels.update(set(answer))


def _vote(counts: _Counts | None, mine: Sequence[Answer], min_count: int, min_share: float) -> Vote:
    if counts is None or counts.n - len(mine) < min_count:
        return None
    n = counts.n - len(mine)
    own = Counter(label for answer in mine for label in set(answer))
    agreed = sorted(label for label, count in counts.labels.items() if count - own[label] >= min_share * n)
    return agreed or None
