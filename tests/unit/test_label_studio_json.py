"""Label configs, answers and predictions in Label Studio's shapes."""

from typing import Any

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from backend.adapters.label_studio_json import (
    format_prediction,
    normal_time,
    parse_answers,
    parse_label_config,
    parse_origins,
    parse_project,
    parse_task,
    project_uid,
)
from backend.domain.questions import Question
from backend.domain.suggestions import Suggestion
from backend.errors import BadRequest
from backend.ports import Prediction

CONFIG = """<View>
  <Choices name="topic" toName="doc" choice="multiple">
    <Choice value="Food"><Choice value="Apple" alias="ap"/><Choice value="Pear"/></Choice>
    <Choice value="Sport"/>
  </Choices>
  <HyperText name="doc" value="$html"/>
  <Rating name="stars" toName="doc" maxRating="4"/>
  <Taxonomy name="kind" toName="doc">
    <Choice value="Animal"><Choice value="Cat"/></Choice><Choice value="Plant"/>
  </Taxonomy>
  <Choices name="tone" toName="doc"><Choice value="Warm"/><Choice value="Cold"/></Choices>
  <Choices name="dynamic" toName="doc" value="$options"/>
  <Choices name="each" toName="doc" perRegion="true"><Choice value="x"/></Choices>
  <Labels name="entities" toName="doc"><Label value="PER"/></Labels>
  <TextArea name="why" toName="doc"/>
  <Header value="no question"/>
</View>"""


def questions() -> dict[str, Question]:
    return {question.name: question for question in parse_label_config(CONFIG).questions}


def test_finds_every_question_it_can_answer_in_order() -> None:
    assert list(questions()) == ["topic", "stars", "kind", "tone"]
    assert questions()["topic"].labels == ("ap", "Pear", "Sport")
    assert questions()["topic"].multiple
    assert questions()["stars"].labels == ("1", "2", "3", "4")
    assert questions()["kind"].labels == ("Animal", "Animal / Cat", "Plant")
    assert not questions()["tone"].multiple


@pytest.mark.parametrize("top", ["abc", "-3", "1.5", "0", "²", "9" * 5000])
def test_a_rating_without_a_usable_top_is_left_empty(top: str) -> None:
    config = parse_label_config(f'<View><Rating name="r" toName="t" maxRating="{top}"/></View>')
    assert config.questions == ()
    assert "maxRating" in config.unsupported["r"]


def test_names_what_it_leaves_empty_with_a_reason() -> None:
    assert set(parse_label_config(CONFIG).unsupported) == {"dynamic", "each", "entities", "why"}
    assert "Labels" in parse_label_config(CONFIG).unsupported["entities"]


@pytest.mark.parametrize(
    "control",
    [
        '<Choices name="c" toName="t" perItem="true"><Choice value="a"/></Choices>',
        '<Taxonomy name="c" toName="t" labeling="true"><Choice value="a"/></Taxonomy>',
        '<Choices name="c" toName="t"><Choice value="x"><Choice value="a"/></Choice><Choice value="a"/></Choices>',
    ],
)
def test_a_control_we_would_answer_wrongly_is_left_empty(control: str) -> None:
    config = parse_label_config(f"<View>{control}</View>")
    assert config.questions == ()
    assert config.unsupported["c"]


@pytest.mark.parametrize("xml", ["", "<View>", "not xml", '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>'])
def test_a_broken_config_is_explained(xml: str) -> None:
    with pytest.raises(BadRequest, match="label config"):
        parse_label_config(xml)


def test_what_we_format_is_what_label_studio_accepts_and_we_read_again() -> None:
    answers = {"topic": ("ap", "Sport"), "stars": ("3",), "kind": ("Animal / Cat", "Plant"), "tone": ("Cold",)}
    suggestion = Suggestion(answers, 0.7, {}, {})
    body = format_prediction(Prediction(5, suggestion, 0.7), "v3", list(questions().values()))
    assert (
        LabelInterface(CONFIG).validate_prediction(
            {"result": body["result"], "score": body["score"]}, return_errors=True
        )
        == []
    )
    assert parse_answers(body["result"]) == answers
    assert (body["task"], body["score"], body["model_version"]) == (5, 0.7, "v3")


def test_an_abstention_is_an_empty_result() -> None:
    body = format_prediction(Prediction(5, Suggestion(), 0.0), "v3", list(questions().values()))
    assert body["result"] == []


def test_reads_annotations_of_any_shape_without_losing_labels() -> None:
    result: list[dict[str, Any]] = [
        {"from_name": "topic", "type": "choices", "value": {"choices": ["ap"]}},
        {"from_name": "topic", "type": "choices", "value": {"choices": ["Sport", "ap"]}},
        {"from_name": "entities", "type": "labels", "value": {"start": 0, "end": 2, "labels": ["PER"]}},
        {"type": "relation", "from_id": "a"},
        {"from_name": "stars", "value": {"rating": 2}},
    ]
    assert parse_answers(result) == {"topic": ("ap", "Sport"), "stars": ("2",)}


def test_an_answer_that_came_from_a_suggestion_is_told_from_one_that_didnt() -> None:
    def item(name: str, origin: str | None) -> dict[str, Any]:
        return {"from_name": name, "value": {"choices": ["ap"]}} | ({"origin": origin} if origin else {})

    result = [
        item("accepted", "prediction"),
        item("changed", "prediction-changed"),
        item("by hand", "manual"),
        item("imported", None),
        *(item("one more region", origin) for origin in ("prediction", "manual")),
        {"type": "relation", "from_id": "a", "origin": "prediction"},
    ]
    assert parse_origins(result) == {"accepted": "prediction", "changed": "prediction-changed"} | {
        "one more region": "prediction-changed"
    }


def test_reads_a_task_as_label_studio_sends_it() -> None:
    item = {
        "id": 3,
        "data": {"text": "x"},
        "updated_at": "2026-11-21T05:09:53.573332Z",
        "is_labeled": True,
        "annotations": [
            {"id": 1, "result": [], "completed_by": 7, "was_cancelled": True, "updated_at": "2026-11-21T05:09:53Z"}
        ],
    }
    mirrored = parse_task(item)
    assert not mirrored.task.is_open
    assert mirrored.annotations[0].skipped
    assert not mirrored.annotations[0].teaches
    assert mirrored.annotations[0].annotator_id == 7


def test_times_order_as_text() -> None:
    whole, later, other_zone = "2026-11-21T05:09:53Z", "2026-11-21T05:09:53.000001Z", "2026-11-21T07:09:54+02:00"
    assert normal_time(whole) < normal_time(later) < normal_time(other_zone)


def test_uid_is_label_studios() -> None:
    assert project_uid({"id": 12, "created_at": "2026-11-21T05:09:53.248298Z"}) == "12.1795237793"
    with pytest.raises(BadRequest, match="created_at"):
        project_uid({"id": 12})


def test_tells_what_annotators_see_of_a_task_and_of_the_labels() -> None:
    config = parse_label_config("""<View>
      <Header value="By $author.name in $year, at $$5"/>
      <Text name="text" value="$text"/><Image name="photo" value="$photo"/><Audio name="sound" value="$sound"/>
      <Text name="page" value="$page" valueType="url"/>
      <Choices name="tone" toName="text"><Choice value="Warm words" alias="warm" hint="praise, thanks"/>
        <Choice value="Cold" hint="blame"/><Choice value="None"/></Choices>
      <Choices name="dynamic" toName="text" value="$options"/>
    </View>""")
    assert config.shown.texts == ("author", "year", "text")
    assert config.shown.images == ("photo",)
    assert config.shown.other == {"sound": "Audio", "page": "Text"}
    assert config.meanings["tone"] == {"warm": "Warm words: praise, thanks", "Cold": "blame"}


def test_reads_instructions_as_text() -> None:
    body = {"id": 3, "created_at": "2026-01-01T00:00:00Z", "expert_instruction": "<p>Be <b>fair</b> &amp; quick</p>"}
    assert parse_project(body).instructions == "Be  fair  & quick"
    assert parse_project(body | {"expert_instruction": "a &amp; b"}).instructions == "a &amp; b"
    assert parse_project(body | {"expert_instruction": None}).instructions == ""


@pytest.mark.parametrize(("sent", "read"), [(2.5, 2.5), (3, 3.0), (None, None), (-1, None), ("soon", None)])
def test_how_long_a_form_was_open_is_read_if_it_is_said(sent: object, read: float | None) -> None:
    item = {"id": 1, "annotations": [{"id": 2, "result": [], "lead_time": sent}]}
    assert parse_task(item).annotations[0].lead_time_s == read
    del item["annotations"][0]["lead_time"]  # type: ignore[index]
    assert parse_task(item).annotations[0].lead_time_s is None


def nested(depth: int, tag: str = '<Choice value="a">') -> str:
    return f'<View><Taxonomy name="kind" toName="t">{tag * depth}{"</Choice>" * depth}</Taxonomy></View>'


@pytest.mark.parametrize("depth", [60, 3000, 200_000])
def test_a_label_config_that_is_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(BadRequest, match="nested more than 50 deep"):
        parse_label_config(nested(depth))


def test_a_taxonomy_of_forty_levels_is_read() -> None:
    (question,) = parse_label_config(nested(40)).questions
    assert len(question.labels) == 40


def test_a_label_config_with_too_many_tags_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(BadRequest, match="more than 10,010 tags"):
        parse_label_config("<View>" + "<a/>" * 1_000_000 + "</View>", max_labels=10)


@pytest.mark.parametrize(
    "xml",
    [
        '<!DOCTYPE v [<!ENTITY a "tortoise">]><View>&a;</View>',
        '<!DOCTYPE v [<!ENTITY a "tortoise"><!ENTITY b "&a;&a;&a;">]><View>&b;</View>',
        '<!DOCTYPE v [<!ENTITY % a SYSTEM "file:///tortoise">%a;]><View/>',
        '<!DOCTYPE v SYSTEM "http://tortoise/x"><View>&a;</View>',
        "<View>&a;</View>",
        "<View>\ud800</View>",
        "<View>\x00</View>",
        '<View a="1" a="2"/>',
        "",
        "\ufeff",
        '<?xml version="1.0" encoding="utf-7',
    ],
)
def test_a_label_config_that_is_no_plain_xml_is_refused_without_its_declarations(xml: str) -> None:
    with pytest.raises(BadRequest, match="The label config can't be used") as refused:
        parse_label_config(xml)
    assert "tortoise" not in str(refused.value)


def test_controls_with_one_name_are_left_empty() -> None:
    choices = '<Choices name="a" toName="t"><Choice value="x"/><Choice value="y"/></Choices>'
    config = parse_label_config(f'<View>{choices}<Rating name="a" toName="t"/><Rating name="b" toName="t"/></View>')
    assert [question.name for question in config.questions] == ["b"]
    assert "rename" in config.unsupported["a"]


@pytest.mark.parametrize(
    "choices",
    [
        '<Choice value="A / B"/><Choice value="A"><Choice value="B"/></Choice>',
        '<Choice value="A"><Choice value="B / C"/></Choice><Choice value="A / B"><Choice value="C"/></Choice>',
    ],
)
def test_a_taxonomy_in_which_two_paths_read_alike_is_left_empty(choices: str) -> None:
    config = parse_label_config(f'<View><Taxonomy name="kind" toName="t">{choices}</Taxonomy></View>')
    assert "same name" in config.unsupported["kind"]


@pytest.mark.parametrize("choices", ['<View><Choice value="A"/></View>', '<Choice><Choice value="A"/></Choice>'])
def test_a_taxonomy_whose_labels_have_no_path_is_left_empty(choices: str) -> None:
    config = parse_label_config(f'<View><Taxonomy name="kind" toName="t">{choices}</Taxonomy></View>')
    assert config.unsupported == {"kind": "it has no labels"}


def test_more_exclusive_labels_than_a_vote_can_name_are_left_empty() -> None:
    choices = "".join(f'<Choice value="{number}"/>' for number in range(32_768))
    for attributes, known in (('choice="multiple"', True), ("", False)):
        config = parse_label_config(f'<View><Choices name="code" toName="t" {attributes}>{choices}</Choices></View>')
        assert bool(config.questions) is known
    assert "32,767" in config.unsupported["code"]


def test_a_long_name_above_many_labels_is_not_copied_for_each_of_them() -> None:
    leaves = "".join(f'<Choice value="{number}"/>' for number in range(1000))
    above = f'<Choice value="{"x" * 1_000_000}">{leaves}</Choice>'
    config = parse_label_config(f'<View><Taxonomy name="kind" toName="t">{above}</Taxonomy></View>')
    assert "characters" in config.unsupported["kind"]


@pytest.mark.parametrize(
    "result",
    [
        ["x", 1, None, []],
        {"from_name": "a"},
        "text",
        [{"from_name": "a", "value": {"rating": float("inf")}}],
        [{"from_name": "a", "value": {"rating": float("nan")}}],
        [{"from_name": ["a"], "value": {"choices": ["x"]}, "origin": "prediction"}],
    ],
)
def test_an_annotation_that_is_none_of_ours_says_nothing_and_stops_nothing(result: Any) -> None:
    assert parse_answers(result) == {}
    assert parse_origins(result) == {}


def test_instructions_with_many_open_brackets_are_read_at_once() -> None:
    item = {"id": 1, "created_at": "2026-01-01T00:00:00Z", "expert_instruction": "<" * 300_000}
    assert parse_project(item).instructions
