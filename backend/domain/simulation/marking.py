"""The loop for spans: people mark a batch of texts, it trains, measures, chooses the next; in tokens that they read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.marking.learn import doubts_of, learn
from backend.domain.marking.model import MarkingModel
from backend.domain.marking.votes import Marks, SpanVotes
from backend.domain.priorities.bandit import RANDOM_SHARE
from backend.domain.priorities.strategy import Strategy
from backend.domain.questions import Spans
from backend.domain.simulation.loop import next_batch
from backend.domain.simulation.records import Marked, Plan, Point
from backend.domain.spans.scores import f1
from backend.domain.spans.text import Text


@dataclass(frozen=True, slots=True)
class MarkedTexts:
    """Texts whose spans are known, in one order. votes: of rules. n_tokens: int64 (n,), of each text."""

    question: Spans
    data: Sequence[Mapping[str, object]]
    votes: SpanVotes
    gold: Marked
    n_tokens: NDArray[np.int64]

    @classmethod
    def of(cls, question: Spans, data: Sequence[Mapping[str, object]], votes: SpanVotes, gold: Marked) -> "MarkedTexts":
        """With the tokens counted."""
        sizes = [len(Text.read(question.text(item)).words) for item in data]
        return cls(question, data, votes, gold, np.array(sizes, dtype=np.int64))

    def rows(self, rows: Sequence[int]) -> "MarkedTexts":
        """Some of the texts."""
        votes = SpanVotes(
            self.votes.sources, [self.votes.spans[row] for row in rows], [self.votes.against[row] for row in rows]
        )
        data, gold = [self.data[row] for row in rows], [self.gold[row] for row in rows]
        return MarkedTexts(self.question, data, votes, gold, self.n_tokens[np.array(rows, dtype=np.int64)])

    def without_votes(self) -> "MarkedTexts":
        """The same texts, of which no rule says anything."""
        nothing: list[tuple[Marks, ...]] = [()] * len(self.data)
        return replace(self, votes=SpanVotes((), nothing, nothing))


def split_texts(texts: MarkedTexts, test_share: float, seed: int) -> tuple[MarkedTexts, MarkedTexts]:
    """A pool and a random share (0..1) that is held out; equal texts are in one part."""
    groups: dict[str, list[int]] = {}
    for row, item in enumerate(texts.data):
        groups.setdefault(texts.question.text(item), []).append(row)
    order = list(groups.values())
    held_out: list[int] = []
    for place in np.random.default_rng(seed).permutation(len(order)).tolist():
        if len(held_out) < round(test_share * len(texts.data)):
            held_out += order[place]
    rest = sorted(set(range(len(texts.data))) - set(held_out))
    return texts.rows(rest), texts.rows(sorted(held_out))


def replay_texts(pool: MarkedTexts, test: MarkedTexts, plan: Plan, *, seed: int) -> Iterator[Point]:
    """Label texts as planned: a point after each training, the first without any label; its accuracy is the F1 of
    exact spans on the held-out texts.

    A plan's strategy is at random, or else that of a real project: the texts whose spans are least sure for their
    length, and some random ones.
    """
    pool, test = (part.without_votes() if plan.manual else part for part in (pool, test))
    random = np.random.default_rng(seed)
    is_labeled = np.zeros(len(pool.data), dtype=np.bool_)
    while True:
        gold = [spans if known else None for spans, known in zip(pool.gold, is_labeled.tolist(), strict=True)]
        learned = learn(pool.question, pool.votes, pool.data, gold, seed=int(random.integers(2**31)))
        n_labels = int(is_labeled.sum())
        usd, n_tokens = n_labels * plan.usd_per_label, int(pool.n_tokens[is_labeled].sum())
        yield Point(n_labels, 0, usd, scored(learned.model, test), n_tokens=n_tokens)
        n = next_batch(plan, n_labels, int((~is_labeled).sum()), usd)
        if not n:
            return
        left = random.permutation(np.flatnonzero(~is_labeled))
        if plan.strategy != Strategy.RANDOM:
            doubts = doubts_of({pool.question.name: learned}, len(pool.data))
            n_random = int(random.binomial(n, RANDOM_SHARE))
            by_doubt = left[np.argsort(-doubts[left], kind="stable")]
            left = np.concatenate([by_doubt[: n - n_random], random.permutation(by_doubt[n - n_random :])])
        is_labeled[left[:n]] = True


def full_f1(pool: MarkedTexts, test: MarkedTexts, plan: Plan, *, seed: int) -> float:
    """The F1 (0..1) on the held-out texts with all labels of the pool."""
    pool, test = (part.without_votes() if plan.manual else part for part in (pool, test))
    return scored(learn(pool.question, pool.votes, pool.data, pool.gold, seed=seed).model, test)


def scored(model: MarkingModel, test: MarkedTexts) -> float:
    """F1 of exact spans that a model marks."""
    n_right = n_marked = n_true = 0
    for found, spans, item in zip(model.suggest(test.votes, test.data), test.gold, test.data, strict=True):
        ours = {mark[:3] for mark in test.question.marks(found.answer, item)}
        theirs = {tuple(span) for span in spans or ()}
        n_right, n_marked, n_true = n_right + len(ours & theirs), n_marked + len(ours), n_true + len(theirs)
    return f1(n_right, n_marked, n_true)
