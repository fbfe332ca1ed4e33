"""The choice of tasks for which an LLM's answer is worth its price."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.llm.confidence import apply, confidences_of
from backend.domain.llm.records import Calibration, LlmAnswer

DISAGREEMENT_WEIGHT = 0.1
"""What a contradiction among the sources counts beside the doubt of their combination, which has seen it already: it
decides between tasks of about the same doubt. (In `benchmarks/llm.py`, strong and middle LLM, half the tasks asked:
accuracy is 0.6 points lower with a weight of 0.5 than with none. Doubt weighed by how many tasks are similar costs 0.8
to 1.7 points, a first tenth or fifth of the tasks at random 0.4 to 1.5.)"""


def sample_order(contents: Sequence[str]) -> NDArray[np.int64]:
    """A random order of contents (hashes) that stays as it is when others are added: int64 (n,)."""
    draws = [hashlib.sha256(f"sample {content}".encode()).hexdigest() for content in contents]
    return np.array(sorted(range(len(draws)), key=draws.__getitem__), dtype=np.int64)


def worth(
    uncertainty: NDArray[np.float64], disagreement: NDArray[np.float64], price: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Tasks in the order of what an answer is worth for its money, the most valuable first: int64 (n,).

    Args:
        uncertainty: (n,), 1 - probability of the suggestion that stands without the answer. (Margin and entropy order
            two classes alike; with a planted LLM on two sets of four and six classes, half the tasks asked, all three
            end within half a point of each other, now one ahead and now another.)
        disagreement: (n,), share of the sources that contradict it.
        price: (n,) > 0, in any unit.
    """
    value = uncertainty + DISAGREEMENT_WEIGHT * disagreement
    return np.argsort(-value / price, kind="stable")


def doubts(answers: Sequence[LlmAnswer], calibration: Calibration) -> NDArray[np.float64]:
    """How probably each answer is wrong, float64 (n,): 1 - its calibrated confidence, 1 without a label, 0 for an
    answer that says nothing of its confidence, which is taken as it is."""
    confidence = apply(calibration, confidences_of(answers))
    without = np.array([not answer.labels for answer in answers], dtype=np.bool_)
    return np.where(without, 1.0, np.nan_to_num(1.0 - confidence, nan=0.0))


def paying(
    doubt: NDArray[np.float64], price: NDArray[np.float64], sure: float, second_wrong: float
) -> NDArray[np.int64]:
    """Places of the answers that a second model should be asked about, those where it saves most errors for its money
    first: int64 (n_paying,).

    Args:
        doubt: (n,), of the first model's answers, see `doubts`.
        price: (n,) > 0, of asking the second one, in any unit.
        sure: the confidence from which the first one is believed.
        second_wrong: share of the second one's answers that are wrong, as far as people judged them; 0 = unknown. Where
            the first one errs less often, asking the second one doesn't pay.
    """
    saved = doubt - second_wrong
    # A confidence of .8 is one: sums of floats mustn't decide.
    places = np.flatnonzero((doubt > 1 - sure + 1e-9) & (saved > 0))
    return places[np.argsort(-saved[places] / price[places], kind="stable")]
