"""Answers of an LLM as votes beside those of the rules."""

import numpy as np
import pytest

from backend.domain.llm.records import Calibration, LlmAnswer, LlmSource
from backend.domain.llm.votes import choose_split, join, llm_columns
from backend.domain.questions import Choices
from backend.domain.rules import Not, Rule, labeling_function
from backend.domain.votes import apply_rules

TONE = Choices("tone", "text", ("warm", "cold", "none"))
TOPICS = Choices("topics", "text", ("food", "sport", "art"), multiple=True)
SOURCE = LlmSource("tone", "m", "0123456789abcdef")
IDENTITY = Calibration()


def said(*labels: str, confidence: float | None = None) -> LlmAnswer:
    return LlmAnswer("c", "p", "m", labels, confidence=confidence)


def test_an_answer_is_a_vote_and_anything_else_an_abstention() -> None:
    answers = [said("cold"), None, said(), said("gone"), said("warm")]
    matrix = llm_columns(TONE, SOURCE, answers, IDENTITY, None)["tone"]
    assert matrix.sources == ("llm:m:01234567",)
    assert matrix.votes[:, 0].tolist() == [1, -1, -1, -1, 0]


def test_a_set_says_no_to_the_labels_it_leaves_out() -> None:
    votes = llm_columns(TOPICS, SOURCE, [said("food", "art"), said(), said("food", "gone")], IDENTITY, None)
    assert [votes[f"topics={label}"].votes[:, 0].tolist() for label in TOPICS.labels] == [
        [1, -1, -1],
        [0, -1, -1],
        [1, -1, -1],
    ]


def test_sure_and_unsure_answers_can_be_two_sources() -> None:
    answers = [said("warm", confidence=0.9), said("cold", confidence=0.5), said("cold")]
    matrix = llm_columns(TONE, SOURCE, answers, IDENTITY, 0.8)["tone"]
    assert matrix.sources == ("llm:m:01234567", "llm:m:01234567 (unsure)")
    assert matrix.votes.tolist() == [[0, -1], [-1, 1], [-1, 1]]


def test_columns_stand_beside_those_of_the_rules() -> None:
    def never_warm(_: object) -> Not:
        return Not("warm")

    rule = labeling_function(question="tone", labels=["warm"])(never_warm)
    assert isinstance(rule, Rule)
    votes, _ = apply_rules([rule], [{}, {}], [TONE])
    joined = join(votes, llm_columns(TONE, SOURCE, [said("cold"), None], IDENTITY, None))["tone"]
    assert joined.sources == ("never_warm", "llm:m:01234567")
    assert joined.votes.tolist() == [[-1, 1], [-1, -1]]
    assert joined.excluded is not None
    assert joined.excluded.tolist() == [[0, -1], [0, -1]]


@pytest.mark.parametrize(
    ("n", "right_when_sure", "right_when_unsure", "splits"),
    [(200, 0.95, 0.6, True), (200, 0.8, 0.8, False), (200, 0.6, 0.9, False), (40, 0.95, 0.4, False)],
)
def test_a_source_is_split_only_where_it_knows_when_it_is_right(
    n: int, right_when_sure: float, right_when_unsure: float, splits: bool
) -> None:
    confidence = np.linspace(0.5, 1.0, n, dtype=np.float64)
    share = np.where(confidence >= 0.75, right_when_sure, right_when_unsure)
    right = (np.arange(n) * 0.6180339 % 1) < share
    assert (choose_split(confidence, right) is not None) is splits


def test_a_source_without_confidences_is_one_column() -> None:
    assert choose_split(np.full(100, np.nan), np.ones(100, dtype=np.bool_)) is None
    assert choose_split(np.full(100, 0.9), np.arange(100) % 2 == 0) is None


def test_one_confidence_for_most_answers_does_not_hide_the_surer_ones() -> None:
    confidence = np.array([0.9] * 60 + [1.0] * 40)
    assert choose_split(confidence, np.arange(100) >= 30) == 1.0
    assert choose_split(confidence, np.arange(100) % 10 > 2) is None
