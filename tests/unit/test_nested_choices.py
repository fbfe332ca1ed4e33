"""Nested choices: labels, and the shapes in which Label Studio saves and selects them (seen in 1.23.2's form)."""

from typing import Any

import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import format_result, parse_answers
from backend.domain.model.gold import gold_of
from backend.domain.questions import Question
from backend.domain.suggestions import Suggestion

NESTED = """<Choice value="Neg"><Choice value="Awful"/><Choice value="Bad" alias="bd"/></Choice>
<Choice value="Pos"><Choice value="Good"/></Choice><Choice value="Meh"/>"""
SAME_LEAF = """<Choice value="A"><Choice value="x"/><Choice value="y"/></Choice>
<Choice value="B"><Choice value="x"/><Choice value="z"/></Choice>"""
DEEP = """<Choice value="A"><Choice value="B"><Choice value="x"/><Choice value="y"/></Choice></Choice>
<Choice value="C"/>"""


def asked(choices: str, attributes: str = "") -> Question:
    config = f'<View><Text name="t" value="$t"/><Choices name="c" toName="t" {attributes}>{choices}</Choices></View>'
    (question,) = parse_label_config(config).questions
    return question


def item(*choices: Any) -> list[dict[str, Any]]:
    return [{"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": list(choices)}}]


def read(question: Question, *choices: Any) -> tuple[str, ...]:
    return question.read(parse_answers(item(*choices)).get("c", ()))


def written(question: Question, *labels: str) -> Any:
    (found,) = format_result(Suggestion({"c": labels}), [question])
    return found["value"]["choices"]


@pytest.mark.parametrize(
    "attributes", ["", 'allowNested="false"', 'choice="multiple"', 'layout="select"', 'layout="inline"']
)
def test_without_allow_nested_only_what_is_shown_is_a_label(attributes: str) -> None:
    question = asked(NESTED, attributes)
    assert question.labels == ("Neg", "Pos", "Meh")
    assert written(question, "Neg") == ["Neg"]
    assert read(question, "Neg") == ("Neg",)
    assert read(question, ["Neg"]) == ("Neg",)
    assert read(question, "Awful") == ()


@pytest.mark.parametrize(
    ("choices", "label", "saved"),
    [
        ('<Choice value="Good"/><Choice value="Bad" alias="b"/>', "Good", [["Good"]]),
        ('<Choice value="Good"/><Choice value="Bad" alias="b"/>', "b", [["b"]]),
        (NESTED, "Neg / Awful", [["Neg", "Awful"]]),
        (NESTED, "Neg / bd", [["Neg", "bd"]]),
        (NESTED, "Neg", [["Neg"], ["Neg", "Awful"], ["Neg", "bd"]]),
        (NESTED, "Pos / Good", [["Pos"], ["Pos", "Good"]]),
        (NESTED, "Meh", [["Meh"]]),
        (SAME_LEAF, "B / x", [["B", "x"]]),
        (DEEP, "A / B / x", [["A", "B", "x"]]),
        (DEEP, "A / B", [["A"], ["A", "B"], ["A", "B", "x"], ["A", "B", "y"]]),
    ],
)
def test_one_answer_is_written_and_read_as_the_form_saves_it(choices: str, label: str, saved: list[list[str]]) -> None:
    for attributes in ("", 'choice="single-radio"', 'layout="select"', 'layout="inline"'):
        question = asked(choices, f'allowNested="true" {attributes}')
        assert label in question.labels
        assert written(question, label) == saved
        assert read(question, *saved) == (label,)


def test_labels_are_what_can_be_told_apart() -> None:
    assert asked(NESTED, 'allowNested="true"').labels == ("Neg", "Neg / Awful", "Neg / bd", "Pos / Good", "Meh")
    assert asked(DEEP, 'allowNested="true"').labels == ("A / B", "A / B / x", "A / B / y", "C")
    assert asked(NESTED, 'allowNested="true" choice="multiple"').labels == (
        "Neg / Awful",
        "Neg / bd",
        "Pos / Good",
        "Meh",
    )


def test_several_answers_are_leaves_and_what_they_fill() -> None:
    question = asked(NESTED, 'allowNested="true" choice="multiple"')
    both = [["Neg"], ["Neg", "Awful"], ["Neg", "bd"], ["Meh"]]
    assert written(question, "Neg / Awful", "Neg / bd", "Meh") == both
    assert read(question, *both) == ("Neg / Awful", "Neg / bd", "Meh")
    assert written(question, "Neg / Awful", "Meh") == [["Neg", "Awful"], ["Meh"]]


def test_a_choice_that_stands_alone_means_all_below_it() -> None:
    """As the form saved it before `allowNested` was set, or as somebody wrote it through the API."""
    assert read(asked(NESTED, 'allowNested="true"'), "Neg") == ("Neg",)
    assert read(asked(NESTED, 'allowNested="true"'), ["Pos"]) == ("Pos / Good",)
    assert read(asked(NESTED, 'allowNested="true" choice="multiple"'), ["Neg"]) == ("Neg / Awful", "Neg / bd")
    assert read(asked(NESTED, 'allowNested="true"'), ["Neg"], ["Neg", "Awful"]) == ("Neg / Awful",)


def test_people_who_choose_a_choice_with_others_below_it_teach_that() -> None:
    question = asked(NESTED, 'allowNested="true"')
    answers = [
        parse_answers(item(["Neg"], ["Neg", "Awful"], ["Neg", "bd"])),
        parse_answers(item(["Neg", "Awful"])),
        parse_answers(item(["Neg", "Awful"], ["Meh"])),
        parse_answers(item("Awful")),
    ]
    assert gold_of([question], [[answer] for answer in answers])["c"].tolist() == [0, 1, -1, -1]


def test_a_value_has_names_for_the_bulk_import_and_paths_for_the_form() -> None:
    from label_studio_sdk.label_interface.interface import LabelInterface

    for attributes in ('allowNested="true"', 'allowNested="true" choice="multiple"'):
        question = asked(NESTED, attributes)
        config = f'<View><Text name="t" value="$t"/><Choices name="c" toName="t" {attributes}>{NESTED}</Choices></View>'
        result = format_result(Suggestion({"c": ("Neg / Awful",)}), [question])
        assert LabelInterface(config).validate_prediction({"result": result, "score": 0.5}, return_errors=True) == []


@pytest.mark.parametrize(
    "choices", ['<Choice value="A / B"/><Choice value="A"><Choice value="B"/><Choice value="C"/></Choice>']
)
def test_paths_that_read_alike_leave_the_control_empty(choices: str) -> None:
    config = f'<View><Choices name="c" toName="t" allowNested="true">{choices}</Choices></View>'
    assert "same name" in parse_label_config(config).unsupported["c"]


def test_choices_may_be_grouped_and_written_in_any_case() -> None:
    grouped = asked(
        '<Header value="h"/><view><choice value="a"/><CHOICE VALUE="b">  </CHOICE></view><Choice>c &amp; d</Choice>'
    )
    assert grouped.labels == ("a", "b", "c &amp; d")
