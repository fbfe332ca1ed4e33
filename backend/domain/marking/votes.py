"""Spans that rules mark in texts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from backend.domain.outside import bounded_whole, one_line
from backend.domain.questions import Question, Spans
from backend.domain.rules import Not, Rule, TaskFields
from backend.domain.rules.contained import Forks, described, end_fork, off_main_thread
from backend.domain.rules.interface import ANY, Marking, SpanVote
from backend.domain.rules.patterns import Late
from backend.domain.rules.terms import Folded
from backend.domain.rules.text import MAX_LATE
from backend.domain.spans.text import Span
from backend.domain.votes import RuleFaults, no_such_label
from backend.errors import RuleError

MOST_SPANS = 10_000
"""Of one rule in one text."""
SHOWN_LABEL = 60


AT_ONCE = 1_000
"""Texts whose words are kept while all rules look at them."""

Marks = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class SpanVotes:
    """What each source said of the texts of one question, for each text, for each source.

    spans: what it marked. against: what, it says, is no span of this label, or of none where the label is "".
    """

    sources: tuple[str, ...]
    spans: Sequence[Sequence[Marks]]
    against: Sequence[Sequence[Marks]]

    def trimmed(self, texts: Sequence[str]) -> "SpanVotes":
        """The same without white space at the ends of spans."""
        spans, against = (
            [[trimmed(text, marks) for marks in of_text] for text, of_text in zip(texts, said, strict=True)]
            for said in (self.spans, self.against)
        )
        return SpanVotes(self.sources, spans, against)


def beside(votes: SpanVotes, more: SpanVotes) -> SpanVotes:
    """The votes of some sources, with those of others behind them, on the same texts."""
    spans, against = (
        [(*own, *added) for own, added in zip(mine, others, strict=True)]
        for mine, others in ((votes.spans, more.spans), (votes.against, more.against))
    )
    return SpanVotes(votes.sources + more.sources, spans, against)


def trimmed(text: str, marks: Marks) -> Marks:
    """Spans of a text without white space at their ends, which no one means."""
    found = []
    for span in marks:
        inside = text[span.start : span.end]
        start = span.start + len(inside) - len(inside.lstrip())
        found.append(span._replace(start=start, end=max(start, span.start + len(inside.rstrip()))))
    return tuple(found)


class _OffList(RuleError):
    """A span with a label that the question doesn't have."""


def marks(rule: Rule, question: Question) -> bool:
    """Whether a rule is asked to mark spans: it names the question, or labels of it and looks at one text at a time."""
    one_by_one = rule.marking is not None or rule.batch is None
    return rule.answers(question) and (rule.question is not None or (bool(rule.labels) and one_by_one))


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
    for question in questions:
        asked = {rule.name: _Asked(rule, question, faults) for rule in rules if marks(rule, question)}
        for start in range(0, len(tasks), AT_ONCE):
            some = [TaskFields(data) for data in tasks[start : start + AT_ONCE]]
            texts = [Folded(question.text(data)) for data in tasks[start : start + AT_ONCE]]
            for rule in asked.values():
                rule.ask(some, texts)
        each = [[rule.column[row] for rule in asked.values()] for row in range(len(tasks))]
        spans, against = ([tuple(said[side] for said in row) for row in each] for side in (0, 1))
        found[question.name] = SpanVotes(tuple(asked), spans, against)
    return found, faults


class _Asked:
    """One rule that marks the texts of one question, and what came of it so far."""

    def __init__(self, rule: Rule, question: Spans, faults: RuleFaults) -> None:
        self._rule, self._question, self._faults = rule, question, faults
        self._late: list[Late] = []
        self.column: list[tuple[Marks, Marks]] = []

    def ask(self, fields: Sequence[TaskFields], texts: Sequence[Folded]) -> None:
        """Add what it says of some more texts: what it marks, and what is no span."""
        rule, n_forks = self._rule, Forks.n
        for task, text in zip(fields, texts, strict=True):
            found: tuple[Marks, Marks] = ((), ())
            try:
                if len(self._late) >= MAX_LATE:
                    raise self._late[0].with_traceback(None)
                given = rule.function(task) if rule.marking is None else _marked(rule.marking, text, self._question)
                found = _spans(given, text.text, self._question)
            except BaseException as error:  # noqa: BLE001 - a user's function may raise anything; the others go on
                self._faults.add(rule.name, described(error, rule.place))
                if isinstance(error, _OffList):
                    self._faults.off_list.add(rule.name)
                if isinstance(error, Late) and rule.marking is not None:
                    self._late.append(error)
            self.column.append(found)
            if Forks.n != n_forks:
                end_fork()


def _marked(marking: Marking, text: Folded, question: Spans) -> Iterable[SpanVote]:
    if marking.field != question.field:
        raise RuleError(f"looks at the field {marking.field!r}, but {question.name!r} marks {question.field!r}")
    return marking.find(text)


def _spans(given: object, text: str, question: Spans) -> tuple[Marks, Marks]:
    """The spans that a rule gave, each once, and what it says is none.

    Raises:
        RuleError: it gave something else, too many, or one that isn't in the text.
    """
    if given is None:
        return (), ()
    if isinstance(given, str | Not | Mapping) or not isinstance(given, Iterable):
        raise RuleError("returned something that isn't spans: yield (start, end, label) for each")
    parts = list(islice(given, MOST_SPANS + 1))
    if len(parts) > MOST_SPANS:
        raise RuleError(f"marked more than {MOST_SPANS:,} spans in one text")
    found = dict.fromkeys(_span(part, text, question) for part in parts)
    return tuple(span for span, is_one in found if is_one), tuple(span for span, is_one in found if not is_one)


def _span(part: object, text: str, question: Spans) -> tuple[Span, bool]:
    """A span, and whether it is one, or none."""
    if not (isinstance(part, tuple | list) and len(part) == 3):
        raise RuleError("returned something that isn't a span: (start, end, label)")
    start, end = (bounded_whole(place, 0, len(text)) for place in part[:2])
    is_one = not isinstance(part[2], Not)
    named = part[2].label if isinstance(part[2], Not) else part[2]
    if not isinstance(named, str):
        raise RuleError("returned a span whose label is neither a text nor Not(label)")
    if start is None or end is None or start >= end:
        raise RuleError(f"marked a span that isn't in the text, which has {len(text):,} characters")
    label = str.__str__(named)
    if question.index(label) is None:
        if label == ANY and not is_one:
            return Span(start, end, ""), False
        raise _OffList(f"marked a span as {one_line(label, SHOWN_LABEL)!r}, {no_such_label(question)}")
    return Span(start, end, label), is_one
