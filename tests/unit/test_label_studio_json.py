"""Label configs, answers and predictions in Label Studio's shapes."""

from typing import Any

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import (
    format_prediction,
    normal_time,
    parse_answers,
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
    <Choice value="Food" alias="ap"><Choice value="Apple"/><Choice value="Pear"/></Choice>
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
    read = {"topic": ("ap", "Sport"), "entities": ('[0, 2, "PER", ""]',), "stars": ("2",)}
    assert parse_answers(result) == read


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


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([{"type": "relation", "from_id": "a"}], {}),
        ([{"from_name": ["a"], "value": {"choices": ["x"]}, "origin": "prediction"}], {}),
        ([{"from_name": "a", "value": {"start": 1, "rectanglelabels": ["PER"]}}], {}),
        ([{"from_name": "a", "value": {"rating": None}}], {}),
        (None, {}),
        (["x", 1, None], {"": ("'x'", "1", "None")}),
        ({"from_name": "a", "value": {"choices": ["x"]}}, {"a": ("x",)}),
        ("text", {"": ("'text'",)}),
        ([{"from_name": "a", "value": {"rating": float("inf")}}], {"a": ("inf",)}),
        ([{"from_name": "a", "value": {"rating": float("nan")}}], {"a": ("nan",)}),
        ([{"from_name": "a", "value": {"rating": 4.5}}], {"a": ("4.5",)}),
        ([{"from_name": "a", "value": {"rating": True}}], {"a": ("True",)}),
        ([{"from_name": "a", "value": {"rating": "4"}}], {"a": ("'4'",)}),
        ([{"from_name": "a", "value": {"rating": int("1" * 401)}}], {"a": (f"{'1' * 18}...{'1' * 19}",)}),
        ([{"from_name": "a", "value": {"choices": "Good"}}], {"a": ("'Good'",)}),
        (
            [{"from_name": "a", "value": {"choices": [["x", 1], {"y": 2}, "a\ud800"]}}],
            {"a": ("['x', 1]", "{'y': 2}", "a\ufffd")},
        ),
        ([{"from_name": "a", "value": {"taxonomy": ["x", ["y", "z"]]}}], {"a": ("x", "y / z")}),
    ],
)
def test_what_is_no_answer_is_kept_as_a_text_to_show_and_stops_nothing(result: Any, said: dict[str, Any]) -> None:
    assert parse_answers(result) == said
    assert parse_origins(result) == {}
    entry = {"id": 2, "result": result, "completed_by": "me", "lead_time": int("1" * 401)}
    (annotation,) = parse_task({"id": 1, "data": "no object", "annotations": [entry, None, 3]}).annotations
    assert annotation.answers == said
    assert (annotation.annotator_id, annotation.lead_time_s) == (None, None)


def test_instructions_with_many_open_brackets_are_read_at_once() -> None:
    item = {"id": 1, "created_at": "2026-01-01T00:00:00Z", "expert_instruction": "<" * 300_000}
    assert parse_project(item).instructions


@pytest.mark.parametrize(
    "declaration",
    ["", '<?xml version="1.0" encoding="UTF-8"?>\n', "<?xml version='1.0' encoding='utf-16' standalone='yes' ?>"],
)
def test_what_a_bulk_import_takes_is_known_with_an_xml_declaration_too(declaration: str) -> None:
    config = declaration + CONFIG
    asked = parse_label_config(config).questions
    fits = Prediction(1, Suggestion({"tone": ("Cold",)}, 0.7), 0.7)
    # A score that no import takes.
    unfit = Prediction(2, Suggestion({"tone": ("Cold",)}, 0.7), 1.7)
    assert LabelStudioApi("", "").acceptable(config, [fits, unfit], asked) == [fits]


def test_where_it_cant_be_known_what_a_bulk_import_takes_all_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("toName")

    asked = parse_label_config(CONFIG).questions
    some = [Prediction(number, Suggestion({"tone": ("Cold",)}, 0.7), 0.7) for number in range(3)]
    for method in ("__init__", "validate_prediction"):
        with monkeypatch.context() as patch:
            patch.setattr(LabelInterface, method, fail)
            assert LabelStudioApi("", "").acceptable(CONFIG, some, asked) == some
