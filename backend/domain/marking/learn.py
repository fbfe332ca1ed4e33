"""Learning a question of spans from what sources and people marked, and measuring what was learned."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.marking.before import SOURCE, MarkedBefore
from backend.domain.marking.model import Marked, MarkingModel, Tokens, matched, tokens_of
from backend.domain.marking.votes import Marks, SpanVotes
from backend.domain.questions import Spans
from backend.domain.reports.figures import Metric
from backend.domain.reports.version import ENTITY_F1, QuestionFigures, SourceFigures
from backend.domain.spans.fit import Fitted, fit
from backend.domain.spans.scores import span_scores
from backend.domain.spans.text import Span, Text
from backend.domain.spans.vote import Runs
from backend.domain.tasks import MirroredTask

Gold = Sequence[tuple[Span, ...] | None]


@dataclass(frozen=True, slots=True)
class LearnedMarking:
    """The model, what it would mark in each task, and how good that is."""

    model: MarkingModel
    marked: list[Marked]
    figures: QuestionFigures


def gold_of(question: Spans, items: Sequence[MirroredTask]) -> Gold:
    """What people marked in each task: of several people, what more than half of them marked; None where nobody looked.

    An annotation that marks nothing says that there is nothing; a skipped one says nothing.
    """
    gold: list[Marks | None] = []
    for item in items:
        entries = question.said_in(item)
        if not entries or not question.text(item.task.data):
            gold.append(None)
            continue
        counts = Counter(marks_of_each(question, [item])[0])
        gold.append(tuple(sorted(span for span, n in counts.items() if 2 * n > len(entries))))
    return gold


@dataclass(frozen=True, slots=True)
class Prepared:
    """Texts as spans are learned from them: in tokens with what sources said, and people's spans in these.

    sources: the names of those, last `SOURCE`. spans: what each source marked in each text.
    """

    before: MarkedBefore
    sources: tuple[str, ...]
    tokens: list[Tokens]
    gold: list[Runs | None]
    spans: list[tuple[Marks, ...]]


def prepare(
    question: Spans,
    votes: SpanVotes,
    data: Sequence[Mapping[str, object]],
    gold: Gold,
    each: Sequence[Marks] | None = None,
) -> Prepared:
    """Texts of n tasks to learn from. votes, data, gold: of the same tasks, see `gold_of`. each: where tokens are split
    as well, for what single people marked."""
    texts = [question.text(item) for item in data]
    before, again = _marked_before(texts, gold)
    sources = (*votes.sources, SOURCE)
    said = matched(votes, sources, again)
    tokens = [
        tokens_of(text, spans, against, (*(people or ()), *others))
        for text, (spans, against), people, others in zip(texts, said, gold, each or [()] * len(texts), strict=True)
    ]
    runs: list[Runs | None] = [
        None if people is None else tuple(item.read.runs(people)[0]) for item, people in zip(tokens, gold, strict=True)
    ]
    return Prepared(before, sources, tokens, runs, [spans for spans, _ in said])


def marks_of_each(question: Spans, items: Sequence[MirroredTask]) -> list[Marks]:
    """What all people together marked in each task."""
    return [
        tuple(
            Span(*mark[:3])
            for entry in question.said_in(item)
            for mark in question.marks(entry.answers.get(question.name, ()), item.task.data)
        )
        for item in items
    ]


def learn(
    question: Spans, votes: SpanVotes, data: Sequence[Mapping[str, object]], gold: Gold, *, seed: int
) -> LearnedMarking:
    """Learn from n tasks. votes, data, gold: of the same tasks, see `gold_of`."""
    known = prepare(question, votes, data, gold)
    voted = [item.voted for item in known.tokens]
    fitted = fit(voted, known.gold, question.labels, seed=seed)
    model = MarkingModel(question, known.sources, fitted.model, known.before)
    marked = model.settled(known.tokens, fitted.model.suggest(voted))
    return LearnedMarking(model, marked, _figures(model, fitted, known.gold, known.spans))


def _marked_before(texts: Sequence[str], gold: Gold) -> tuple[MarkedBefore, list[tuple[Span, ...]]]:
    """What people marked, and what of it stands in each text; in one that people looked at, without their own marks."""
    read = [Text.read(text) for text in texts]
    known = [(text, spans) for text, spans in zip(read, gold, strict=True) if spans is not None]
    before = MarkedBefore.learn([text for text, _ in known], [spans for _, spans in known])
    if not before.marked:
        return before, [()] * len(texts)
    return before, [before.spans(text, spans) for text, spans in zip(read, gold, strict=True)]


def _figures(
    model: MarkingModel, fitted: Fitted, gold: Sequence[Runs | None], columns: Sequence[Sequence[tuple[Span, ...]]]
) -> QuestionFigures:
    """Figures on texts with labels, each by a model that hasn't seen them."""
    n_labels = sum(runs is not None for runs in gold)
    measured = [
        (fitted.model.settle(raw).runs, runs)
        for raw, runs in zip(fitted.held_out, gold, strict=True)
        if raw is not None and runs is not None
    ]
    n = max(len(columns), 1)
    sources = {
        name: SourceFigures(sum(bool(spans[place]) for spans in columns) / n, fitted.model.trust.of(place))
        for place, name in enumerate(model.sources)
    }
    own: tuple[Metric, ...] = (Metric(ENTITY_F1, None),)
    if measured:
        scores = span_scores([list(shown) for shown, _ in measured], [runs for _, runs in measured])
        own = (
            Metric(ENTITY_F1, scores.f1, scores.interval),
            Metric("entity_precision", scores.precision),
            Metric("entity_recall", scores.recall),
            Metric("entities", float(scores.n_true)),
        )
    return QuestionFigures(n_labels=n_labels, own=own, sources=sources)


def doubts_of(marking: Mapping[str, LearnedMarking], n_tasks: int) -> NDArray[np.float64]:
    """How unsure the spans of each task are: float64 (n_tasks,), the largest of all questions.

    With a tagger it is the negative mean log-probability of a token's tag in the most probable tagging (MNLP, Shen et
    al. 2018); without one, 1 less the confidence, and 1 where nothing is known.
    """
    doubts = np.full(n_tasks, -np.inf)
    for about in marking.values():
        of_question = [-item.best if item.best is not None else 1 - (item.confidence or 0.0) for item in about.marked]
        doubts = np.maximum(doubts, of_question)
    return doubts
