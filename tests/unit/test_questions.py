import json
from dataclasses import replace

import pytest

from backend.domain.questions import Choices, Decision, Question, Rating, Taxonomy, decisions, from_dict, to_dict
from tests.unit.planted import GENRE, SENTIMENT


def test_a_question_with_one_answer_is_one_decision_over_its_labels() -> None:
    assert decisions(SENTIMENT) == [Decision("sentiment", ("Positive", "Negative", "Neutral"))]
    assert decisions(SENTIMENT)[0].key == "sentiment"


def test_a_question_with_several_answers_is_a_yes_or_no_for_each_label() -> None:
    asked = decisions(GENRE)
    assert [decision.key for decision in asked] == ["genre=drama", "genre=comedy", "genre=horror"]
    assert {decision.classes for decision in asked} == {("no", "yes")}
    assert [decision.label for decision in asked] == ["drama", "comedy", "horror"]


def test_labels_are_found_by_name_and_unknown_ones_are_not() -> None:
    assert [SENTIMENT.index(label) for label in SENTIMENT.labels] == [0, 1, 2]
    assert SENTIMENT.index("Mixed") is None


def test_a_question_is_the_same_only_if_its_labels_are() -> None:
    """Whether a model still fits the label config is decided by comparing questions."""
    assert replace(SENTIMENT) == SENTIMENT
    assert replace(SENTIMENT, labels=("Negative", "Positive", "Neutral")) != SENTIMENT
    other: Question = Taxonomy(SENTIMENT.name, SENTIMENT.to_name, SENTIMENT.labels)
    assert other != SENTIMENT


def test_a_question_is_never_named_like_another_ones_label() -> None:
    genre = Choices("a", "text", ("b", "=c"), multiple=True)
    odd = [Choices(name, "text", ("x", "y")) for name in ("a=b", "a%3Db", "a==c")]
    keys = [decision.key for question in (genre, *odd) for decision in decisions(question)]
    assert len(set(keys)) == 5


def test_a_question_of_a_newer_release_is_not_taken_for_another_one() -> None:
    found = to_dict(Rating("stars", "text", ("1", "2")))
    assert from_dict(json.loads(json.dumps(found))) == Rating("stars", "text", ("1", "2"))
    with pytest.raises(KeyError, match="per_region"):
        from_dict(found | {"per_region": True})
    with pytest.raises(ValueError, match="labels is '12', not a list"):
        from_dict(found | {"labels": "12"})
