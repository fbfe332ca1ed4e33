"""Which tasks an LLM's answer is worth its price for."""

import numpy as np

from backend.domain.llm.choose import doubts, paying, sample_order, worth
from backend.domain.llm.records import Calibration, LlmAnswer, Problem


def test_the_sample_stays_while_the_project_grows() -> None:
    contents = [f"hash {number}" for number in range(300)]
    first = [contents[place] for place in sample_order(contents)]
    more = [*contents, *(f"later {number}" for number in range(50))]
    later = [more[place] for place in sample_order(more)]
    assert [content for content in later if content in set(contents)] == first
    # Not the order of import.
    assert first[:50] != contents[:50]


def test_doubt_and_contradiction_come_first_and_long_texts_later() -> None:
    uncertainty = np.array([0.1, 0.6, 0.6, 0.6])
    disagreement = np.array([0.0, 0.0, 0.5, 0.0])
    assert worth(uncertainty, disagreement, np.ones(4)).tolist() == [2, 1, 3, 0]
    assert worth(uncertainty, disagreement, np.array([1.0, 1.0, 9.0, 1.0])).tolist() == [1, 3, 0, 2]


def test_the_second_model_gets_what_the_first_is_unsure_of() -> None:
    def said(*labels: str, confidence: float | None = None, problem: Problem = Problem.NONE) -> LlmAnswer:
        return LlmAnswer("c", "p", "m", labels, problem, confidence)

    answers = [
        said("a", confidence=0.9),
        said("a", confidence=0.7),
        said(),
        said(problem=Problem.REFUSAL),
        said("a"),
    ]
    doubt = doubts(answers, Calibration())
    assert paying(doubt, np.ones(5), 0.8, 0.0).tolist() == [2, 3, 1]
    # It says 0.9, and is right in half of the cases.
    halved = Calibration("isotonic", knots=((0.0, 0.0), (1.0, 0.55)))
    assert paying(doubts(answers, halved), np.ones(5), 0.8, 0.0).tolist() == [2, 3, 1, 0]


def test_a_second_model_is_asked_where_it_saves_most_errors_for_its_money() -> None:
    doubt, price = np.array([0.3, 0.5, 0.25, 0.5]), np.array([1.0, 9.0, 1.0, 2.0])
    assert paying(doubt, price, 0.8, 0.0).tolist() == [0, 2, 3, 1]
    # A second model that is wrong in 28 % saves nothing where the first is wrong in 25 %.
    assert paying(doubt, price, 0.8, 0.28).tolist() == [3, 1, 0]
    assert paying(doubt, price, 0.8, 0.6).tolist() == []


def test_who_is_as_sure_as_wanted_is_sure_enough() -> None:
    assert paying(np.array([1 - 0.8, 1 - 0.79]), np.ones(2), 0.8, 0.0).tolist() == [1]
