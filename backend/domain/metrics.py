"""How good suggestions are, measured on human labels that they could not see."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backend.domain.alike import Alike, fingerprint
from backend.domain.frame import Frame
from backend.domain.label_model.majority import MajorityVote
from backend.domain.posterior import is_known
from backend.domain.priorities.classes import labels_of
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import ABSTAIN, Gold
from backend.domain.reports.figures import Answered
from backend.domain.reports.version import LabelFigures, QuestionFigures, SourceFigures
from backend.domain.statistics import Interval, wilson
from backend.domain.votes import VoteMatrix

RESAMPLES = 300
N_BINS = 10
SMALLEST = 1e-9


def evaluate(
    question: Question, frame: Frame, accuracies: Mapping[str, NDArray[np.float64]], *, seed: int
) -> QuestionFigures:
    """Figures of one question; None for every figure that no human label supports.

    Args:
        question: the question.
        frame: held-out posteriors, gold and votes.
        accuracies: the label model's accuracy of each source, float64 (n_sources,) in the order of the votes' columns,
            by `Decision.key`.
        seed: for the bootstrap.

    Returns:
        See `QuestionFigures`. An answer is right if it is as a whole: all labels of all units. `macro_f1` is of units,
        `log_loss` of the whole answer. `majority_vote` is measured on tasks with votes. `sources`: share of all units
        voted on, and the accuracy that the label model learned.
    """
    keys, k = [decision.key for decision in decisions(question)], _n_classes(question)
    gold, votes = frame.gold, frame.votes
    tasks = np.flatnonzero(frame.labeled(question))
    ours, rows = frame.judged(question, tasks, frame.held_out), frame.units[question.name].of_tasks(tasks)
    alike: Alike[NDArray[np.float64]] = Alike()

    def by_majority(key: str) -> NDArray[np.float64]:
        cast = votes[key].votes
        return MajorityVote().fit(cast, k, gold[key]).predict_proba(cast[rows])

    majority = {
        key: alike.get((votes[key].fingerprint, fingerprint(gold[key])), partial(by_majority, key)) for key in keys
    }
    right = accuracy_of(question, ours)
    macro_f1, macro_f1_interval = _macro_f1(question, ours, seed)
    log_loss, calibration_error = _calibration(question, ours)
    return QuestionFigures(
        answered=right.answered,
        accuracy=right.accuracy,
        accuracy_interval=right.accuracy_interval,
        n_labels=len(tasks),
        macro_f1=macro_f1,
        macro_f1_interval=macro_f1_interval,
        log_loss=log_loss,
        calibration_error=calibration_error,
        by_label=_by_label(question, ours),
        own=question.figures(ours.posteriors, ours.gold),
        majority_vote=accuracy_of(question, replace(ours, posteriors=majority)),
        sources=_sources(question, votes, accuracies),
    )


def accuracy_of(question: Question, judged: Frame) -> Answered:
    """Share of the tasks `answered`, and of these the share that is right, with Wilson's interval; None without any.

    Args:
        question: the question.
        judged: posteriors that were made without the rows' own labels, and gold, all of it known; see `Frame.judged`.
    """
    right = is_right(question, judged)
    answered = is_answered(question, judged)
    n = int(answered.sum())
    n_right = int(right[answered].sum())
    return Answered(n / answered.size if answered.size else None, n_right / n if n else None, wilson(n_right, n))


def _macro_f1(question: Question, judged: Frame, seed: int) -> tuple[float | None, Interval | None]:
    """With its interval."""
    answered = _says_anything(question, judged)
    n = int(answered.sum())
    if n == 0:
        return None, None
    given = question.form.chosen(_certain(question, judged.gold))[answered]
    chosen = question.form.chosen(judged.posteriors)[answered]
    random = np.random.default_rng(seed)
    resampled = [
        _weighted_macro_f1(given, chosen, random.multinomial(n, np.full(n, 1 / n)).astype(np.float64))
        for _ in range(RESAMPLES)
    ]
    value = _weighted_macro_f1(given, chosen, np.ones(n))
    if not np.isfinite(resampled).any():
        return None if np.isnan(value) else value, None
    low, high = np.nanpercentile(resampled, [2.5, 97.5]).tolist()
    return None if np.isnan(value) else value, (low, high)


def _weighted_macro_f1(given: NDArray[np.bool_], chosen: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    """Mean F1 over the labels that were given; NaN when none was."""
    hits, n_given, n_chosen = weights @ (given & chosen), weights @ given, weights @ chosen
    present = n_given > 0
    if not present.any():
        return float("nan")
    return float((2 * hits[present] / (n_given + n_chosen)[present]).mean())


def _calibration(question: Question, judged: Frame) -> tuple[float | None, float | None]:
    """Log-loss, and calibration error."""
    answered, units, posteriors = is_answered(question, judged), judged.units[question.name], judged.posteriors
    if not answered.any():
        return None, None
    loss = np.zeros(units.n)
    for key, known in judged.gold.items():
        of_truth = posteriors[key][np.arange(known.size), known]
        loss -= np.log(np.maximum(np.nan_to_num(of_truth, nan=1.0), SMALLEST))
    confidence = question.certainty(units, question.form.confidences(posteriors))[answered]
    right = is_right(question, judged)[answered]
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    # Per bin |Σ right - Σ confidence|, which is its size times the gap between accuracy and mean confidence.
    gaps = np.abs(np.bincount(bins, right, N_BINS) - np.bincount(bins, confidence, N_BINS))
    return float(units.total(loss)[answered].mean()), float(gaps.sum() / confidence.size)


def _by_label(question: Question, judged: Frame) -> dict[str, LabelFigures]:
    """Of each label that is suggested for some unit."""
    chosen = question.form.chosen(judged.posteriors)
    right = chosen & question.form.chosen(_certain(question, judged.gold))
    found: dict[str, LabelFigures] = {}
    for place, label in enumerate(labels_of([question])):
        units = chosen[:, place]
        n, n_right = int(units.sum()), int(right[units, place].sum())
        if n:
            confidence = float(judged.posteriors[label.key][units, label.column].mean())
            found[label.name] = LabelFigures(n, n_right / n, wilson(n_right, n), confidence)
    return found


def _sources(
    question: Question, votes: Mapping[str, VoteMatrix], accuracies: Mapping[str, NDArray[np.float64]]
) -> dict[str, SourceFigures]:
    """Coverage and learned accuracy by source; in a multiple question the mean over its labels, by number of votes."""
    voted = {decision.key: votes[decision.key].votes != ABSTAIN for decision in decisions(question)}
    sources = votes[decisions(question)[0].key].sources
    report: dict[str, SourceFigures] = {}
    for column, source in enumerate(sources):
        covered = np.any([cast[:, column] for cast in voted.values()], axis=0)
        n_votes = np.array([cast[:, column].sum() for cast in voted.values()], dtype=np.float64)
        learned = np.array([accuracies[key][column] for key in voted])
        report[source] = SourceFigures(
            coverage=float(covered.mean()) if covered.size else None,
            accuracy=float(n_votes @ learned / n_votes.sum()) if n_votes.any() else None,
        )
    return report


def _n_classes(question: Question) -> int:
    return len(decisions(question)[0].classes)


def is_answered(question: Question, judged: Frame) -> NDArray[np.bool_]:
    """Whether the posteriors say anything of each task: bool (n_tasks,)."""
    return judged.units[question.name].any(_says_anything(question, judged))


def is_right(question: Question, judged: Frame) -> NDArray[np.bool_]:
    """In which tasks the answer is right as a whole: bool (n_tasks,). Arguments as for `accuracy_of`."""
    given = question.form.chosen(_certain(question, judged.gold))
    chosen = question.form.chosen(judged.posteriors)
    return judged.units[question.name].all(np.asarray((chosen == given).all(axis=1)))


def _says_anything(question: Question, judged: Frame) -> NDArray[np.bool_]:
    """Which rows of the posteriors say anything: bool (n_units,)."""
    known = np.stack([is_known(judged.posteriors[decision.key]) for decision in decisions(question)])
    return np.asarray(known.any(axis=0))


def _certain(question: Question, truth: Gold) -> dict[str, NDArray[np.float64]]:
    """Answers as posteriors (n_units, k): all on the class that was chosen."""
    each = np.eye(_n_classes(question))
    return {key: each[known] for key, known in truth.items()}
