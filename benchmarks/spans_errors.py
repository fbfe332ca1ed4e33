"""Wrong spans found, for `benchmarks.spans`: ours against cleanlab's token classification."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from cleanlab.token_classification.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from backend.domain.spans.crf import tags, train_crf
from backend.domain.spans.features import features
from backend.domain.spans.fit import folds, hold_out
from backend.domain.spans.suspects import find_suspects, token_doubts
from backend.domain.spans.text import Run
from backend.domain.spans.vote import Runs, Voted
from benchmarks.common import OURS, Row
from benchmarks.spans_sets import SpanSet, without_votes

SHARES = (0.05, 0.1)
MOST_TOKENS = 25_000
"""Tokens of the documents with errors: a set of long ones is cut."""

Doubts = list[NDArray[np.float64]]
"""For each document float64 (n_tokens,): how much each token's tag is doubted."""


def spoil(texts: Sequence[Voted], gold: Sequence[Runs], labels: Sequence[str], share: float, seed: int) -> list[Runs]:
    """People's runs of which a share is dropped, moved by one token at one end, or given another label."""
    random = np.random.default_rng(seed)
    spoiled = []
    for text, runs in zip(texts, gold, strict=True):
        kept = list(runs)
        for run in runs:
            if random.random() >= share:
                continue
            kept.remove(run)
            changed = _changed(run, len(text.words), labels, random)
            if changed is not None and not any(changed.overlaps(other) for other in kept):
                kept.append(changed)
        spoiled.append(tuple(sorted(kept)))
    return spoiled


def _changed(run: Run, n_tokens: int, labels: Sequence[str], random: np.random.Generator) -> Run | None:
    """Another run in the place of one; None: it is dropped."""
    kind = random.integers(0, 3 if len(labels) > 1 else 2)
    if kind == 0:
        return None
    if kind == 2:
        return run._replace(label=str(random.choice([label for label in labels if label != run.label])))
    moved = [run._replace(first=run.first + step) for step in (-1, 1)]
    moved += [run._replace(stop=run.stop + step) for step in (-1, 1)]
    usable = [item for item in moved if 0 <= item.first < item.stop <= n_tokens]
    return usable[int(random.integers(0, len(usable)))]


def error_rows(item: SpanSet, n_seeds: int) -> list[Row]:
    """Average precision of each method, and ours over cleanlab's."""
    rows = []
    for seed in range(n_seeds):
        chosen = [row for row, _ in _first(item.order(seed), item.train.n_tokens)]
        texts, gold = [item.train.texts[row] for row in chosen], [item.train.gold[row] for row in chosen]
        for share in SHARES:
            given = spoil(texts, gold, item.labels, share, seed)
            wrong = np.concatenate(
                [
                    np.array(_tags(text, ours, item.labels)) != np.array(_tags(text, right, item.labels))
                    for text, ours, right in zip(texts, given, gold, strict=True)
                ]
            )
            methods: dict[str, Callable[[], Doubts]] = {
                OURS: partial(_ours, texts, given, item.labels, seed),
                "cleanlab": partial(_cleanlab, without_votes(texts), given, item.labels),
                "cleanlab sees votes": partial(_cleanlab, texts, given, item.labels),
            }
            for method, find in methods.items():
                started = time.perf_counter()
                doubts = np.concatenate(find())
                seconds = time.perf_counter() - started
                value = float(average_precision_score(wrong, doubts))
                rows.append(Row(item.name, method, f"{share:.0%} errors, precision", value, seconds))
    return rows


def _first(order: Sequence[int], n_tokens: Sequence[int]) -> list[tuple[int, int]]:
    found, total = [], 0
    for row in order:
        if total < MOST_TOKENS:
            found.append((row, total))
            total += n_tokens[row]
    return found


def _tags(text: Voted, runs: Runs, labels: Sequence[str]) -> list[str]:
    return tags(len(text.words), runs, {label: number for number, label in enumerate(labels)})


def _ours(texts: Sequence[Voted], given: Sequence[Runs], labels: Sequence[str], seed: int) -> Doubts:
    held_out = hold_out(texts, given, labels, seed=seed)
    suspects = find_suspects(texts, given, held_out)
    return token_doubts(texts, suspects)


def _cleanlab(texts: Sequence[Voted], given: Sequence[Runs], labels: Sequence[str]) -> Doubts:
    """cleanlab's token scores from the probabilities of a tagger, out of fold."""
    seen = [features(text) for text in texts]
    proba: list[NDArray[np.float64]] = [np.zeros((0, 0))] * len(texts)
    for part in folds(texts, range(len(texts))):
        held = set(part)
        rest = [row for row in range(len(texts)) if row not in held]
        crf = train_crf([seen[row] for row in rest], [given[row] for row in rest], labels)
        for row in part:
            proba[row] = crf.tag(seen[row]).tags
    names = ["O", *(f"{kind}{number}" for number in range(len(labels)) for kind in "BI")]
    numbers = [[names.index(tag) for tag in _tags(text, runs, labels)] for text, runs in zip(texts, given, strict=True)]
    kept = [row for row, text in enumerate(texts) if text.words]
    normal = [proba[row] / proba[row].sum(axis=1, keepdims=True) for row in kept]
    _, scores = get_label_quality_scores([numbers[row] for row in kept], normal)
    return [1 - np.asarray(item, dtype=np.float64) for item in scores]
