import numpy as np
import pytest
from numpy.typing import NDArray

from backend.domain.questions import Rating, decisions
from backend.domain.rules import Not, Rule
from backend.domain.suggestions import suggest
from backend.domain.votes import apply_rules, votes_on
from tests.unit.planted import GENRE, SENTIMENT, frame_with

NAN2, NAN3 = [np.nan] * 2, [np.nan] * 3


def sentiment(*rows: list[float]) -> dict[str, NDArray[np.float64]]:
    return {"sentiment": np.array(rows)}


def genre(*rows: tuple[float, float, float]) -> dict[str, NDArray[np.float64]]:
    """Posteriors of the three yes/no decisions from P(yes) of each; NaN: nothing known."""
    return {
        decision.key: np.array([[1 - row[index], row[index]] for row in rows])
        for index, decision in enumerate(decisions(GENRE))
    }


def test_the_most_probable_label_is_suggested_with_its_probability() -> None:
    first, second = suggest(frame_with([SENTIMENT], posteriors=sentiment([0.1, 0.7, 0.2], [0.5, 0.2, 0.3])))
    assert first.answers == {"sentiment": ("Negative",)}
    assert first.score == pytest.approx(0.7)
    assert first.per_question == {"sentiment": pytest.approx(0.7)}
    assert second.answers == {"sentiment": ("Positive",)}


def test_a_tie_goes_to_the_label_that_comes_first() -> None:
    (tie,) = suggest(frame_with([SENTIMENT], posteriors=sentiment([0.2, 0.4, 0.4])))
    assert tie.answers == {"sentiment": ("Negative",)}


def test_nothing_known_is_an_abstention_in_its_place() -> None:
    abstention, answer = suggest(frame_with([SENTIMENT], posteriors=sentiment(NAN3, [0.8, 0.1, 0.1])))
    assert (abstention.answers, abstention.score, abstention.per_question) == ({}, 0.0, {})
    assert answer.score == pytest.approx(0.8)


def test_a_set_holds_every_label_that_is_likelier_than_not() -> None:
    (both,) = suggest(frame_with([GENRE], posteriors=genre((0.9, 0.2, 0.5))))
    assert both.answers == {"genre": ("drama", "horror")}
    assert both.score == pytest.approx(0.9 * 0.8 * 0.5)


def test_an_empty_set_suggests_nothing_but_keeps_its_confidence() -> None:
    (none,) = suggest(frame_with([GENRE], posteriors=genre((0.1, 0.2, 0.3))))
    assert none.answers == {}
    assert none.per_question == {"genre": pytest.approx(0.9 * 0.8 * 0.7)}
    assert none.score == pytest.approx(0.9 * 0.8 * 0.7)


def test_labels_of_which_nothing_is_known_are_left_out_of_the_set_and_its_confidence() -> None:
    (some,) = suggest(frame_with([GENRE], posteriors=genre((0.9, np.nan, np.nan))))
    assert some.answers == {"genre": ("drama",)}
    assert some.score == pytest.approx(0.9)
    assert np.isnan(GENRE.form.confidences(genre((np.nan, np.nan, np.nan)))).all()


def test_several_questions_are_as_sure_as_the_least_sure_answered_one() -> None:
    posteriors = sentiment([0.9, 0.05, 0.05], [0.9, 0.05, 0.05], NAN3) | genre(
        (0.6, 0.1, 0.0), (np.nan, np.nan, np.nan), (np.nan, np.nan, np.nan)
    )
    both, one, none = suggest(frame_with([SENTIMENT, GENRE], posteriors=posteriors))
    assert both.score == pytest.approx(0.6 * 0.9)
    assert one.answers == {"sentiment": ("Positive",)}
    assert one.score == pytest.approx(0.9)
    assert none.score == 0.0


def test_votes_are_on_record_by_source() -> None:
    votes = votes_on(SENTIMENT, ("rule", "llm"), [[(0,), (2,)], [(), (1,)]])
    votes |= votes_on(GENRE, ("rule",), [[(0, 2)], [()]])
    posteriors = sentiment([0.5, 0.2, 0.3], [0.1, 0.8, 0.1]) | genre((0.9, 0.1, 0.9), (0.1, 0.1, 0.1))
    first, second = suggest(frame_with([SENTIMENT, GENRE], posteriors=posteriors, votes=votes))
    assert first.votes == {"sentiment": {"rule": "Positive", "llm": "Neutral"}, "genre": {"rule": "drama, horror"}}
    assert second.votes == {"sentiment": {"llm": "Negative"}}


def test_no_tasks_and_no_questions() -> None:
    assert suggest(frame_with([SENTIMENT], posteriors={"sentiment": np.empty((0, 3))})) == []
    assert suggest(frame_with([], posteriors={})) == []


def test_a_rating_is_answered_with_the_least_expected_distance() -> None:
    stars = Rating("stars", "text", ("1", "2", "3", "4", "5"))
    posterior = np.array([[0.4, 0.0, 0.0, 0.3, 0.3], [0.1, 0.2, 0.4, 0.2, 0.1], [np.nan] * 5])
    middle, plain, unknown = suggest(frame_with([stars], posteriors={"stars": posterior}))
    assert middle.answers == {"stars": ("4",)}
    assert middle.score == pytest.approx(0.3)
    assert plain.answers == {"stars": ("3",)}
    assert unknown.answers == {}


def test_votes_against_a_label_are_recorded_as_such() -> None:
    rule = Rule("doubts", lambda _: Not("Neutral"), "sentiment")
    votes, _ = apply_rules([rule], [{}], [SENTIMENT])
    (only,) = suggest(frame_with([SENTIMENT], posteriors=sentiment([0.7, 0.2, 0.1]), votes=votes))
    assert only.votes == {"sentiment": {"doubts": "not Neutral"}}
