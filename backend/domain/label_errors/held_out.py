"""Held-out posteriors: those of labeled tasks in which their own label had no say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.classifier import Recipe, train_classifier
from backend.domain.classifier.candidates import Candidate
from backend.domain.label_model.choose import choose
from backend.domain.questions.forms import Votes

N_FOLDS = 5
SMALL = 20_000
"""Labels times classes up to which folds are drawn more than once: which rows a model has learned from matters most
while they are few, and a fit costs least."""
REPEATS = 3


def groups_of(contents: Sequence[bytes]) -> NDArray[np.int64]:
    """A number for each task, int64 (n,), the same for those of the same content; from the hashes of these."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(content, len(numbers)) for content in contents], dtype=np.int64)


def folds(
    gold: NDArray[np.int64], groups: NDArray[np.int64] | None = None, *, seed: int = 0
) -> list[NDArray[np.int64]]:
    """Labeled rows in at most `N_FOLDS` parts, each with the same share of every class, a group whole in one part.

    Groups are shuffled, sorted by class (of their first label) and dealt out in turn. Nothing is empty: three groups
    make three folds. A class that has fewer labels than there are folds is missing in some of them.

    Args:
        gold: int64 (n,), class index or -1 = unknown.
        groups: int64 (n,); each row is its own when None.
        seed: shuffles.
    """
    labeled = np.flatnonzero(gold >= 0)
    of_row = labeled if groups is None else groups[labeled]
    _, first, member = np.unique(of_row, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(first.size)
    order = order[np.argsort(gold[labeled[first[order]]], kind="stable")]
    number = np.empty(first.size, dtype=np.int64)
    number[order] = np.arange(first.size) % N_FOLDS
    of_row = number[member]
    return [labeled[of_row == part] for part in range(min(N_FOLDS, first.size))]


@dataclass(frozen=True, slots=True)
class Apart:
    """Rows that a held-out model must not learn from. groups: see `folds`. rubber_stamped: bool (n,), labels that teach
    nothing."""

    groups: NDArray[np.int64] | None = None
    rubber_stamped: NDArray[np.bool_] | None = None


ALL_ALONE = Apart()
"""Each task is its own group, and each label teaches."""


def held_out_classifier(
    features: csr_matrix,
    gold: NDArray[np.int64],
    n_classes: int,
    apart: Apart = ALL_ALONE,
    *,
    candidate: Candidate = Candidate.LOGISTIC,
    repeats: int | None = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Posterior of each labeled task, float64 (n, k), by a classifier that learned neither from it nor from its group.

    Args:
        features: (n, d).
        gold: int64 (n,), class index or -1 = unknown; these rows are NaN.
        n_classes: k.
        apart: what must not be learned from.
        candidate: which classifier.
        repeats: how often folds are drawn; the mean is taken. `REPEATS` up to `SMALL`, then 1, when None.
        seed: makes the result reproducible.

    Returns:
        Also NaN where the other folds have no two classes to tell apart.
    """
    if repeats is None:
        repeats = REPEATS if (gold >= 0).sum() * n_classes <= SMALL else 1
    nothing = np.full((gold.size, n_classes), np.nan)
    total = np.where((gold >= 0)[:, None], 0.0, nothing)
    for repeat in range(repeats):
        for fold, rest in _hidden(gold, apart, seed + repeat):
            model = train_classifier(features, rest, nothing, seed=seed, recipe=Recipe(candidate))
            total[fold] += np.nan if model is None else model.predict_proba(features[fold])
    return total / repeats


def held_out_label_model(
    votes: Votes,
    gold: NDArray[np.int64],
    n_classes: int,
    apart: Apart = ALL_ALONE,
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Posterior of each labeled task, float64 (n, k), by a label model chosen and fitted without labels of its group.

    NaN where the task is not labeled or nobody votes.
    """
    proba = np.full((gold.size, n_classes), np.nan)
    for fold, rest in _hidden(gold, apart, seed):
        choice = choose(votes, n_classes, rest, seed=seed)
        proba[fold] = choice.fit(votes, n_classes, rest).predict_proba(votes[fold])
    return proba


def _hidden(gold: NDArray[np.int64], apart: Apart, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each fold, and gold without it and without what teaches nothing."""
    for fold in folds(gold, apart.groups, seed=seed):
        rest = gold.copy()
        rest[fold] = -1
        if apart.rubber_stamped is not None:
            rest[apart.rubber_stamped] = -1
        yield fold, rest
