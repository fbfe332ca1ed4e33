"""The choice of a label model, made on human labels, with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
LESS = 0.1
"""By how much less often than another a method may name a class that people choose as often, as a share."""
MIN_LABELS = 50
"""Human labels on tasks with votes below which no other method than the default is tried."""
N_FOLDS = 5
MAX_OPEN = 20_000
"""Unlabeled rows that the models which are compared learn from, drawn at random where there are more."""
SMALLEST = 1e-6
"""Probabilities count as no less than this in the log-loss: majority vote says 0 of whatever nobody voted for."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A method, and why.

    losses: mean log-loss by method on human labels it didn't see; empty with too few. with_labels: whether human labels
    are learned from. They aren't where answers were no better for them. validated: bool (m,), see `LabelModel.fit`.
    """

    method: type[LabelModel]
    reason: str
    losses: Mapping[str, float]
    with_labels: bool = True
    validated: NDArray[np.bool_] | None = field(default=None, compare=False)

    def fit(self, votes: Votes, n_classes: int, gold: NDArray[np.int64]) -> LabelModel:
        """A label model of this choice; arguments as in `choose`."""
        known = gold if self.with_labels else np.full_like(gold, -1)
        return self.method().fit(votes, n_classes, known, validated=self.validated)

    def recorded(self) -> LabelModelChoice:
        """The choice as it is recorded with a version's figures."""
        return LabelModelChoice(self.method.method, self.reason, self.losses)


def choose(
    votes: Votes,
    n_classes: int,
    gold: NDArray[np.int64],
    *,
    seed: int = 0,
    validated: NDArray[np.bool_] | None = None,
) -> Choice:
    """The simplest method that does as well on human labels as the default, cross-validated: with a mean log-loss no
    larger, answers as good (`_Tried.gain`), and no class named much less often. By log-loss alone majority vote wins
    among overconfident language models, and loses two points of macro-F1; a loss can be mended by `fit_exponents`, a
    wrong answer can't. By accuracy, where one class is rare, a method wins that never names it.

    One with more parameters than the default has to save more than a standard error of the mean log-loss, too (the
    one-standard-error rule: Breiman et al. 1984, section 3.4.3).

    Labels then have to show that they help: the method learns from them only if that makes answers better than the
    default's without any. A few dozen labels hold a handful of a rare class, and can talk rules out of naming it. (One
    class of trec, 1.6 % of the tasks, against the others, 100 labels: macro-F1 of 86 without labels, 70 with them.)

    Args:
        votes: int16 (n, m), -1 = abstain.
        n_classes: k.
        gold: int64 (n,), the class people chose, -1 = unknown.
        seed: draws the folds.
        validated: bool (m,), see `LabelModel.fit`.
    """
    labeled = np.flatnonzero((gold >= 0) & (votes != ABSTAIN).any(axis=1))
    few = f"{labeled.size} human labels on tasks with votes; other methods are tried from {MIN_LABELS}"
    if not labeled.size:
        return Choice(DEFAULT, few, {}, validated=validated)
    rows = _some_rows(labeled, gold, seed)
    votes, gold = votes[rows], gold[rows]
    labeled = np.searchsorted(rows, labeled)
    methods = METHODS if labeled.size >= MIN_LABELS else (DEFAULT,)
    tried = {method: _tried(method, votes, n_classes, gold, labeled, seed, validated) for method in methods}
    choice = _best(tried) if labeled.size >= MIN_LABELS else Choice(DEFAULT, few, {})
    choice = replace(choice, validated=validated)
    return choice if _labels_help(tried[choice.method], choice, votes, labeled) else _without_labels(choice)


@dataclass(frozen=True, slots=True)
class _Tried:
    """A method on human labels that it didn't see.

    truth: int64 (t,), those labels. losses: float64 (t,), log-loss of each. right: bool (t,). named: float64 (k,), the
    share of the tasks with votes for which each class is the answer.
    """

    truth: NDArray[np.int64]
    losses: NDArray[np.float64]
    right: NDArray[np.bool_]
    named: NDArray[np.float64]

    def gain(self, other: "_Tried") -> float:
        """By how much more is right than by another method; 0 if nothing is.

        A label counts 1 / sqrt of its class's share, half-way from accuracy, which a rare class hardly moves, to
        macro-F1, which a single label of it would decide.
        """
        share = np.bincount(self.truth)[self.truth] / self.truth.size
        return float(((self.right.astype(np.int64) - other.right) / np.sqrt(share)).sum().round(9))

    def names_as_often(self, other: "_Tried") -> bool:
        """Whether no class is named much less often than by another method, or than people choose it.

        With two labels added to each class (the plus-four estimate, Agresti & Coull 1998): that a rare class isn't
        among a few dozen labels says little.
        """
        k = self.named.size
        chosen = (np.bincount(self.truth, minlength=k) + 2) / (self.truth.size + 2 * k)
        return bool((self.named >= (1 - LESS) * np.minimum(other.named, chosen)).all())

    def saved(self, other: "_Tried") -> NDArray[np.float64]:
        """Log-loss of each label that another method has and this one hasn't: (t,)."""
        return other.losses - self.losses


def _best(tried: Mapping[type[LabelModel], _Tried]) -> Choice:
    """The simplest method as good as the default, or a better one; see `choose`."""
    means = {method.method: float(result.losses.mean()) for method, result in tried.items()}
    ours = tried[DEFAULT]
    measured = f"log-loss on {ours.truth.size} held-out human labels"
    for method, theirs in tried.items():
        saved = theirs.saved(ours)
        simpler = METHODS.index(method) < METHODS.index(DEFAULT)
        least = 0.0 if simpler else saved.std(ddof=1) / np.sqrt(saved.size)
        as_good = saved.mean() >= least and theirs.gain(ours) >= 0 and theirs.names_as_often(ours)
        if method is DEFAULT or not as_good:
            continue
        better = f"as good as {DEFAULT.method} and simpler" if simpler else f"better than {DEFAULT.method}"
        losses = f"{means[method.method]:.3f} against {means[DEFAULT.method]:.3f}"
        return Choice(method, f"{better} ({measured} {losses})", means)
    return Choice(DEFAULT, f"better than the simpler methods ({measured} {means[DEFAULT.method]:.3f})", means)


def _labels_help(with_labels: _Tried, choice: Choice, votes: Votes, labeled: NDArray[np.int64]) -> bool:
    """Whether answers are better than the default's that saw no label, or as good and no less likely.

    with_labels: on the rows `labeled` of `votes`.
    """
    nothing, k = np.full(len(votes), -1), with_labels.named.size
    posterior = _without_labels(choice).fit(votes, k, nothing).predict_proba(votes)
    without = _judged(posterior[labeled], with_labels.truth, posterior)
    gain = with_labels.gain(without)
    as_good = with_labels.saved(without).mean() >= 0 and with_labels.names_as_often(without)
    return gain > 0 or (gain == 0 and as_good)


def _without_labels(choice: Choice) -> Choice:
    reason = f"human labels make no better answers on tasks held out: not learned from ({choice.reason})"
    return replace(choice, method=DEFAULT, reason=reason, with_labels=False)


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


def _tried(
    method: type[LabelModel],
    votes: Votes,
    n_classes: int,
    gold: NDArray[np.int64],
    labeled: NDArray[np.int64],
    seed: int,
    validated: NDArray[np.bool_] | None,
) -> _Tried:
    """Each of the rows `labeled` is judged by a model that didn't see its label."""
    posterior = np.empty((labeled.size, n_classes))
    model = method().fit(votes, n_classes, gold, validated=validated)
    of_all = model.predict_proba(votes)
    for fold in np.array_split(np.random.default_rng(seed).permutation(labeled.size), N_FOLDS):
        hidden = gold.copy()
        hidden[labeled[fold]] = -1
        model = method().fit(votes, n_classes, hidden, start=model, validated=validated)
        posterior[fold] = model.predict_proba(votes[labeled[fold]])
    return _judged(posterior, gold[labeled], of_all)


def _judged(posterior: NDArray[np.float64], truth: NDArray[np.int64], of_all: NDArray[np.float64]) -> _Tried:
    """posterior: (t, k), of labeled rows. truth: (t,). of_all: (n, k), of all rows, NaN where nobody votes."""
    answers = of_all[np.isfinite(of_all).all(axis=1)].argmax(axis=1)
    return _Tried(
        truth=truth,
        losses=-np.log(np.clip(posterior[np.arange(truth.size), truth], SMALLEST, 1.0)),
        right=posterior.argmax(axis=1) == truth,
        named=np.bincount(answers, minlength=of_all.shape[1]) / max(answers.size, 1),
    )
