"""Labels on Text: from the label config and Label Studio's results to spans and back, to the character."""

import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import format_result, parse_answers
from backend.domain.label_config import LabelConfig
from backend.domain.questions import Spans, from_dict, to_dict
from backend.domain.questions.marks import Mark, mark_in, written
from backend.domain.suggestions import Suggestion

CONFIG = """<View><Labels name="ner" toName="text" maxUsages="{of_all}" granularity="word">
<Label value="Person" alias="PER"/><Label value="ORG" maxUsages="1"/></Labels>
<Text name="text" value="{value}"/><Choices name="c" toName="text"><Choice value="a"/><Choice value="b"/></Choices>
</View>"""
ODD = "\U0001f600 e\u0301ric\r\n\tBob \U0001f468\u200d\U0001f469\u200d\U0001f467 ACME\u00a0Inc."
"""An emoji, a combining mark, a line's end of Windows, a tab, a joined emoji, a space that doesn't break."""


def config(value: str = "$text", of_all: str = "") -> LabelConfig:
    return parse_label_config(CONFIG.format(value=value, of_all=of_all))


def spans(value: str = "$text", of_all: str = "") -> Spans:
    (question,) = config(value, of_all).spans
    return question


def region(start: object, end: object, *labels: str, text: str | None = None) -> dict[str, object]:
    value: dict[str, object] = {"start": start, "end": end, "labels": list(labels)}
    return {"from_name": "ner", "to_name": "text", "type": "labels", "value": value | ({"text": text} if text else {})}


def test_the_config_says_what_is_marked_and_how_often() -> None:
    question = spans()
    assert question == Spans("ner", "text", ("PER", "ORG"), field="text", most=(0, 1))
    assert from_dict(to_dict(question)) == question
    assert spans(of_all="3").most == (3, 1)
    assert [item.name for item in config().questions] == ["c"]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$text", {"text": "Bob"}),
        ("$a.b", {"a": {"b": "Bob"}}),
        ("$a.b", {"a.b": "Bob"}),
        ("$a[1].b", {"a": [0, {"b": "Bob"}]}),
    ],
)
def test_the_text_may_lie_in_other_data(value: str, data: dict[str, object]) -> None:
    assert spans(value).text(data) == "Bob"
    for odd in ({}, {"a": 3}, {"a": [1]}, {"text": 5, "a": {"b": None}}):
        assert spans(value).text(odd) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("<Text ", "<HyperText "), "<HyperText>"),
        (('name="text" value', 'name="other" value'), "no object"),
        (('value="$text"', 'value="$text" valueType="url"'), "URL"),
        (('value="$text"', 'value="$text and $more"'), "one field"),
        (('toName="text" maxUsages', 'toName="text" perRegion="true" maxUsages'), "each region"),
        (('toName="text" maxUsages', 'toName="text" value="$labels" maxUsages'), "task's data"),
        (('alias="PER"', 'alias="ORG"'), "same name"),
        (("<View>", '<View visibleWhen="choice-selected" whenTagName="c">'), "only sometimes"),
    ],
)
def test_what_cant_be_marked_is_left_empty_with_a_reason(change: tuple[str, str], reason: str) -> None:
    found = parse_label_config(CONFIG.format(value="$text", of_all="").replace(*change))
    assert found.spans == ()
    assert reason in found.unsupported["ner"]


def test_what_is_suggested_is_read_back_to_the_character() -> None:
    question, data = spans(), {"text": ODD}
    names = ("\U0001f600", "e\u0301ric", "Bob", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "ACME\u00a0Inc.")
    places = [(ODD.index(name), ODD.index(name) + len(name)) for name in names]
    chances = {(start, end, "PER"): 0.9 for start, end in places} | {(*places[1], "ORG"): 0.5}
    answer, scores = question.answer_of(chances, ODD)
    items = format_result(Suggestion({"ner": answer}, scores={"ner": scores}), [question])
    assert [item["value"]["text"] for item in items if item["value"]["labels"] == ["PER"]] == list(names)
    assert len({item["id"] for item in items}) == len(items) == 6
    assert {item["score"] for item in items} == {0.9, 0.5}
    assert parse_answers(items) == {"ner": answer}
    assert {mark[:3] for mark in question.marks(answer, data)} == set(chances)
    assert question.lost(answer, data) == ()


def test_of_a_label_that_may_be_used_once_the_surest_span_is_kept() -> None:
    answer, scores = spans().answer_of({(0, 1, "ORG"): 0.4, (2, 3, "ORG"): 0.8, (4, 5, "PER"): 0.5}, "a b c")
    assert [mark_in(part) for part in answer] == [Mark(2, 3, "ORG", "b"), Mark(4, 5, "PER", "c")]
    assert scores == (0.8, 0.5)


@pytest.mark.parametrize(
    "item",
    [
        region(0, 9, "PER"),
        region(2, 2, "PER"),
        region(3, 1, "PER"),
        region(-1, 2, "PER"),
        region(0, 3, "LOC"),
        region(0, 3, "PER", text="Rob"),
        region(0.5, 3, "PER"),
        region(None, 3, "PER"),
        {"from_name": "ner", "type": "labels", "value": {"labels": ["PER"]}},
        {"from_name": "ner", "type": "labels", "value": {"start": 0, "end": 3, "labels": "PER"}},
    ],
)
def test_a_span_that_cant_be_placed_is_left_out_and_counted(item: dict[str, object]) -> None:
    question, data = spans(), {"text": "Bob!"}
    answer = parse_answers([item, region(0, 3, "PER", text="Bob")])["ner"]
    assert question.marks(answer, data) == [Mark(0, 3, "PER", "Bob")]
    assert len(question.lost(answer, data)) == 1


def test_label_studio_takes_places_as_text_and_several_labels_in_one_region() -> None:
    answer = parse_answers([region("0", 3.0, "PER", "ORG")])["ner"]
    assert spans().marks(answer, {"text": "Bob!"}) == [Mark(0, 3, "PER", "Bob"), Mark(0, 3, "ORG", "Bob")]


@pytest.mark.parametrize("label", ["", "PER", "[", "[1, 2]", '[1, 2, 3, ""]', '{"a": 1}', '[1e99, 2, "PER", ""]'])
def test_what_is_no_span_is_read_as_none(label: str) -> None:
    assert mark_in(label) is None
    assert spans().read((label, written(Mark(0, 1, "PER")))) == (written(Mark(0, 1, "PER")),)
