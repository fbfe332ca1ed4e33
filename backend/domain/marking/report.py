"""What each rule marks: how much, how often people mark the same, and what an edit of the rules would change."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.marking.learn import Gold
from backend.domain.marking.model import tokens_of
from backend.domain.marking.votes import Marks, SpanVotes
from backend.domain.outside import one_line
from backend.domain.questions import Spans
from backend.domain.spans.scores import f1
from backend.domain.spans.text import Span
from backend.domain.spans.vote import vote
from backend.domain.statistics import wilson

AROUND = 40
"""Characters of a text that are shown before and behind a span."""
SHOWN = 80
"""Characters of a span that are shown."""
MIN_JUDGED = 5
"""Spans in texts that people looked at from which on a rule may be called mostly wrong."""
MOSTLY_WRONG = "mostly wrong"
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class SpanRuleReport:
    """One rule on one question of spans.

    labels: of what it marks, and as "not <label>" of what it says is none. n_spans: what it marks, and n_against: what
    it says is none. coverage: share of all texts in which it says something. overlaps: share of its spans that another
    rule marks as well, and conflicts: share that overlaps what another one marks otherwise, or says is none.
    n_judged: its spans in texts that people looked at; precision: the share of them that people marked exactly so, with
    its 95 % interval (Wilson 1927). recall: the share that it marks of people's spans with the labels that it marks.
    n_off: its spans whose label people gave, too, between other ends. n_denied: what it says is none, in these texts,
    and n_denied_wrongly: of which people marked something. trust: share of its spans that the current version believes
    people keep. flags: "mostly wrong": the interval is below a half.
    """

    name: str
    question: str
    labels: tuple[str, ...] = ()
    n_spans: int = 0
    n_against: int = 0
    coverage: float = 0.0
    overlaps: float = 0.0
    conflicts: float = 0.0
    n_judged: int = 0
    precision: float | None = None
    precision_interval: tuple[float, float] | None = None
    recall: float | None = None
    n_off: int = 0
    n_denied: int = 0
    n_denied_wrongly: int = 0
    trust: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpanMistake:
    """What a rule marked, or denied, and people didn't; `row` of the text. around: the span in [ ], with what stands
    around it."""

    row: int
    question: str
    marked: str
    given: str
    around: str


@dataclass(frozen=True, slots=True)
class SpansDiff:
    """What an edit does to one question of spans.

    suggestions_changed: of n_tasks, in how many the vote marks something else. Of the n_spans that people marked: how
    many the vote marks exactly, before and after, and its F1 on the texts that they looked at.
    """

    question: str
    n_tasks: int
    suggestions_changed: int
    n_spans: int
    right_before: int
    right_after: int
    f1_before: float | None
    f1_after: float | None


def report_marking(question: Spans, votes: SpanVotes, gold: Gold, trust: Mapping[str, float]) -> list[SpanRuleReport]:
    """A record of each rule that marks the texts of a question.

    Args:
        question: the question.
        votes: what the rules said of n texts.
        gold: what people marked in these.
        trust: what the current version believes of each rule.
    """
    return [_report(name, place, question, votes, gold, trust.get(name)) for place, name in enumerate(votes.sources)]


def _report(
    name: str, place: int, question: Spans, votes: SpanVotes, gold: Gold, trust: float | None
) -> SpanRuleReport:
    n: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    true_by_label: Counter[str] = Counter()
    for spans, against, people in zip(votes.spans, votes.against, gold, strict=True):
        mine, denied = spans[place], against[place]
        others = [span for at, marks in enumerate(spans) if at != place for span in marks]
        other_nots = [span for at, marks in enumerate(against) if at != place for span in marks]
        labels.update(span.label for span in mine)
        labels.update(f"not {span.label or 'any'}" for span in denied)
        n.update(texts=bool(mine or denied), spans=len(mine), against=len(denied))
        n.update(
            overlaps=sum(span in others for span in mine),
            conflicts=sum(_is_disputed(span, others, other_nots) for span in mine),
        )
        if people is not None:
            true_by_label.update(span.label for span in people)
            n.update(
                judged=len(mine),
                right=sum(span in people for span in mine),
                off=sum(_is_off(span, people) for span in mine),
                denied=len(denied),
                denied_wrongly=sum(bool(list(_met(span, people))) for span in denied),
            )
    interval = wilson(n["right"], n["judged"])
    n_true = sum(true_by_label[label] for label in labels)
    n_texts, n_spans = max(len(gold), 1), max(n["spans"], 1)
    is_wrong = interval is not None and n["judged"] >= MIN_JUDGED and interval[1] < 0.5
    return SpanRuleReport(
        name=name,
        question=question.name,
        labels=tuple(label for label, _ in labels.most_common()),
        n_spans=n["spans"],
        n_against=n["against"],
        coverage=n["texts"] / n_texts,
        overlaps=n["overlaps"] / n_spans,
        conflicts=n["conflicts"] / n_spans,
        n_judged=n["judged"],
        precision=n["right"] / n["judged"] if n["judged"] else None,
        precision_interval=None if interval is None else (interval[0], interval[1]),
        recall=n["right"] / n_true if n_true else None,
        n_off=n["off"],
        n_denied=n["denied"],
        n_denied_wrongly=n["denied_wrongly"],
        trust=trust,
        flags=(MOSTLY_WRONG,) if is_wrong else (),
    )


def mistakes_in_marking(
    name: str, votes: SpanVotes, gold: Gold, texts: Sequence[str], question: Spans
) -> list[SpanMistake]:
    """What one rule marked, or said is none, and people see otherwise; by text, then place."""
    if name not in votes.sources:
        return []
    place, found = votes.sources.index(name), []
    for row, people in enumerate(gold):
        if people is None:
            continue
        mine = [(span, span.label) for span in votes.spans[row][place] if span not in people]
        mine += [(span, f"not {span.label or 'any'}") for span in votes.against[row][place] if list(_met(span, people))]
        for span, marked in sorted(mine):
            given = [
                f"{other.label}: {_cut(texts[row][other.start : other.end])}" for other in people if _touch(span, other)
            ]
            found.append(SpanMistake(row, question.name, marked, "; ".join(given) or NOTHING, around(texts[row], span)))
    return found


def around(text: str, span: Span) -> str:
    """A span in [ ], with what stands around it, on one line."""
    before, behind = text[max(0, span.start - AROUND) : span.start], text[span.end : span.end + AROUND]
    dots = ("\u2026" if span.start > AROUND else "", "\u2026" if span.end + AROUND < len(text) else "")
    inside = _cut(text[span.start : span.end])
    return one_line(f"{dots[0]}{before}[{inside}]{behind}{dots[1]}", 2 * AROUND + SHOWN + 10)


def changed_marks(before: SpanVotes, after: SpanVotes) -> dict[str, int]:
    """Rule -> in how many texts it says something else than before; rules that say the same are left out."""
    changed: Counter[str] = Counter()
    for name in dict.fromkeys([*before.sources, *after.sources]):
        for old, new in zip(_column(before, name), _column(after, name), strict=True):
            changed[name] += old != new
    return {name: n for name, n in changed.items() if n}


def compare_marking(
    question: Spans, before: SpanVotes, after: SpanVotes, gold: Gold, texts: Sequence[str]
) -> SpansDiff:
    """What the vote marks with one set of rules and with another. The tagger is left out: only training shows what it
    makes of them."""
    shown = [_voted(votes, texts) for votes in (before, after)]
    counts = [
        [
            (len(set(marked) & set(people)), len(marked), len(people))
            for marked, people in zip(of_votes, gold, strict=True)
            if people is not None
        ]
        for of_votes in shown
    ]
    right = [sum(item[0] for item in of_votes) for of_votes in counts]
    scores = [f1(*(sum(column) for column in zip(*of_votes, strict=True))) if of_votes else None for of_votes in counts]
    return SpansDiff(
        question=question.name,
        n_tasks=len(texts),
        suggestions_changed=sum(one != other for one, other in zip(*shown, strict=True)),
        n_spans=sum(len(people) for people in gold if people is not None),
        right_before=right[0],
        right_after=right[1],
        f1_before=scores[0],
        f1_after=scores[1],
    )


def _voted(votes: SpanVotes, texts: Sequence[str]) -> list[list[Span]]:
    tokens = [
        tokens_of(text, spans, against) for text, spans, against in zip(texts, votes.spans, votes.against, strict=True)
    ]
    return [item.read.spans(vote(item.voted)) for item in tokens]


def _column(votes: SpanVotes, name: str) -> Iterator[tuple[set[Span], set[Span]]]:
    place = votes.sources.index(name) if name in votes.sources else None
    for spans, against in zip(votes.spans, votes.against, strict=True):
        yield (set(), set()) if place is None else (set(spans[place]), set(against[place]))


def _is_disputed(span: Span, others: Sequence[Span], nots: Sequence[Span]) -> bool:
    """Whether another rule marks the place otherwise, or says that it is none."""
    return any(_touch(span, other) and other != span for other in others) or any(
        _touch(span, other) and other.label in ("", span.label) for other in nots
    )


def _is_off(span: Span, people: Marks) -> bool:
    return span not in people and any(_touch(span, other) and other.label == span.label for other in people)


def _met(span: Span, people: Marks) -> Iterator[Span]:
    """What people marked of what a rule says is none."""
    return (other for other in people if _touch(span, other) and span.label in ("", other.label))


def _touch(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}\u2026"
