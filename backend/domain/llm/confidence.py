"""How sure a model was, from the log-probabilities of its tokens; and how often it is right when it is that sure."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression

from backend.domain.llm.records import Calibration, LlmAnswer, Token
from backend.domain.reports.llm import Bin

Confidences = NDArray[np.float64]

MIN_LABELS = 30
"""Human labels from which a confidence is calibrated."""
N_FOLDS = 5
N_BINS = 10
SMALLEST = 1e-6
"""Confidences are kept so far from 0 and 1: a logit must be finite, and one wrong answer mustn't decide alone."""
HOTTEST = 20.0
"""Temperatures are searched between 1 / `HOTTEST` and `HOTTEST`."""


class TokenMap:
    """Places of the tokens of a reply in its text."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        """Tokens whose texts don't concatenate to the text (some tokenisers give parts of characters) tell nothing."""
        self._ends = np.cumsum([len(token.text) for token in tokens], dtype=np.int64)
        self._logprobs = np.array([token.logprob for token in tokens], dtype=np.float64)
        self._known = bool(tokens) and "".join(token.text for token in tokens) == text

    def probability(self, spans: Sequence[tuple[int, int]]) -> float | None:
        """Product of the probabilities of all tokens that hold a character of text[start:end], for any of the spans.

        None when there are no such tokens, or one has no usable log-probability.
        """
        if not self._known:
            return None
        starts = np.concatenate([[0], self._ends[:-1]])
        covering = np.zeros(self._ends.size, dtype=np.bool_)
        for start, end in spans:
            # A token without characters covers nothing.
            covering |= (starts < end) & (self._ends > start) & (starts < self._ends)
        logs = self._logprobs[covering]
        if not logs.size or np.isnan(logs).any():
            return None
        # Rounding, or an endpoint of little care, may give a logarithm a little above 0.
        return float(np.exp(min(0.0, logs.sum())))


def confidences_of(answers: Sequence[LlmAnswer | None]) -> Confidences:
    """Uncalibrated confidence in each answer, float64 (n,), 0..1; NaN for abstentions, for None, and where the endpoint
    gave none."""
    return np.array(
        [
            answer.confidence if answer is not None and answer.labels and answer.confidence is not None else np.nan
            for answer in answers
        ],
        dtype=np.float64,
    )


def calibrate(confidence: Confidences, right: NDArray[np.bool_]) -> Calibration:
    """Learn how often answers are right, from confidence. To be done for each source alone.

    Isotonic regression (Zadrozny & Elkan 2002) or a temperature on the logit (Guo et al. 2017, section 4.2), whichever
    has the lower log-loss over 5 folds; the temperature, with its one parameter, on a tie.

    Args:
        confidence: (n,), 0..1; rows with NaN are left out.
        right: bool (n,), whether people gave the same answer.

    Returns:
        Method "none" with fewer than `MIN_LABELS` rows.
    """
    known = np.isfinite(confidence)
    if known.sum() < MIN_LABELS:
        return Calibration()
    return _calibrate(confidence[known], right[known])


def apply(calibration: Calibration, confidence: Confidences) -> Confidences:
    """Calibrated confidence, float64 (n,), 0..1; NaN stays NaN."""
    if calibration.method == "isotonic":
        xs, ys = np.array(calibration.knots).T
        return np.where(np.isnan(confidence), np.nan, np.interp(confidence, xs, ys))
    if calibration.method == "temperature":
        return np.asarray(expit(_logit(confidence) / calibration.temperature))
    return confidence.copy()


def held_out_confidence(confidence: Confidences, right: NDArray[np.bool_]) -> Confidences:
    """Calibrated confidence, float64 (n,), in which no row's own label had a say: for a fair look at what calibration
    does.

    Arguments as in `calibrate`. With fewer than `MIN_LABELS` rows the confidence as it is.
    """
    result = confidence.copy()
    known = np.flatnonzero(np.isfinite(confidence))
    if known.size >= MIN_LABELS:
        result[known] = _held_out(_calibrate, confidence[known], right[known])
    return result


def reliability(confidence: Confidences, right: NDArray[np.bool_], n_bins: int = N_BINS) -> tuple[Bin, ...]:
    """The reliability diagram: `n_bins` bins of equal width between 0 and 1, empty ones left out.

    Args:
        confidence: (n,), 0..1; rows with NaN are left out.
        right: bool (n,).
        n_bins: number of bins.
    """
    known = np.isfinite(confidence)
    confidence, right = confidence[known], right[known]
    places = np.minimum((confidence * n_bins).astype(np.int64), n_bins - 1)
    return tuple(
        Bin(
            float(confidence[places == place].mean()),
            float(right[places == place].mean()),
            int((places == place).sum()),
        )
        for place in np.unique(places)
    )


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Expected calibration error (Guo et al. 2017, section 2): the mean of |right - confidence| over the bins, weighted
    by their numbers; None without any answer."""
    n = sum(item.n for item in bins)
    return sum(item.n * abs(item.right - item.confidence) for item in bins) / n if n else None


def auroc(confidence: Confidences, right: NDArray[np.bool_]) -> float | None:
    """How often a right answer has a higher confidence than a wrong one, ties counted half (Mann & Whitney 1947); None
    without both.

    Args:
        confidence: (n,), 0..1; rows with NaN are left out.
        right: bool (n,).
    """
    known = np.isfinite(confidence)
    ranks, right = rankdata(confidence[known]), right[known]
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    if not n_right or not n_wrong:
        return None
    return float((ranks[right].sum() - n_right * (n_right + 1) / 2) / (n_right * n_wrong))


def _calibrate(confidence: Confidences, right: NDArray[np.bool_]) -> Calibration:
    """`calibrate` of at least a few rows without NaN."""
    methods = (_temperature, _isotonic)
    losses = [_log_loss(_held_out(method, confidence, right), right) for method in methods]
    return methods[int(np.argmin(losses))](confidence, right)


def _held_out(
    method: Callable[[Confidences, NDArray[np.bool_]], Calibration], confidence: Confidences, right: NDArray[np.bool_]
) -> Confidences:
    """What a method makes of each row when it has learned from the other folds."""
    folds = np.random.default_rng(0).permutation(confidence.size) % N_FOLDS
    result = np.empty_like(confidence)
    for fold in range(N_FOLDS):
        rest = folds != fold
        result[~rest] = apply(method(confidence[rest], right[rest]), confidence[~rest])
    return result


def _temperature(confidence: Confidences, right: NDArray[np.bool_]) -> Calibration:
    """The temperature of least log-loss. Targets are softened by how few they are (Platt 1999, section 2.2), or a
    source that was right so far would become certain."""
    scores = _logit(confidence)
    n_right = int(right.sum())
    target = np.where(right, (n_right + 1) / (n_right + 2), 1 / (right.size - n_right + 2))
    found = minimize_scalar(
        lambda log: float((np.logaddexp(0, scores / np.exp(log)) - target * scores / np.exp(log)).mean()),
        bounds=(-np.log(HOTTEST), np.log(HOTTEST)),
        method="bounded",
    )
    return Calibration("temperature", temperature=float(np.exp(found.x)))


def _isotonic(confidence: Confidences, right: NDArray[np.bool_]) -> Calibration:
    """Knots of an isotonic regression, no surer than so many labels allow (Laplace's rule of succession)."""
    model = IsotonicRegression().fit(confidence, right.astype(np.float64))
    least = 1 / (confidence.size + 2)
    ys = np.clip(model.y_thresholds_, least, 1 - least)
    return Calibration("isotonic", knots=tuple(zip(model.X_thresholds_.tolist(), ys.tolist(), strict=True)))


def _logit(confidence: Confidences) -> Confidences:
    return np.asarray(logit(np.clip(confidence, SMALLEST, 1 - SMALLEST)))


def _log_loss(confidence: Confidences, right: NDArray[np.bool_]) -> float:
    of_truth = np.where(right, confidence, 1 - confidence)
    return float(-np.log(np.maximum(of_truth, SMALLEST)).mean())
