"""Number: a scale of what the form takes, from Label Studio's form and back, and answered by the median."""

import numpy as np
import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import format_result, parse_answers
from backend.domain.model.gold import gold_of
from backend.domain.questions import Number, from_dict, to_dict
from backend.domain.suggestions import Suggestion


def config(limits: str) -> str:
    return f'<View><Text name="t" value="$text"/><Number name="n" toName="t" {limits}/></View>'


@pytest.mark.parametrize(
    ("limits", "labels"),
    [
        ('min="0" max="3"', ("0", "1", "2", "3")),
        ('min="-1" max="1" step="0.5"', ("-1", "-0.5", "0", "0.5", "1")),
        ('min="0.1" max="0.35" step="0.1"', ("0.1", "0.2", "0.3")),
        ('MIN="1" Max="2.9"', ("1", "2")),
    ],
)
def test_its_labels_are_what_the_form_takes(limits: str, labels: tuple[str, ...]) -> None:
    (question,) = parse_label_config(config(limits)).questions
    assert question == Number("n", "t", labels)
    assert from_dict(to_dict(question)) == question


@pytest.mark.parametrize(
    "limits",
    ["", 'min="0"', 'min="0" max="1000"', 'min="3" max="1"', 'min="0" max="9" step="0"', 'min="x" max="1e999"'],
)
def test_where_the_numbers_cant_be_listed_it_is_left_empty(limits: str) -> None:
    found = parse_label_config(config(limits))
    assert found.questions == ()
    assert "min, max and step" in found.unsupported["n"]


def test_numbers_are_written_as_numbers_and_read_whatever_they_are() -> None:
    questions = parse_label_config(config('min="0" max="2" step="0.5"')).questions
    for label, number in (("2", 2), ("0.5", 0.5)):
        (item,) = format_result(Suggestion({"n": (label,)}), questions)
        assert item == {"from_name": "n", "to_name": "t", "type": "number", "value": {"number": number}}
        assert parse_answers([item]) == {"n": (label,)}
    odd = [7, 0.75, "2", True, None, [1], 10**400]
    read = [parse_answers([{"from_name": "n", "type": "number", "value": {"number": value}}]) for value in odd]
    assert [questions[0].read(answers.get("n", ())) for answers in read] == [()] * len(odd)


def test_the_median_is_the_answer_and_being_near_counts() -> None:
    (question,) = parse_label_config(config('min="10" max="14"')).questions
    posteriors = {"n": np.array([[0.4, 0.0, 0.25, 0.35, 0.0], [np.nan] * 5])}
    assert question.answers(posteriors) == [("12",), ()]
    gold = gold_of([question], [[{"n": ("13",)}], [{"n": ("10",)}]])
    assert gold["n"].tolist() == [3, 0]
    assert question.figures(posteriors, gold) == {"mean_absolute_error": 1.0}
    assert [question.label_of(said) for said in (12, 12.0, "12", 12.5, None)] == ["12", "12", "12", "12.5", None]
