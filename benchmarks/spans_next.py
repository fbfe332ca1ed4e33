"""Which documents next, for `benchmarks.spans`: ours against a draw at random, in tokens that people read."""

import time
from collections.abc import Sequence

import numpy as np

from backend.domain.spans.fit import fit
from backend.domain.spans.model import SpanModel
from backend.domain.spans.next_texts import usefulness
from backend.domain.spans.scores import span_scores
from benchmarks.common import OURS, Row
from benchmarks.spans_sets import SpanSet

SIZES = (10, 20, 35, 50, 75, 100, 150, 200, 300, 450, 700, 1_000)
"""Documents labeled at each step."""
SHARE = 0.95
"""Of the F1 with all documents."""
MOST_TOKENS = 60_000
"""Tokens of the documents to choose from: a set of long ones is cut."""


def next_rows(item: SpanSet, n_seeds: int) -> list[Row]:
    """Tokens read until `SHARE` of the F1 is reached, for each method and seed, and their ratio."""
    every = fit(item.train.texts, item.train.gold, item.labels).model
    goal = SHARE * _f1(item, every)
    rows = [Row(item.name, OURS, "95 % of all f1", goal, 0.0)]
    for seed in range(n_seeds):
        tokens: dict[str, float] = {}
        for method in (OURS, "random"):
            started = time.perf_counter()
            tokens[method] = _tokens(item, goal, seed, random=method == "random")
            rows.append(Row(item.name, method, "tokens to 95 %", tokens[method], time.perf_counter() - started))
    return rows


def _tokens(item: SpanSet, goal: float, seed: int, *, random: bool) -> float:
    """Tokens read until the F1 on the test part reaches the goal; between two steps as if it grew evenly."""
    cost = np.array(item.train.n_tokens)
    order = item.order(seed)
    order = [row for row, total in zip(order, cost[order].cumsum(), strict=True) if total <= MOST_TOKENS]
    labeled: list[int] = []
    reached, read = _f1(item, _fitted(item, order, labeled, seed)), 0.0
    if reached >= goal:
        return 0.0
    for size in SIZES:
        if not random and labeled:
            order = _ordered(item, order, labeled, _fitted(item, order, labeled, seed))
        labeled += [row for row in order if row not in set(labeled)][: size - len(labeled)]
        f1, total = _f1(item, _fitted(item, order, labeled, seed)), float(cost[labeled].sum())
        if f1 >= goal:
            return read + (total - read) * (goal - reached) / (f1 - reached)
        if len(labeled) < size:
            break
        reached, read = f1, total
    return float(cost[order].sum())


def _fitted(item: SpanSet, order: Sequence[int], labeled: Sequence[int], seed: int) -> SpanModel:
    chosen = set(labeled)
    gold = [item.train.gold[row] if row in chosen else None for row in order]
    return fit([item.train.texts[row] for row in order], gold, item.labels, seed=seed).model


def _ordered(item: SpanSet, order: Sequence[int], labeled: Sequence[int], model: SpanModel) -> list[int]:
    """The labeled documents, then the others, the most useful first, each content once."""
    chosen = set(labeled)
    rest = [row for row in order if row not in chosen]
    texts = [item.train.texts[row] for row in rest]
    useful = usefulness(texts, model.suggest(texts))
    return [*labeled, *(rest[at] for at in np.argsort(-useful, kind="stable"))]


def _f1(item: SpanSet, model: SpanModel) -> float:
    return span_scores([tuple(found.runs) for found in model.suggest(item.test.texts)], item.test.gold).f1
