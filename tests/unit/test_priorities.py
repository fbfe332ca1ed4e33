import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.domain.priorities.strategy import MEASURES
from backend.domain.priorities.uncertainty import rank, uncertainty
from backend.domain.questions import decisions
from backend.domain.suggestions import suggest
from tests.unit.planted import GENRE, SENTIMENT, frame_with

CLEAR, DOUBTFUL, NARROW, UNKNOWN = [0.9, 0.05, 0.05], [0.4, 0.3, 0.3], [0.5, 0.49, 0.01], [np.nan] * 3


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("least_confidence", [0.1, 0.6, 0.5, 1.0]),
        ("margin", [1 - 0.85, 0.9, 0.99, 1.0]),
        ("entropy", [0.3590, 0.9912, 0.6755, 1.0]),
    ],
)
def test_uncertainty_against_values_computed_by_hand(strategy: str, expected: list[float]) -> None:
    posteriors = np.array([CLEAR, DOUBTFUL, NARROW, UNKNOWN])
    np.testing.assert_allclose(uncertainty(posteriors, strategy), expected, atol=1e-4)


@pytest.mark.parametrize("strategy", MEASURES)
def test_scale_ends_at_one_for_no_idea_and_zero_for_certainty(strategy: str) -> None:
    certain, even = uncertainty(np.array([[1.0, 0.0], [0.5, 0.5]]), strategy)
    assert certain == pytest.approx(0)
    assert even == pytest.approx(0.5 if strategy == "least_confidence" else 1)
    assert uncertainty(np.array([[1.0], [np.nan]]), strategy).tolist() == [0, 1]
    assert uncertainty(np.empty((0, 3)), strategy).shape == (0,)


@pytest.mark.parametrize(("strategy", "first"), [("least_confidence", 1), ("margin", 2), ("entropy", 1)])
def test_who_is_asked_first(strategy: str, first: int) -> None:
    ranking = rank(
        frame_with([SENTIMENT], posteriors={"sentiment": np.array([CLEAR, DOUBTFUL, NARROW])}),
        strategy=strategy,
        seed=0,
    )
    assert ranking.order[0] == first
    assert ranking.order[-1] == 0


def test_what_we_know_nothing_of_comes_first() -> None:
    ranking = rank(frame_with([SENTIMENT], posteriors={"sentiment": np.array([DOUBTFUL, UNKNOWN, CLEAR])}), seed=0)
    assert ranking.order.tolist() == [1, 0, 2]


def test_an_unknown_strategy_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="coin_toss"):
        uncertainty(np.array([CLEAR]), "coin_toss")


def test_equal_tasks_do_not_come_in_import_order_but_always_in_the_same() -> None:
    posteriors = {"sentiment": np.tile(DOUBTFUL, (100, 1))}
    one, same, other = (
        rank(frame_with([SENTIMENT], posteriors=posteriors), seed=seed).order.tolist() for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other
    assert one != sorted(one)
    firsts = {int(rank(frame_with([SENTIMENT], posteriors=posteriors), seed=seed).order[0]) for seed in range(50)}
    assert len(firsts) > 25, "every one of the equal tasks must have its chance"


PROBABILITY = st.one_of(st.floats(0, 1), st.just(float("nan")))


@settings(deadline=None)
@given(st.lists(st.lists(PROBABILITY, min_size=4, max_size=4), min_size=1, max_size=12), st.integers(0, 3))
def test_least_confidence_is_the_reverse_of_the_suggestions_score(rows: list[list[float]], seed: int) -> None:
    values = np.array(rows)
    posteriors: dict[str, NDArray[np.float64]] = {
        "sentiment": np.column_stack([values[:, 0], (1 - values[:, 0]) * 0.7, (1 - values[:, 0]) * 0.3])
    }
    for index, decision in enumerate(decisions(GENRE)):
        posteriors[decision.key] = np.column_stack([1 - values[:, 1 + index], values[:, 1 + index]])
    scores = np.array([item.score for item in suggest(frame_with([SENTIMENT, GENRE], posteriors=posteriors))])
    ranking = rank(frame_with([SENTIMENT, GENRE], posteriors=posteriors), seed=seed)
    np.testing.assert_allclose(ranking.uncertainty, 1 - scores, atol=1e-12)
    assert sorted(ranking.order.tolist()) == list(range(len(rows)))
    assert (np.diff(scores[ranking.order]) > -1e-8).all()


def test_a_task_is_as_urgent_as_its_most_doubtful_question() -> None:
    posteriors = {"sentiment": np.array([CLEAR, DOUBTFUL])}
    posteriors |= {decision.key: np.array([[0.5, 0.5], [0.01, 0.99]]) for decision in decisions(GENRE)}
    for strategy in MEASURES:
        assert rank(
            frame_with([SENTIMENT, GENRE], posteriors=posteriors), strategy=strategy, seed=0
        ).order.tolist() == [0, 1]
