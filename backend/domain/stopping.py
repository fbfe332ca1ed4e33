"""Stopping: is it worth labeling on? Advice with its reasons, and what it rests on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.reports.status import Advice, QuestionProgress, Verdict
from backend.domain.reports.version import Agreement, Gain, ProgressFigures
from backend.domain.statistics import Z, cohen_kappa
from backend.domain.words import counted

HORIZON = 100
"""Labels whose gain is foretold."""
ENOUGH_TASKS = 20
"""Tasks to measure on below which nothing is foretold."""
MIN_POINTS = 4
"""Versions on the learning curve. Three numbers are fitted."""
MIN_SPAN = 2.0
"""The curve has to show what doubling the labels did, before it is drawn further."""
LOOK_BACK = 4.0
"""Only versions with at least this part of the labels count: no power law fits a curve that began otherwise."""
MAX_REACH = 2.0
"""It is drawn to at most so many times the labels there are."""
SMALL = 0.01
"""A gain below this by the next `HORIZON` labels is none: one more task in a hundred is right."""
FLAT = 0.02
"""The accuracy is on a plateau when a third of the labels certainly brought less than this."""
RECENT = 2 / 3
"""Labels before that third, as a share of those there are now."""
STABLE, MOVING = 0.99, 0.95
"""Agreement (kappa) of successive versions from which predictions are stable (Bloodgood & Vijay-Shanker 2009, section
3: 0.99), and below which they certainly aren't."""
WINDOW, WINDOW_SHARE = 3, 0.1
"""Agreement is the mean of so many successive versions (their section 3, too), and of as many more as it takes to span
this share of all labels: versions a handful of labels apart agree whatever there is to learn."""
RATES = np.arange(0.1, 1.55, 0.1)
"""Exponents that are tried for the power law. Most learning curves have one between 0.2 and 1."""
RESAMPLES = 400


def expected_gain(n_labels: NDArray[np.int64], right: NDArray[np.bool_], *, seed: int) -> Gain | None:
    """What the next `HORIZON` labels are expected to bring; None when the curve so far doesn't tell.

    Error = e + b · n^-c with e, b >= 0, an inverse power law (Figueroa et al. 2012, "Predicting sample size required
    for classification performance"), by least squares. All versions are measured on the same tasks, so the interval is
    a bootstrap over tasks and versions both: which tasks there are to measure on moves the whole curve, and a version's
    luck moves one point. Two tasks are added for it, one that is learned half-way along the curve and one that is
    forgotten, for the same reason as in `paired_gain`: where all versions agree, some task could still differ.

    Args:
        n_labels: int64 (m,), labels that each version learned from, all above 0.
        right: bool (m, n_tasks); whether its prediction of a task, made without that task's label, is right.
        seed: of the bootstrap.
    """
    most = int(n_labels.max(initial=0))
    recent = n_labels >= most / LOOK_BACK
    n_labels, right = n_labels[recent], right[recent]
    enough = len(n_labels) >= MIN_POINTS and right.shape[1] >= ENOUGH_TASKS
    if not enough or most < MIN_SPAN * n_labels.min() or most + HORIZON > MAX_REACH * most:
        return None
    sizes = n_labels.astype(np.float64)
    random = np.random.default_rng(seed)
    late = (np.arange(len(sizes)) >= len(sizes) / 2)[:, None]
    padded = np.concatenate([right[np.argsort(sizes)], late, ~late], axis=1)
    ascending = np.sort(sizes)
    n_points, n_tasks = padded.shape
    points = random.integers(n_points, size=(RESAMPLES, n_points))
    weights = random.multinomial(n_tasks, np.full(n_tasks, 1 / n_tasks), size=RESAMPLES) / n_tasks
    errors = np.take_along_axis(1 - weights @ padded.T, points, axis=1)
    low, high = np.percentile(_gains(ascending[points], errors, float(most)), [2.5, 97.5])
    gain = float(_gains(sizes[None], 1 - right.mean(axis=1)[None], float(most))[0])
    return Gain(gain, (float(min(low, gain)), float(max(high, gain))))


def _gains(sizes: NDArray[np.float64], errors: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Fall of the error fitted to each row of (r, m) points, from `most` to `most` + `HORIZON` labels: (r,)."""
    best: NDArray[np.float64] = np.full(len(sizes), np.inf)
    gains: NDArray[np.float64] = np.zeros(len(sizes))
    for rate in RATES:
        terms = sizes**-rate
        centred = terms - terms.mean(axis=1, keepdims=True)
        # All points the same: any slope fits, and 0 is taken.
        spread = np.maximum((centred**2).sum(axis=1), np.finfo(np.float64).tiny)
        b = np.maximum(0.0, (centred * errors).sum(axis=1) / spread)
        e = errors.mean(axis=1) - b * terms.mean(axis=1)
        through_zero = np.maximum(0.0, (terms * errors).sum(axis=1) / (terms**2).sum(axis=1))
        b, e = np.where(e < 0, through_zero, b), np.maximum(e, 0.0)
        loss = ((errors - e[:, None] - b[:, None] * terms) ** 2).sum(axis=1)
        better = loss < best - 1e-15
        best = np.where(better, loss, best)
        gains = np.where(better, b * (most**-rate - (most + HORIZON) ** -rate), gains)
    return gains


def paired_gain(before: NDArray[np.bool_], now: NDArray[np.bool_]) -> Gain:
    """Rise of the accuracy between two versions on the same tasks, bool (n,), n > 0: whether each is right.

    The interval is Bonett and Price's (2012, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data"): tasks that both get right, or both wrong, say nothing.
    """
    n = len(now)
    better, worse = int((now & ~before).sum()), int((before & ~now).sum())
    up, down = (better + 1) / (n + 2), (worse + 1) / (n + 2)
    half = Z * float(np.sqrt((up + down - (up - down) ** 2) / (n + 2)))
    return Gain((better - worse) / n, (max(-1.0, up - down - half), min(1.0, up - down + half)))


def agreement(before: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    """Kappa of two versions' predictions, int64 (n,), n > 0, class indices, on tasks that neither was taught.

    Bloodgood & Vijay-Shanker (2009), "A method for stopping active learning based on stabilizing predictions and the
    need for user-adjustable stopping". 0 when both give one class and no other: that is no sign of having learned.
    """
    return cohen_kappa(before, now)[0]


def stability(agreements: Sequence[Agreement]) -> float | None:
    """Mean agreement of the last versions, see `WINDOW`; None with fewer. Those without new labels don't count."""
    agreements = [item for item in agreements if item.n_labels > item.n_before]
    if not agreements:
        return None
    newest = agreements[-1].n_labels
    window: list[float] = []
    for item in reversed(agreements):
        window.append(item.kappa)
        if len(window) >= WINDOW and newest - item.n_before >= WINDOW_SHARE * newest:
            return float(np.mean(window))
    return None


def advise(questions: Sequence[QuestionProgress], *, n_labels: int, n_open: int, budget: int) -> Advice:
    """Whether to go on labeling.

    Three signs: what the last labels brought, what the next ones are expected to, and whether predictions are stable.
    Continue: for some question one of them says that there is more to learn. Stop: the budget is reached, or nothing is
    left, or for every question predictions are stable and the best guess is that the next labels bring nothing, or the
    last ones certainly brought nothing and the next ones certainly will. Otherwise it can't be told.

    Args:
        questions: what is known of each.
        n_labels: labels there are.
        n_open: tasks that still want a label.
        budget: labels that may be given; 0 = no such number.
    """
    if budget and n_labels >= budget:
        return Advice(Verdict.STOP, (f"the budget of {counted(budget, 'label')} is reached",))
    if not n_open:
        return Advice(Verdict.STOP, ("every task is labeled",))
    each = [_advise_on(item) for item in questions]
    prefix = [f"{item.question}: " if len(questions) > 1 else "" for item in questions]
    for verdict in (Verdict.CONTINUE, Verdict.UNKNOWN, Verdict.STOP):
        reasons = tuple(
            name + reason
            for name, advice in zip(prefix, each, strict=True)
            if advice.verdict is verdict
            for reason in advice.reasons
        )
        if reasons:
            return Advice(verdict, reasons)
    return Advice(Verdict.UNKNOWN, ("no question can be answered",))


def _advise_on(progress: QuestionProgress) -> Advice:
    found = [_about_recent(progress.recent), _about_expected(progress.expected), _about_kappa(progress.agreements)]
    against = tuple(reason for stop, reason in found if stop is False)
    if against:
        return Advice(Verdict.CONTINUE, against)
    (flat, of_flat), (settled, of_expected), (stable, of_stable) = found
    if stable and progress.expected is not None and progress.expected.gain < SMALL:
        # Stable predictions are reason enough in the paper; with rules that decide nearly all, they are stable early.
        return Advice(Verdict.STOP, (of_stable, of_expected))
    if flat and settled:
        return Advice(Verdict.STOP, (of_flat, of_expected))
    return Advice(Verdict.UNKNOWN, tuple(reason for stop, reason in found if stop is None))


def _about_recent(recent: Gain | None) -> tuple[bool | None, str]:
    """Whether this speaks for stopping (None: neither way), and what it says."""
    if recent is None:
        return None, "too few labels, or no version before their last third, to see what that brought"
    said = f"the last third of the labels brought {points(recent)}"
    if recent.interval[0] > 0:
        return False, said
    return (True if recent.interval[1] < FLAT else None), said


def _about_expected(expected: Gain | None) -> tuple[bool | None, str]:
    if expected is None:
        return None, f"too few labels or versions to foretell the next {HORIZON}"
    said = f"the next {HORIZON} labels are expected to bring {points(expected)}"
    if expected.gain >= SMALL and expected.interval[0] > 0:
        return False, said
    return (True if expected.interval[1] < SMALL else None), said


def _about_kappa(agreements: Sequence[Agreement]) -> tuple[bool | None, str]:
    kappa = stability(agreements)
    if kappa is None:
        return None, "too few versions to see whether predictions are stable"
    if kappa >= STABLE:
        return True, f"predictions are stable (kappa {kappa:.3f} between versions)"
    return (False if kappa < MOVING else None), f"predictions still change (kappa {kappa:.2f} between versions)"


def points(gain: Gain) -> str:
    """A gain in percentage points, as a person reads it."""
    low, high = (100 * end for end in gain.interval)
    return f"{100 * gain.gain:+.1f} points ({low:+.1f} to {high:+.1f})"


def progress_of(question: str, history: Sequence[ProgressFigures]) -> QuestionProgress:
    """A question's progress, from its figures in successive versions, oldest first; the last one is the version in use.
    What earlier releases wrote has none."""
    last = history[-1] if history else ProgressFigures()
    return QuestionProgress(
        question,
        n_measured=last.n,
        recent=last.recent_gain,
        expected=last.expected_gain,
        agreements=tuple(item.agreement for item in history if item.agreement is not None),
    )
