"""Mine: which signs make rules that are likely to be right, and that say something where nothing was said yet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.mining.signs import Kind, Sign, Signs, rows_with

MOST_SIGNS = 8
"""Words in one rule: as many as a person reads at once."""
MOST_LABELS = 50
"""Labels for which rules are looked for, the most frequent ones."""
LIFT = 0.5
"""Of the way from a label's share of all tasks to certainty: from there on a sign speaks for it."""
PRIOR_TASKS = 3
"""Tasks with the label's share, as which a sign counts before it was seen."""
CAUTION = 0.5
"""Standard errors by which a sign is taken to be worse than it looks."""
SAME = 0.95
"""Share of the tasks on which two rules vote alike from which on they are one."""


@dataclass(frozen=True, slots=True)
class MinedRule:
    """Signs, of one kind and field, that speak for a label. label: its place."""

    label: int
    signs: tuple[Sign, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """The best rule for a label as things stand. worth: tasks that it says something new of, those counting more that
    it is surer of, and rare labels."""

    worth: float
    places: tuple[int, ...]


def mine(signs: Signs, likely: NDArray[np.float64], said: NDArray[np.bool_], n: int) -> list[MinedRule]:
    """The n best rules, the one first that says most; fewer if there are no more.

    A rule takes in those signs of one kind and field that add most to what is said already. How right a sign is, is
    what a model that learned from labels believes of all tasks that have it, labeled or not, minus `CAUTION`.

    Args:
        signs: of some tasks.
        likely: float64 (n_tasks, n_labels), the chance that a task has a label; a NaN row where nothing is known.
        said: bool (n_tasks, n_labels), where rules in use vote for the label.
        n: how many.
    """
    known = np.asarray(np.isfinite(likely).all(axis=1), dtype=np.bool_)
    if not known.any() or not signs.each:
        return []
    share = likely[known].mean(axis=0)
    right = _caution(signs, likely, known, share)
    labels = np.argsort(-share, kind="stable")[:MOST_LABELS].tolist()
    covered = {label: said[:, label].copy() for label in labels}
    best = {label: _best(signs, right[:, label], covered[label], share[label]) for label in labels}
    rules: list[MinedRule] = []
    while len(rules) < n:
        label = max(labels, key=lambda item: best[item].worth)
        places = best[label].places
        if not places:
            break
        rules.append(MinedRule(label, tuple(signs.each[place] for place in places)))
        covered[label] |= rows_with(signs, places)
        best[label] = _best(signs, right[:, label], covered[label], share[label])
    return rules


def _caution(
    signs: Signs, likely: NDArray[np.float64], known: NDArray[np.bool_], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How often a task with a sign has a label, with caution: float64 (n_signs, n_labels)."""
    found = signs.found[known].T.tocsr()
    n = np.asarray(found.sum(axis=1)).reshape(-1, 1) + PRIOR_TASKS
    right = (found @ likely[known] + PRIOR_TASKS * share) / n
    return np.asarray(right - CAUTION * np.sqrt(right * (1 - right) / n))


def _best(signs: Signs, right: NDArray[np.float64], covered: NDArray[np.bool_], share: float) -> _Found:
    """The rule for a label that adds most to what is covered, greedily."""
    lift = (right - share) / max(1 - share, 1e-9)
    usable = np.flatnonzero(lift >= LIFT)
    if not usable.size:
        return _Found(0.0, ())
    found, worth = signs.found[:, usable].T.tocsr(), lift[usable] ** 2 / np.sqrt(max(share, 0.02))
    groups = [(signs.each[place].kind, signs.each[place].field) for place in usable.tolist()]
    covered, places, total = covered.copy(), list[int](), 0.0
    while len(places) < MOST_SIGNS:
        gain = worth * (found @ (~covered).astype(np.int32))
        if places:
            gain[[group != groups[places[0]] for group in groups]] = 0
        place = int(gain.argmax())
        # One more task is chance.
        if gain[place] < 2 * worth[place]:
            break
        places.append(place)
        total += float(gain[place])
        covered |= found[place].toarray().ravel() > 0
        if groups[place][0] not in (Kind.WORD, Kind.BEGINNING):
            break
    return _Found(total, tuple(usable[places].tolist()))


def is_same(one: NDArray[np.int16], others: Sequence[NDArray[np.int16]]) -> bool:
    """Whether a rule says nearly the same as one of some others: columns int16 (n_units,), -1 = abstain."""
    for other in others:
        voted = (one >= 0) | (other >= 0)
        if voted.any() and (one[voted] == other[voted]).mean() >= SAME:
            return True
    return False
