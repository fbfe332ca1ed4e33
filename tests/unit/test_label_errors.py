import numpy as np
import pytest
from numpy.typing import NDArray

from backend.domain.label_errors.search import find_label_errors
from backend.domain.questions import decisions
from tests.unit.planted import GENRE, SENTIMENT, frame_with


def posterior_of(truth: NDArray[np.int64], k: int, seed: int, strength: float = 2.4) -> NDArray[np.float64]:
    """Posteriors that are right in about 85 % of the rows (k = 3) and calibrated."""
    random = np.random.default_rng(seed)
    evidence = random.normal(0.0, 1.0, (truth.size, k)) * strength**0.5
    evidence[np.arange(truth.size), truth] += strength
    proba = np.exp(evidence)
    return np.asarray(proba / proba.sum(axis=1, keepdims=True))


def flip(truth: NDArray[np.int64], n_flips: int, k: int, seed: int) -> NDArray[np.int64]:
    random = np.random.default_rng(seed)
    given = truth.copy()
    rows = random.choice(truth.size, n_flips, replace=False)
    given[rows] = (given[rows] + random.integers(1, k, n_flips)) % k
    return given


@pytest.mark.parametrize("n_labels", [30, 60])
def test_most_of_five_wrong_labels_among_a_few_dozen_are_found(n_labels: int) -> None:
    found = flagged = 0
    for seed in range(20):
        truth = np.random.default_rng(seed).integers(0, 3, n_labels)
        given = flip(truth, 5, 3, seed)
        posterior = posterior_of(truth, 3, seed + 100, strength=3.0)
        suspects = find_label_errors(
            SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given})
        )
        rows = [item.row for item in suspects]
        found += len(set(rows) & set(np.flatnonzero(given != truth)))
        flagged += len(rows)
    assert found / 100 > 0.7
    # Of 60 labels, 10 posteriors are wrong as well: knowing that five labels are, precision could be 0.7.
    assert found / flagged > 0.4


def test_a_suspect_says_what_was_given_what_was_expected_and_how_bad_it_is() -> None:
    truth = np.arange(40) % 3
    given = truth.copy()
    given[7], given[20] = 2, 0
    posterior = np.full((40, 3), 0.05)
    posterior[np.arange(40), truth] = 0.9
    posterior[7] = [0.01, 0.98, 0.01]
    worst, other = find_label_errors(
        SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given})
    )
    assert (worst.row, worst.question, worst.given, worst.expected) == (7, "sentiment", ("Neutral",), ("Negative",))
    assert (other.row, other.given, other.expected) == (20, ("Positive",), ("Neutral",))
    assert worst.quality == pytest.approx(0.01)
    assert worst.quality < other.quality


def test_only_labeled_rows_of_which_something_is_known_are_judged() -> None:
    truth = np.arange(40) % 3
    posterior = np.full((40, 3), 0.05)
    posterior[np.arange(40), (truth + 1) % 3] = 0.9
    posterior[:20, :] = 0.05
    posterior[np.arange(20), truth[:20]] = 0.9
    posterior[20] = np.nan
    given = truth.copy()
    given[21] = -1
    rows = {
        item.row
        for item in find_label_errors(
            SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given})
        )
    }
    assert not rows & {20, 21}
    assert rows <= set(range(22, 40))
    assert rows


def test_the_expected_label_may_be_one_that_nobody_has_used() -> None:
    given = np.arange(20) % 2
    posterior = np.full((20, 3), 0.05)
    posterior[np.arange(20), given] = 0.9
    posterior[4] = [0.01, 0.01, 0.98]
    (suspect,) = find_label_errors(
        SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given})
    )
    assert (suspect.row, suspect.expected) == (4, ("Neutral",))


@pytest.mark.parametrize(
    "given", [np.full(40, -1), np.zeros(40, dtype=np.int64), np.where(np.arange(40) < 9, np.arange(40) % 3, -1)]
)
def test_too_little_to_judge_by_flags_nothing(given: NDArray[np.int64]) -> None:
    posterior = posterior_of((given + 1) % 3, 3, 0)
    assert (
        find_label_errors(
            SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": given})
        )
        == []
    )


def test_good_labels_are_left_alone() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 200)
    posterior = np.full((200, 3), 0.1)
    posterior[np.arange(200), truth] = 0.8
    assert (
        find_label_errors(
            SENTIMENT, frame_with([SENTIMENT], held_out={"sentiment": posterior}, gold={"sentiment": truth})
        )
        == []
    )


def test_a_wrong_label_in_a_set_is_found_and_the_whole_set_expected() -> None:
    random = np.random.default_rng(0)
    truth = {decision.key: random.integers(0, 2, 60) for decision in decisions(GENRE)}
    posteriors = {}
    for key, classes in truth.items():
        posteriors[key] = np.full((60, 2), 0.1)
        posteriors[key][np.arange(60), classes] = 0.9
    given = {key: classes.copy() for key, classes in truth.items()}
    for key, classes in given.items():
        classes[5] = 1
        posteriors[key][5] = [0.1, 0.9]
    given["genre=comedy"][5] = 0
    (suspect,) = find_label_errors(GENRE, frame_with([GENRE], held_out=posteriors, gold=given))
    assert (suspect.row, suspect.given) == (5, ("drama", "horror"))
    assert suspect.expected == ("drama", "comedy", "horror")
    assert suspect.quality == pytest.approx(0.1)
