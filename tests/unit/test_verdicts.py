"""What verdicts and forms tell: which suspects are worth a look, and which labels nobody has read."""

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.domain.label_errors.explain import explain
from backend.domain.label_errors.records import Suspect
from backend.domain.label_errors.rubber_stamped import is_rubber_stamped
from backend.domain.label_errors.verdicts import (
    ENOUGH,
    LATEST,
    PROBES,
    expected_precision,
    precision_of,
    verdict_id,
    worth_showing,
)
from backend.domain.questions import Rating
from backend.domain.tasks import Annotation, Origin
from tests.unit.planted import GENRE, SENTIMENT

TEXT = "a film of forty words " * 8


def spread(first: float, last: float, n: int) -> NDArray[np.float64]:
    """So many numbers, evenly spaced."""
    return np.linspace(first, last, n, dtype=np.float64)


def test_precision_comes_with_an_interval_that_few_verdicts_leave_wide() -> None:
    assert precision_of(0, 0).share is None
    few, many = precision_of(3, 1), precision_of(300, 100)
    assert few.share == many.share == 0.75
    assert few.interval is not None
    assert many.interval is not None
    assert few.interval[1] - few.interval[0] > 4 * (many.interval[1] - many.interval[0])


def test_few_verdicts_decide_nothing() -> None:
    judged = spread(0, 0.5, ENOUGH - 1)
    expected = expected_precision(np.array([0.1, 0.4]), judged, np.zeros(ENOUGH - 1, dtype=np.bool_))
    assert np.isnan(expected).all()
    assert worth_showing(expected, np.array([0.1, 0.4]), 0.9).all()


def test_suspects_like_those_that_people_confirm_are_held_back() -> None:
    judged = spread(0, 0.5, 60)
    qualities = np.concatenate([spread(0.01, 0.2, 20), spread(0.3, 0.49, 20)])
    expected = expected_precision(qualities, judged, judged < 0.25)
    assert (np.diff(expected) <= 0).all()
    assert expected[0] > 0.8
    assert expected[-1] < 0.2
    assert worth_showing(expected, qualities, 0.2).tolist() == [True] * 20 + [False] * 20


def test_a_quality_that_no_verdict_had_belongs_to_the_nearest_band() -> None:
    judged = spread(0.2, 0.3, 40)
    expected = expected_precision(np.array([0.0, 0.2, 0.3, 1.0]), judged, judged < 0.25)
    assert expected[0] == expected[1] > expected[2] == expected[3]


def test_a_few_suspects_are_shown_whatever_is_expected_so_that_verdicts_go_on() -> None:
    qualities = spread(0.5, 0.1, 30)
    expected = expected_precision(qualities, np.full(40, 0.3), np.zeros(40, dtype=np.bool_))
    shown = worth_showing(expected, qualities, 0.2)
    assert np.flatnonzero(shown).tolist() == list(range(30 - PROBES, 30))


def test_verdicts_of_long_ago_no_longer_count() -> None:
    fixed = np.array([False] * 500 + [True] * LATEST)
    assert expected_precision(np.array([0.3]), np.full(fixed.size, 0.3), fixed)[0] > 0.9


def test_a_verdict_is_about_content_question_and_label_alone() -> None:
    known = verdict_id({"text": "x", "n": 1}, "genre", ("a", "b"))
    assert verdict_id({"n": 1, "text": "x", "prelabel_check": "suspect"}, "genre", ("b", "a")) == known
    others = [
        verdict_id({"text": "y", "n": 1}, "genre", ("a", "b")),
        verdict_id({"text": "x", "n": 1}, "mood", ("a", "b")),
        verdict_id({"text": "x", "n": 1}, "genre", ("a",)),
    ]
    assert len({known, *others}) == 4


def form(lead_time_s: float | None, origin: Origin | None = Origin.ACCEPTED) -> Annotation:
    origins = {} if origin is None else {"sentiment": origin}
    return Annotation(1, 1, 1, {"sentiment": ("Positive",)}, origins=origins, lead_time_s=lead_time_s)


@pytest.mark.parametrize(
    ("entries", "rubber_stamped"),
    [
        ([form(0.4)], True),
        ([form(2.0)], True),
        ([form(20.0)], False),
        ([form(None)], True),
        ([form(0.4, Origin.CHANGED)], False),
        ([form(0.4, None)], False),
        ([form(0.4), form(20.0)], False),
        ([form(0.4), form(0.4)], True),
        ([], False),
    ],
)
def test_a_label_is_rubber_stamped_if_all_accepted_the_suggestion_faster_than_one_reads(
    entries: list[Annotation], rubber_stamped: bool
) -> None:
    assert is_rubber_stamped(entries, "sentiment", [TEXT]) is rubber_stamped


def test_a_short_text_takes_a_moment_too() -> None:
    assert is_rubber_stamped([form(0.5)], "sentiment", ["ok"])
    assert not is_rubber_stamped([form(1.5)], "sentiment", ["ok"])


def test_an_annotation_of_another_question_says_nothing_of_this_one() -> None:
    other = Annotation(2, 1, 2, {"topic": ("plot",)}, lead_time_s=60.0)
    assert is_rubber_stamped([form(0.4), other], "sentiment", [TEXT])


def test_a_reason_names_probabilities_votes_and_neighbours() -> None:
    suspect = Suspect(
        1, "sentiment", ("Negative",), ("Positive",), 0.031, 0.948, {"praises": "Positive", "llm": "Neutral"}, (0, 2)
    )
    assert explain(SENTIMENT, suspect, [7, 8, 9]) == (
        "Positive 0.95, Negative 0.03; praises says Positive, llm says Neutral; like tasks 7, 9 (Positive)"
    )
    sure = Suspect(1, "sentiment", ("Negative",), ("Positive",), 0.001, 0.999)
    assert explain(SENTIMENT, sure, [7, 8]) == "Positive >0.99, Negative <0.01"
    votes = {f"rule{number}": "Positive" for number in range(9)}
    crowded = Suspect(1, "sentiment", ("Negative",), ("Positive",), 0.031, 0.948, votes)
    assert explain(SENTIMENT, crowded, [7, 8]).endswith("rule2 says Positive, 6 more disagree")


def test_a_reason_doesnt_take_the_quality_of_a_set_or_a_rating_for_a_probability() -> None:
    stars = Rating("stars", "text", ("1", "2", "3", "4", "5"))
    rated = Suspect(0, "stars", ("1",), ("5",), 0.21, 0.7)
    assert explain(stars, rated, [4]) == "expected 5 (0.70), given 1 (quality 0.21)"
    chosen = Suspect(0, GENRE.name, (), ("drama", "crime"), 0.1, 0.6)
    assert explain(GENRE, chosen, [4]) == "expected drama, crime (0.60), given none (quality 0.10)"
