"""Anchoring and accuracy on audit tasks: known truth comes back, and too little is said to be too little."""

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.domain.audit.anchoring import anchoring
from backend.domain.audit.measure import measure
from backend.domain.questions import Choices, decisions
from backend.domain.reports.figures import Share
from backend.domain.reports.version import Anchoring
from backend.domain.votes import VoteMatrix
from tests.unit.planted import frame_with, known

SENTIMENT = Choices("sentiment", "text", ("Positive", "Negative"))
GENRE = Choices("genre", "text", ("drama", "comedy"), multiple=True)


def labeled(
    effect: float, n_shown: int, n_audit: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], NDArray[np.bool_]]:
    """Served tasks are hard, audit tasks are any. People agree as often as the confidence says, and `effect` more often
    when they see the suggestion."""
    random = np.random.default_rng(seed)
    shown, withheld = random.beta(2, 2, n_shown) * 0.6 + 0.3, random.beta(3, 1, n_audit) * 0.7 + 0.3
    accepted = random.random(n_shown) < np.minimum(1, shown + effect)
    return shown, accepted, withheld, random.random(n_audit) < withheld


@pytest.mark.parametrize("effect", [0.0, 0.1])
def test_anchoring_is_found_although_served_tasks_are_harder(effect: float) -> None:
    found = [anchoring(*labeled(effect, 800, 300, seed)) for seed in range(60)]
    assert np.mean([known(item.difference) for item in found]) == pytest.approx(effect, abs=0.02)
    intervals = [known(item.difference_interval) for item in found]
    covered = [low <= effect <= high for low, high in intervals]
    assert np.mean(covered) >= 0.9
    raw = labeled(effect, 100_000, 100_000, 0)
    assert raw[1].mean() - raw[3].mean() < effect - 0.1, "compared as they are, the tasks would say the opposite"


def test_the_difference_is_that_of_the_two_shares_given_with_it() -> None:
    found = anchoring(*labeled(0.1, 300, 200, 1))
    assert known(found.accepted) - known(found.would_choose) == pytest.approx(found.difference)
    low, high = known(found.difference_interval)
    assert low < known(found.difference) < high
    assert found.reason == ""


@pytest.mark.parametrize(
    ("n_shown", "n_audit", "said"), [(300, 19, "audit"), (19, 300, "in the form"), (0, 0, "audit")]
)
def test_of_too_few_tasks_nothing_is_said_and_why(n_shown: int, n_audit: int, said: str) -> None:
    found = anchoring(*labeled(0.1, n_shown, n_audit, 1))
    assert found == Anchoring(found.n_shown, found.n_withheld, reason=found.reason)
    assert said in found.reason
    assert "20 are needed" in found.reason


def test_tasks_without_a_like_of_the_other_kind_are_left_out() -> None:
    hard, easy = np.full(50, 0.35), np.full(50, 0.95)
    yes = np.ones(50, dtype=np.bool_)
    found = anchoring(hard, yes, easy, yes)
    assert (found.n_shown, found.n_withheld, found.difference) == (0, 0, None)


def test_a_handful_of_equal_answers_leaves_room_for_doubt() -> None:
    confidence, yes = np.full(25, 0.95), np.ones(25, dtype=np.bool_)
    low, high = known(anchoring(confidence, yes, confidence, yes).difference_interval)
    assert low < -0.05
    assert high > 0.05


def test_accuracy_of_suggestions_and_of_each_source_is_measured_on_audit_tasks_only() -> None:
    gold = {"sentiment": np.array([0, 0, 1, 1, 0, -1])}
    audit = np.array([True, True, True, True, False, True])
    votes = np.array([[0, -1], [0, 1], [0, 1], [-1, 1], [1, 1], [0, 0]], dtype=np.int16)
    posterior = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [np.nan, np.nan], [0.1, 0.9], [0.9, 0.1]])
    silent = {"sentiment": np.full((6, 2), np.nan)}
    (decision,) = decisions(SENTIMENT)
    matrix = {"sentiment": VoteMatrix(decision, ("rule", "llm:a"), votes)}
    found = measure(
        SENTIMENT,
        frame_with(
            [SENTIMENT], held_out={"sentiment": posterior}, members={"classifier": silent}, votes=matrix, gold=gold
        ),
        audit,
    )
    assert (found.n_labels, found.answered) == (4, 0.75)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.accuracy_interval == pytest.approx([0.2077, 0.9385], abs=1e-4), "Wilson's, by hand"
    assert found.sources["rule"].n == 3
    assert found.sources["rule"].accuracy == pytest.approx(2 / 3)
    assert found.sources["llm:a"].n == 3
    assert found.sources["llm:a"].accuracy == pytest.approx(2 / 3)
    assert found.members["classifier"] == Share()


def test_a_set_of_labels_is_right_as_a_whole_and_a_source_label_by_label() -> None:
    drama, comedy = decisions(GENRE)
    gold = {drama.key: np.array([1, 0]), comedy.key: np.array([1, 1])}
    sure = {drama.key: np.array([[0.1, 0.9], [0.9, 0.1]]), comedy.key: np.array([[0.9, 0.1], [0.1, 0.9]])}
    votes = {
        drama.key: VoteMatrix(drama, ("rule",), np.array([[1], [1]], dtype=np.int16)),
        comedy.key: VoteMatrix(comedy, ("rule",), np.array([[-1], [1]], dtype=np.int16)),
    }
    found = measure(
        GENRE,
        frame_with([GENRE], held_out=sure, members={"label model": sure}, votes=votes, gold=gold),
        np.array([True, True]),
    )
    assert found.accuracy == found.members["label model"].accuracy == 0.5
    assert found.sources["rule"].n == 3
    assert found.sources["rule"].accuracy == pytest.approx(2 / 3)
