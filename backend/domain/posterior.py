"""The posterior of a task: the label model and the classifier, combined."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
"""In steps so small that one label, which can move an exponent by a step, hardly moves the other tasks' posteriors."""
PULL = 4.0
"""Log-loss, summed over labeled tasks, that a step of 1 away from the defaults has to save. So a handful of labels
changes nothing, and hundreds decide alone."""
BESIDE_VALIDATED = (1.0, 0.5)
"""Exponents of label model and classifier for tasks on which a validated source votes, before any evidence."""
PRIOR_RATIO, PRIOR_WEIGHT = 0.25, 2.0
"""What a vote against a class is believed to do before any evidence, and so many expected votes' worth of it."""
ALONE = 1.25
"""Exponent of a label model where no classifier knows anything: its priors make it timid. (Public sets without labels:
mean confidence is .06 below accuracy on five with 1, and .01 with this, which was chosen on them; on four others .14
and .10.)"""
SMALLEST = 1e-9
"""Probabilities are raised to this, so that one zero can't veto everything else."""


@dataclass(frozen=True, slots=True)
class Exponents:
    """Exponents of a log-linear pool (Genest & Zidek 1986, section 3): p ∝ p_label_model^a · p_classifier^b.

    By default the classifier counts in full, and the label model, which it has learned from, by half: counting both in
    full would count the same votes twice. (On six public text sets without labels, against 0.75 and 0.5: 0.6 points of
    macro-F1 more, log-loss 0.728 instead of 0.734.) Other exponents calibrate as well: a sum below 1 flattens an
    overconfident posterior, one above 1 sharpens a timid one (temperature scaling, Guo et al. 2017, section 4.2). Where
    only one of the two knows anything, its own exponent does the same.

    validated: the exponents of label model and classifier for tasks on which a source votes that people have validated;
    None = as for the others. Such a source knows more of its own tasks than a classifier that has learned from its
    answers: by the exponents of other tasks, suggestions were up to 2 points less often right than the best of the
    LLMs of `benchmarks/llm_labels.py` alone.
    """

    label_model: float = 0.5
    classifier: float = 1.0
    label_model_alone: float = ALONE
    classifier_alone: float = 1.0
    validated: tuple[float, float] | None = None

    def flattened(self, factor: float) -> "Exponents":
        """The same beside a classifier that is less sure by this factor: each keeps its part of the say."""
        validated = None if self.validated is None else (self.validated[0] * factor, self.validated[1])
        return replace(self, label_model=self.label_model * factor, validated=validated)

    def combine(
        self,
        label_model_proba: NDArray[np.float64],
        classifier_proba: NDArray[np.float64],
        validated: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Combine two posteriors, float64 (n, k), NaN rows where one knows nothing; NaN rows where neither does.

        validated: bool (n,), rows on which a validated source votes; None = none.
        """
        voted, learned = is_known(label_model_proba), is_known(classifier_proba)
        both = np.tile([self.label_model, self.classifier], (len(voted), 1))
        if self.validated is not None and validated is not None:
            both[validated] = self.validated
        a = np.where(learned, both[:, 0], self.label_model_alone)
        b = np.where(voted, both[:, 1], self.classifier_alone)
        scores = a[:, None] * _logs(label_model_proba) + b[:, None] * _logs(classifier_proba)
        scores = scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
        combined: NDArray[np.float64] = np.exp(scores)
        combined /= combined.sum(axis=1, keepdims=True)
        combined[~(voted | learned)] = np.nan
        return combined


def fit_exponents(
    label_model_proba: NDArray[np.float64],
    classifier_proba: NDArray[np.float64],
    gold: NDArray[np.int64],
    validated: NDArray[np.bool_] | None = None,
) -> Exponents:
    """Choose the exponents that minimise log-loss on labeled tasks, pulled towards the defaults.

    Args:
        label_model_proba: (n, k), NaN rows where nobody votes; on labeled rows made without their own label.
        classifier_proba: the same of the classifier; all NaN when there is none.
        gold: int64 (n,), class index or -1 = unknown.
        validated: bool (n,), rows on which a validated source votes, which get exponents of their own; None = none.
    """
    labeled, default = gold >= 0, Exponents()
    p, q, known = label_model_proba[labeled], classifier_proba[labeled], gold[labeled]
    voted, learned = is_known(p), is_known(q)
    both, only_voted, only_learned = voted & learned, voted & ~learned, learned & ~voted
    told = np.zeros(gold.size, dtype=np.bool_) if validated is None else validated
    others, among = both & ~told[labeled], both & told[labeled]
    a, b = _pair(p[others], q[others], known[others], (default.label_model, default.classifier))
    return Exponents(
        label_model=a,
        classifier=b,
        label_model_alone=_sharpness(p[only_voted], known[only_voted], default.label_model_alone),
        classifier_alone=_sharpness(q[only_learned], known[only_learned], default.classifier_alone),
        validated=_pair(p[among], q[among], known[among], BESIDE_VALIDATED) if told.any() else None,
    )


def rule_out(
    proba: NDArray[np.float64], excluded: NDArray[np.int16], ratios: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Posterior after votes against classes (`VoteMatrix.excluded`).

    By Bayes' rule, with sources independent given the class: P(y = x) is multiplied by each source's likelihood ratio
    P(it rules out x | y = x) / P(it rules out x | y ≠ x), for each source that rules out x.

    Args:
        proba: (n, k); a NaN row, of which nothing is known, stays one: what it isn't, is no answer.
        excluded: int16 (n, m), class index or -1.
        ratios: (m,), see `fit_ratios`.
    """
    factors = np.ones_like(proba)
    rows, sources = np.nonzero(excluded >= 0)
    np.multiply.at(factors, (rows, excluded[rows, sources]), np.maximum(ratios[sources], SMALLEST))
    left = proba * factors
    total = left.sum(axis=1, keepdims=True)
    # A class that was certain stays so: nothing else is left to move its probability to.
    ruled: NDArray[np.float64] = np.divide(left, total, out=proba.copy(), where=total > 0)
    return ruled


def fit_ratios(proba: NDArray[np.float64], excluded: NDArray[np.int16], gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much less probable a class is once a source rules it out: (m,), between 0 and 1.

    Observed over expected: how many of its votes against a class were wrong on labeled tasks, over how many would be if
    they knew nothing (the sum of P(y = x) before the vote). As a Gamma-Poisson mean it begins at `PRIOR_RATIO` and
    moves with the evidence. At most 1: a source that is wrong more often than by chance isn't taken for its opposite.

    Args:
        proba: (n, k), NaN rows where nothing is known; on labeled rows made without their own label.
        excluded: int16 (n, m), class index or -1.
        gold: int64 (n,), class index or -1 = unknown.
    """
    judged = (excluded >= 0) & ((gold >= 0) & is_known(proba))[:, None]
    rows, sources = np.nonzero(judged)
    classes, n_sources = excluded[rows, sources], excluded.shape[1]
    wrong = np.bincount(sources, gold[rows] == classes, n_sources)
    expected = np.bincount(sources, proba[rows, classes], n_sources)
    ratios: NDArray[np.float64] = (wrong + PRIOR_RATIO * PRIOR_WEIGHT) / (expected + PRIOR_WEIGHT)
    return np.minimum(ratios, 1.0)


def rule_out_held_out(
    proba: NDArray[np.float64],
    excluded: NDArray[np.int16],
    gold: NDArray[np.int64],
    folds: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Posterior after votes against classes, each row of `folds` by ratios that its own label had no say in.

    Arguments and result as in `fit_ratios` and `rule_out`: float64 (n, k); `folds`: the labeled rows, int64, in parts.
    """
    ruled = rule_out(proba, excluded, fit_ratios(proba, excluded, gold))
    for fold in folds:
        rest = gold.copy()
        rest[fold] = -1
        ruled[fold] = rule_out(proba[fold], excluded[fold], fit_ratios(proba, excluded, rest))
    return ruled


def _pair(
    p: NDArray[np.float64], q: NDArray[np.float64], gold: NDArray[np.int64], default: tuple[float, float]
) -> tuple[float, float]:
    """Exponents of two posteriors, float64 (n, k), without NaN rows; `default` for n = 0."""
    votes, learning = _logs(p), _logs(q)
    return min(
        ((a, b) for a in EXPONENTS for b in EXPONENTS),
        key=lambda exponents: (
            _loss(exponents[0] * votes + exponents[1] * learning, gold)
            + PULL * ((exponents[0] - default[0]) ** 2 + (exponents[1] - default[1]) ** 2)
        ),
    )


def _sharpness(proba: NDArray[np.float64], gold: NDArray[np.int64], default: float) -> float:
    """The exponent for one posterior alone; never 0, which would throw away all that is known."""
    logs = _logs(proba)
    return min(EXPONENTS[1:], key=lambda exponent: _loss(exponent * logs, gold) + PULL * (exponent - default) ** 2)


def _loss(scores: NDArray[np.float64], gold: NDArray[np.int64]) -> float:
    """Summed log-loss of unnormalised log-probabilities (n, k)."""
    return float((np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(gold)), gold]).sum())


def is_known(proba: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each row of a posterior, float64 (n, k), says anything: bool (n,)."""
    return np.asarray(np.isfinite(proba).all(axis=1))


def first_known(proba: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """One posterior, float64 (n, k), with the rows of another one where it knows nothing (NaN)."""
    return np.where(is_known(proba)[:, None], proba, otherwise)


def _logs(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms; 0 (says nothing) in NaN rows."""
    return np.log(np.clip(np.nan_to_num(proba, nan=1.0), SMALLEST, 1.0))
