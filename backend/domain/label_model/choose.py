"""The choice of a label model, made on human labels, with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_model.base import LabelModel
from backend.domain.label_model.dawid_skene import DawidSkene
from backend.domain.label_model.majority import MajorityVote
from backend.domain.label_model.propensity import PropensityVote
from backend.domain.label_model.weighted import WeightedVote
from backend.domain.questions.forms import ABSTAIN, Votes
from backend.domain.reports.version import LabelModelChoice

METHODS: tuple[type[LabelModel], ...] = (MajorityVote, WeightedVote, PropensityVote, DawidSkene)
"""From the simplest to the one with the most parameters."""
DEFAULT = PropensityVote
MIN_LABELS = 50
"""Human labels on tasks with votes below which the choice is the default's."""
N_FOLDS = 5
MAX_OPEN = 20_000
"""Unlabeled rows that the models which are compared learn from, drawn at random where there are more."""
SMALLEST = 1e-6
"""Probabilities count as no less than this in the log-loss: majority vote says 0 of whatever nobody voted for."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A method, and why. `losses`: mean log-loss by method on human labels it didn't see; empty without enough."""

    method: type[LabelModel]
    reason: str
    losses: Mapping[str, float]

    def recorded(self) -> LabelModelChoice:
        """The choice as it is recorded with a version's figures."""
        return LabelModelChoice(self.method.method, self.reason, self.losses)


def choose(votes: Votes, n_classes: int, gold: NDArray[np.int64], *, seed: int = 0) -> Choice:
    """The simplest method that does as well on human labels as the default, cross-validated: with a mean log-loss no
    larger, and no fewer rows right. (By log-loss alone majority vote wins among overconfident language models, and
    loses two points of macro-F1; a loss can be mended by `fit_exponents`, a wrong answer can't.)

    One with more parameters than the default has to be better by more than a standard error of the mean difference
    (the one-standard-error rule: Breiman et al. 1984, section 3.4.3).

    Args:
        votes: int16 (n, m), -1 = abstain.
        n_classes: k.
        gold: int64 (n,), the class people chose, -1 = unknown.
        seed: draws the folds.
    """
    labeled = np.flatnonzero((gold >= 0) & (votes != ABSTAIN).any(axis=1))
    if labeled.size < MIN_LABELS:
        reason = f"{labeled.size} human labels on tasks with votes; other methods are tried from {MIN_LABELS}"
        return Choice(DEFAULT, reason, {})
    rows = _some_rows(labeled, gold, seed)
    votes, gold = votes[rows], gold[rows]
    labeled = np.searchsorted(rows, labeled)
    proba = {method: _held_out(method, votes, n_classes, gold, labeled, seed) for method in METHODS}
    truth = gold[labeled]
    losses = {
        method: -np.log(np.clip(given[np.arange(truth.size), truth], SMALLEST, 1.0)) for method, given in proba.items()
    }
    n_right = {method: int((given.argmax(axis=1) == truth).sum()) for method, given in proba.items()}
    means = {method.method: float(loss.mean()) for method, loss in losses.items()}
    ours = losses[DEFAULT]
    measured = f"log-loss on {labeled.size} held-out human labels"
    for method in METHODS[: METHODS.index(DEFAULT)]:
        if losses[method].mean() <= ours.mean() and n_right[method] >= n_right[DEFAULT]:
            return Choice(
                method, f"as good as {DEFAULT.method} and simpler ({_compared(means, method, measured)})", means
            )
    for method in METHODS[METHODS.index(DEFAULT) + 1 :]:
        saved = ours - losses[method]
        if saved.mean() > saved.std(ddof=1) / np.sqrt(saved.size):
            return Choice(method, f"better than {DEFAULT.method} ({_compared(means, method, measured)})", means)
    return Choice(DEFAULT, f"better than the simpler methods ({measured} {means[DEFAULT.method]:.3f})", means)


def from_dict(parameters: Mapping[str, object]) -> LabelModel:
    """The model that `LabelModel.to_dict` described; without a method it is of a version that knew weighted votes only.

    Raises:
        ValueError: a method that isn't known.
    """
    name = str(parameters.get("method", WeightedVote.method))
    known = {method.method: method for method in METHODS}
    if name not in known:
        raise ValueError(f"unknown label model {name!r}; known: {', '.join(known)}")
    return known[name].from_dict(parameters)


def _some_rows(labeled: NDArray[np.int64], gold: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The rows `labeled` and at most `MAX_OPEN` unlabeled ones, ascending."""
    open_rows = np.flatnonzero(gold < 0)
    if open_rows.size > MAX_OPEN:
        open_rows = np.random.default_rng(seed).choice(open_rows, MAX_OPEN, replace=False)
    return np.sort(np.concatenate([labeled, open_rows]))


def _held_out(
    method: type[LabelModel],
    votes: Votes,
    n_classes: int,
    gold: NDArray[np.int64],
    labeled: NDArray[np.int64],
    seed: int,
) -> NDArray[np.float64]:
    """Posterior of the rows `labeled` (t, k), each by a model that didn't see its label."""
    posterior = np.empty((labeled.size, n_classes))
    start = None
    for fold in np.array_split(np.random.default_rng(seed).permutation(labeled.size), N_FOLDS):
        hidden = gold.copy()
        hidden[labeled[fold]] = -1
        start = method().fit(votes, n_classes, hidden, start=start)
        posterior[fold] = start.predict_proba(votes[labeled[fold]])
    return posterior


def _compared(means: Mapping[str, float], method: type[LabelModel], measured: str) -> str:
    return f"{measured} {means[method.method]:.3f} against {means[DEFAULT.method]:.3f}"
