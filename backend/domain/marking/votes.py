"""Spans that rules mark in texts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from backend.domain.outside import bounded_whole, one_line
from backend.domain.questions import Question, Spans
from backend.domain.rules import Rule, TaskFields
from backend.domain.rules.contained import Forks, described, end_fork, off_main_thread
from backend.domain.spans.text import Span
from backend.domain.votes import RuleFaults, no_such_label
from backend.errors import RuleError

MOST_SPANS = 10_000
"""Of one rule in one text."""
SHOWN_LABEL = 60


@dataclass(frozen=True, slots=True)
class SpanVotes:
    """What each source marked in the texts of one question. spans: for each text, for each source."""

    sources: tuple[str, ...]
    spans: Sequence[Sequence[tuple[Span, ...]]]


class _OffList(RuleError):
    """A span with a label that the question doesn't have."""


def marks(rule: Rule, question: Question) -> bool:
    """Whether a rule is asked to mark spans: it names the question, or labels of it and votes on one task at a time."""
    return rule.answers(question) and (rule.question is not None or (rule.labels is not None and rule.batch is None))


def apply_marking_rules(
    rules: Sequence[Rule], tasks: Sequence[Mapping[str, object]], questions: Sequence[Spans]
) -> tuple[dict[str, SpanVotes], RuleFaults]:
    """Let every rule mark every text.

    Args:
        rules: labeling functions with unique names.
        tasks: task data.
        questions: those about spans.

    Returns:
        What was marked, by question, and the faults. A rule that raises anything, or marks what can't be marked, marks
        nothing in that text and is counted.
    """
    return off_main_thread(lambda: _apply(rules, tasks, questions))


def _apply(
    rules: Sequence[Rule], tasks: Sequence[Mapping[str, object]], questions: Sequence[Spans]
) -> tuple[dict[str, SpanVotes], RuleFaults]:
    faults, found = RuleFaults(), {}
    fields = [TaskFields(data) for data in tasks]
    for question in questions:
        asked = [rule for rule in rules if marks(rule, question)]
        texts = [question.text(data) for data in tasks]
        columns = [_column(rule, fields, texts, question, faults) for rule in asked]
        each = [tuple(column[row] for column in columns) for row in range(len(tasks))]
        found[question.name] = SpanVotes(tuple(rule.name for rule in asked), each)
    return found, faults


def _column(
    rule: Rule, fields: Sequence[TaskFields], texts: Sequence[str], question: Spans, faults: RuleFaults
) -> list[tuple[Span, ...]]:
    """What one rule marks in each text."""
    column: list[tuple[Span, ...]] = []
    n_forks = Forks.n
    for task, text in zip(fields, texts, strict=True):
        found: tuple[Span, ...] = ()
        try:
            found = _spans(rule.function(task), text, question)
        except BaseException as error:  # noqa: BLE001 - a user's function may raise anything; the others go on
            faults.add(rule.name, described(error, rule.place))
            if isinstance(error, _OffList):
                faults.off_list.add(rule.name)
        column.append(found)
        if Forks.n != n_forks:
            end_fork()
    return column


def _spans(given: object, text: str, question: Spans) -> tuple[Span, ...]:
    """The spans that a rule gave, each once.

    Raises:
        RuleError: it gave something else, too many, or one that isn't in the text.
    """
    if given is None:
        return ()
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise RuleError("returned something that isn't spans: yield (start, end, label) for each")
    parts = list(islice(given, MOST_SPANS + 1))
    if len(parts) > MOST_SPANS:
        raise RuleError(f"marked more than {MOST_SPANS:,} spans in one text")
    return tuple(dict.fromkeys(_span(part, text, question) for part in parts))


def _span(part: object, text: str, question: Spans) -> Span:
    if not (isinstance(part, tuple | list) and len(part) == 3 and isinstance(part[2], str)):
        raise RuleError("returned something that isn't a span: (start, end, label)")
    start, end = (bounded_whole(place, 0, len(text)) for place in part[:2])
    if start is None or end is None or start >= end:
        raise RuleError(f"marked a span that isn't in the text, which has {len(text):,} characters")
    label = str.__str__(part[2])
    if question.index(label) is None:
        raise _OffList(f"marked a span as {one_line(label, SHOWN_LABEL)!r}, {no_such_label(question)}")
    return Span(start, end, label)
