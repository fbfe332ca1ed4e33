"""Labels of one decision judged: how good each is, which are suspect, and how labels go wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import Frame
from backend.domain.label_errors.class_noise import by_class
from backend.domain.label_errors.combine import (
    Member,
    combine_members,
    fit_weights,
    posterior_of_right,
    share_of_errors,
)
from backend.domain.label_errors.members import members_on
from backend.domain.label_errors.neighbours import Neighbours
from backend.domain.label_errors.noise import noise_of, present
from backend.domain.label_errors.records import Noise, SearchInputs
from backend.domain.posterior import is_known
from backend.domain.questions import Decision
from backend.domain.questions.forms import median_class
from backend.domain.reports.check import NotYet

MIN_LABELS = 10
"""With fewer labels nothing can be said about any of them."""
MIN_OF_CLASS = 5
"""With fewer labels of a class nobody knows what is typical of it: each of them would look wrong."""
HARDLY = 0.15
RATHER = 0.6
"""A label is suspect, whatever cleanlab's estimate of their number, if its probability is below the first while
another one's is above the second: among a few dozen labels the estimate is off by a few."""
MANY = 20
"""From so many classes labels are ranked by the geometric mean of the members, with their weights, in place of their
product: members that agree make that too sure, and it then tells less of how far the given class is behind all the
others together. (banking77, 77 classes, 5 and 10 % wrong, 2,000 and 5,000 labels: average precision is up to .014 below
that of the posterior alone by the product, at most .005 by the mean.)"""
PRIOR_OF_ANNOTATOR = 5.0
"""How many labels the belief outweighs that an annotator is as good as all of them together."""


@dataclass(frozen=True)
class JudgedLabels:
    """Labels of one decision.

    proba: float64 (n, k), what all members together say, and for judged labels how labels of that class go wrong; NaN
        rows where nothing is known.
    quality: float64 (n,), see `Suspect`; NaN where a label was not judged.
    issues: bool (n,), which are suspect.
    wrong: float64 (n,), P(the label is wrong), the label itself counted as evidence; NaN where it was not judged.
    not_yet: labels of classes that have too few.
    """

    proba: NDArray[np.float64]
    quality: NDArray[np.float64]
    issues: NDArray[np.bool_]
    wrong: NDArray[np.float64]
    noise: Noise
    weights: dict[str, float]
    not_yet: NotYet | None
    n_unknown: int


def judge(
    decision: Decision, frame: Frame, inputs: SearchInputs, neighbours: Neighbours | None
) -> JudgedLabels | NotYet:
    """Judge the labels of one decision, or say why not yet.

    Args:
        decision: which. Where its classes are a scale, a label is the worse the farther it is from the truth.
        frame: held-out posteriors and gold, and votes where there are any.
        inputs: what else is known.
        neighbours: of the same rows; None without features.

    Raises:
        ValueError: a posterior that is none: partly NaN, infinite or negative.
    """
    posterior, gold = frame.held_out[decision.key], frame.gold[decision.key]
    _check(decision, posterior, gold)
    counts = np.bincount(gold[gold >= 0], minlength=posterior.shape[1])
    reason = _too_few(decision, counts)
    if reason is not None:
        return NotYet(decision.key, reason)
    thin = (counts > 0) & (counts < MIN_OF_CLASS)
    labeled = np.flatnonzero((gold >= 0) & ~thin[gold])
    members = members_on(decision.key, frame, inputs, neighbours)
    rubber_stamped = np.zeros(gold.size, dtype=np.bool_) if inputs.rubber_stamped is None else inputs.rubber_stamped
    weights = _weights(members, gold, labeled[~rubber_stamped[labeled]])
    proba = combine_members(members, weights)
    judged = labeled[is_known(proba)[labeled]]
    if judged.size < MIN_LABELS or np.unique(gold[judged]).size < 2:
        known = f"something is known of {judged.size} labeled tasks only, of {MIN_LABELS} that are needed"
        return NotYet(decision.key, f"labels can't be judged yet: {known}")
    given, evident = gold[judged], proba[judged]
    errors = share_of_errors(evident[np.arange(given.size), given][~rubber_stamped[judged]], proba.shape[1])
    some = evident if decision.ordered else by_class(given, evident, errors, ~rubber_stamped[judged])
    proba[judged] = some
    quality, issues, wrong = np.full(gold.size, np.nan), np.zeros(gold.size, dtype=np.bool_), np.full(gold.size, np.nan)
    issues[judged], quality[judged] = _judged(given, some, float(weights.sum()), ordered=decision.ordered)
    of_given = some[np.arange(given.size), given]
    right = posterior_of_right(of_given, errors, some.shape[1])
    # A suggestion that was accepted unread says no more than the evidence that it was made of.
    wrong[judged] = 1 - np.where(rubber_stamped[judged], of_given, right)
    if inputs.annotators is not None:
        quality[judged] = _by_annotator(quality[judged], wrong[judged], inputs.annotators[judged])
    names = tuple(decision.classes[index] for index in np.flatnonzero(thin))
    few = f"labels of {', '.join(names)} can't be judged yet: there are fewer than {MIN_OF_CLASS}"
    return JudgedLabels(
        proba=proba,
        quality=quality,
        issues=issues,
        wrong=wrong,
        noise=noise_of(given, evident, decision.classes),
        weights={member.name: float(weight) for member, weight in zip(members, weights, strict=True)},
        not_yet=NotYet(decision.key, few, names) if names else None,
        n_unknown=labeled.size - judged.size,
    )


def _weights(members: Sequence[Member], gold: NDArray[np.int64], teaching: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much each member counts (n_members,): by the rows `teaching`, where there are several."""
    if len(members) < 2:
        return np.array([member.weight for member in members])
    known = np.any([is_known(member.proba) for member in members], axis=0)
    teaching = teaching[known[teaching]]
    on_labeled = [replace(member, proba=member.proba[teaching]) for member in members]
    return fit_weights(on_labeled, gold[teaching])


def error_rates(wrong: NDArray[np.float64], annotators: NDArray[np.int64]) -> dict[int, float]:
    """Share of each annotator's labels that is expected to be wrong, shrunk to that of all by `PRIOR_OF_ANNOTATOR`.

    wrong: float64 (n,), P(the label is wrong), NaN where it was not judged. annotators: int64 (n,), -1 = unknown.
    """
    told = (annotators >= 0) & np.isfinite(wrong)
    if not told.any():
        return {}
    people, place = np.unique(annotators[told], return_inverse=True)
    n_wrong, n_labels = np.bincount(place, wrong[told]), np.bincount(place)
    rates = (n_wrong + PRIOR_OF_ANNOTATOR * wrong[told].mean()) / (n_labels + PRIOR_OF_ANNOTATOR)
    return dict(zip(people.tolist(), rates.tolist(), strict=True))


def _check(decision: Decision, posterior: NDArray[np.float64], gold: NDArray[np.int64]) -> None:
    if posterior.shape != (gold.size, len(decision.classes)):
        expected = (gold.size, len(decision.classes))
        raise ValueError(f"posterior of {decision.key!r} has the shape {posterior.shape}, not {expected}")
    if gold.size and gold.max() >= len(decision.classes):
        raise ValueError(f"gold of {decision.key!r} has class {gold.max()}; there are {len(decision.classes)}")
    nothing = np.isnan(posterior).all(axis=1)
    bad = ~nothing & ~(np.isfinite(posterior).all(axis=1) & (posterior >= 0).all(axis=1))
    if bad.any():
        message = "a row is NaN as a whole, for nothing is known, or finite and not negative"
        raise ValueError(f"posterior of {decision.key!r} is no distribution in {bad.sum()} rows: {message}")


def _too_few(decision: Decision, counts: NDArray[np.int64]) -> str | None:
    """Why there is nothing to compare labels with; None if there is."""
    if counts.sum() < MIN_LABELS:
        return f"labels can't be judged yet: there are {counts.sum() or 'none'} of {MIN_LABELS} that are needed"
    if (counts > 0).sum() < 2:
        only = decision.classes[int(counts.argmax())]
        return f"labels can't be judged yet: all {counts.sum()} are {only!r}, and there is nothing to mistake it for"
    if (counts >= MIN_OF_CLASS).sum() < 2:
        few = ", ".join(f"{decision.classes[index]} {counts[index]}" for index in np.flatnonzero(counts))
        return f"labels can't be judged yet: there are {few}, and two classes with {MIN_OF_CLASS} are needed"
    return None


def _judged(
    given: NDArray[np.int64], proba: NDArray[np.float64], n_members: float, *, ordered: bool
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which labels are suspect, and the quality of each, from finite probabilities (n, k). n_members: the sum of their
    weights.

    On a scale, neighbouring steps are mistaken for each other all the time: there confident learning counts only where
    the median of the posterior is two steps away or more.
    """
    from cleanlab.filter import find_label_issues  # noqa: PLC0415 - see backend/__init__.py
    from cleanlab.rank import get_label_quality_scores  # noqa: PLC0415 - see backend/__init__.py

    # On simulated sets of 40 to 500 labels `low_self_confidence` was right most often of cleanlab's seven filters.
    _, labels, some = present(given, proba)
    issues = find_label_issues(labels, some, filter_by="low_self_confidence", n_jobs=1)
    of_given, rows = proba[np.arange(given.size), given], np.arange(given.size)
    if not ordered:
        contradicted = (of_given < HARDLY) & (proba.max(axis=1) > RATHER)
        ranked = some if some.shape[1] < MANY else _flattened(some, max(1.0, n_members))
        quality = np.asarray(get_label_quality_scores(labels, ranked, method="self_confidence"))
        return (issues | contradicted) & (proba.argmax(axis=1) != given), quality
    k = proba.shape[1]
    median = median_class(proba)
    distance = np.abs(np.arange(k)[None, :] - given[:, None])
    contradicted = (of_given < HARDLY) & (proba[rows, median] > RATHER)
    return (issues & (np.abs(median - given) > 1)) | contradicted, 1 - (proba * distance).sum(axis=1) / max(k - 1, 1)


def _flattened(proba: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    """Rows (n, k) to the power of 1 / by, as distributions."""
    flat = proba ** (1 / by)
    return np.asarray(flat / flat.sum(axis=1, keepdims=True))


def _by_annotator(
    quality: NDArray[np.float64], wrong: NDArray[np.float64], annotators: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Quality by Bayes' rule with the annotator's odds of being wrong in place of everybody's."""
    rates = error_rates(wrong, annotators)
    if len(rates) < 2:
        return quality
    everybody = _log_odds(np.array([wrong[annotators >= 0].mean()]))[0]
    shift = {who: _log_odds(np.array([rate]))[0] - everybody for who, rate in rates.items()}
    shifts = np.array([shift.get(who, 0.0) for who in annotators.tolist()])
    return np.asarray(1 / (1 + np.exp(shifts - _log_odds(quality))))


def _log_odds(share: NDArray[np.float64]) -> NDArray[np.float64]:
    # Kept from 0 and 1, and yet apart from each other.
    clipped = np.clip(share, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(clipped / (1 - clipped)))
