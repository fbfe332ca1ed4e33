"""What becomes of a label config in the loop: hidden questions, configs without a question, answers that fit none."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.bootstrap import App
from backend.domain.corpus import Corpus
from backend.domain.policy import LlmPolicy
from backend.domain.reports.status import ON_AUDIT, Accuracy, QuestionProgress, Status
from backend.domain.unmatched import told, unmatched_answers
from backend.entrypoints.cli.status import status_line
from backend.entrypoints.cli.versions import print_versions
from backend.ports import Job
from backend.ports.llm import LlmPorts
from backend.workflows.config_notes import left_empty, why_content_is_ignored, why_nothing
from backend.workflows.llm.view import LlmProject
from backend.workflows.measure.status import status_of
from tests.unit.house import CONFIG, House

WHY = """<Choices name="why" toName="text" visibleWhen="choice-selected" whenTagName="sentiment"
whenChoiceValue="Positive"><Choice value="plot"/><Choice value="cast"/></Choices></View>"""
HIDING = CONFIG.replace("</View>", WHY)
NESTED = CONFIG.replace(
    '<Choice value="Negative"/>',
    '<Choice value="Negative"><Choice value="Awful"/><Choice value="Bad"/></Choice>',
).replace('toName="text"', 'toName="text" allowNested="true"')
TEXT_ONLY = '<View><Text name="text" value="$text"/><TextArea name="why" toName="text"/></View>'


def reconfigure(house: House, label_config: str) -> None:
    house.fake.info = replace(house.fake.info, label_config=label_config)


def status(house: House) -> Status:
    record = house.deps.database.project(house.key)
    assert record is not None
    return status_of(house.deps, record)


def test_a_hidden_question_is_neither_suggested_nor_decides_the_order(house: House) -> None:
    reconfigure(house, HIDING)
    for number, task_id in enumerate(house.task_ids[:16]):
        positive = house.gold(task_id) == "Positive"
        answers = {"sentiment": (house.gold(task_id),)} | (
            {"why": (("plot", "cast")[number % 4 == 0],)} if positive else {}
        )
        house.label_studio.annotate(house.project, task_id, answers)
    house.learn()
    number = house.deps.versions.current(house.key)
    predictions = house.deps.versions.predictions(house.key, number)
    for item in predictions:
        shown = item.suggestion.answers["sentiment"] == ("Positive",)
        assert ("why" in item.suggestion.answers) == shown
        assert ("why" in item.suggestion.per_question) == shown
    negative = [item for item in predictions if item.suggestion.answers["sentiment"] == ("Negative",)]
    assert negative
    assert all(item.suggestion.score == item.suggestion.per_question["sentiment"] for item in negative)


def test_an_llm_is_asked_a_question_only_where_it_is_shown(house: House) -> None:
    reconfigure(house, HIDING)
    house.annotate(house.task_ids[:8])
    house.learn()
    config = parse_label_config(HIDING)
    items = house.deps.database.tasks(house.key)
    view = LlmProject(house.deps, parts_of_none(), LlmPolicy(), "", Corpus(house.key, config, items))
    rows = np.arange(len(items), dtype=np.int64)
    suggested = {item.task_id: item.suggestion.answers for item in current(house)}
    wanted = [
        row
        for row, item in enumerate(items)
        if (house.gold(item.task.id) if row < 8 else suggested[item.task.id]["sentiment"][0]) == "Positive"
    ]
    assert view.shown("why", rows).tolist() == wanted
    assert view.shown("sentiment", rows).tolist() == rows.tolist()
    assert 0 < len(wanted) < len(rows)


def parts_of_none() -> LlmPorts:
    """Nothing is asked here."""
    return LlmPorts.__new__(LlmPorts)


def current(house: House):  # type: ignore[no-untyped-def]
    return house.deps.versions.predictions(house.key, house.deps.versions.current(house.key))


def test_nested_choices_are_learned_and_pushed_as_paths(house: House) -> None:
    reconfigure(house, NESTED)
    for number, task_id in enumerate(house.task_ids[:20]):
        negative = ("Negative / Awful", ("Negative", "Negative / Awful", "Negative / Bad"))[number % 4 == 1]
        answer = (
            ("Positive",)
            if house.gold(task_id) == "Positive"
            else (negative,)
            if isinstance(negative, str)
            else negative
        )
        house.label_studio.annotate(house.project, task_id, {"sentiment": answer})
    house.learn()
    shown = {
        json.dumps(entry.result[0]["value"]["choices"])
        for stored in house.fake.predictions.values()
        for entry in stored
    }
    assert shown <= {
        '[["Positive"]]',
        '[["Negative", "Awful"]]',
        '[["Negative"], ["Negative", "Awful"], ["Negative", "Bad"]]',
    }
    assert len(shown) > 1
    assert not status(house).unmatched


def test_a_config_without_a_question_trains_nothing_until_it_has_one(house: House) -> None:
    reconfigure(house, TEXT_ONLY)
    house.reconcile()
    house.learn()
    assert Job.TRAIN not in house.queue.take()
    assert not house.deps.database.versions(house.key)
    assert not house.fake.tabs
    line = status_line(status(house))
    assert "nothing can be suggested (why: <TextArea> can't be suggested yet). Add Choices" in line
    assert "retrain" not in line
    reconfigure(house, CONFIG)
    house.reconcile()
    assert Job.TRAIN in house.queue.take()
    house.learn()
    assert house.deps.versions.current(house.key) == 1
    reconfigure(house, TEXT_ONLY)
    house.reconcile()
    assert Job.TRAIN not in house.queue.take()


def test_why_nothing_can_be_suggested_is_said_with_what_helps() -> None:
    assert "has no question" in why_nothing(parse_label_config("<View/>"))
    assert not why_nothing(parse_label_config(CONFIG))
    many = "".join(f'<TextArea name="t{number}" toName="text"/>' for number in range(167))
    said = left_empty(parse_label_config(f"<View>{many}</View>"))
    assert said == "t0, t1, t2, t3, t4 and 162 more: <TextArea> can't be suggested yet"


@pytest.mark.parametrize(
    ("objects", "ignored"),
    [
        ('<Text name="t" value="$text"/><Image name="i" value="$photo"/>', ""),
        ('<Image name="i" value="$photo"/>', "photo (Image)"),
        ('<audio name="i" value="$sound"/>', "sound (audio)"),
        ('<Header value="Is it good?"/><Video name="i" value="$film"/>', "film (Video)"),
        ("", ""),
    ],
)
def test_content_that_nothing_reads_is_named(house: House, objects: str, ignored: str) -> None:
    config = parse_label_config(f'<View>{objects}<Choices name="q" toName="i"><Choice value="a"/></Choices></View>')
    said = why_content_is_ignored(house.deps, house.key, config)
    assert ignored in said
    assert bool(said) is bool(ignored)
    assert ("EMBEDDING_MODEL" in said) is ("Image" in said)


def test_answers_that_are_no_label_are_counted_with_an_example(house: House) -> None:
    house.annotate(house.task_ids[:4])
    for task_id in house.task_ids[4:7]:
        house.label_studio.annotate(house.project, task_id, {"sentiment": ("Mixed\x1b[31m" + "x" * 500,)})
    house.label_studio.annotate(
        house.project, house.task_ids[7], {"sentiment": ("Positive", "Negative"), "mood": ("good",)}
    )
    house.learn()
    found = status(house)
    assert [(item.question, item.n, item.known) for item in found.unmatched] == [
        ("sentiment", 4, True),
        ("mood", 1, False),
    ]
    assert "5 answers match no label and teach nothing (sentiment: 4, for example 'Mixed" in status_line(found)
    assert "mood, which the label config doesn't have: 1, for example 'good'" in status_line(found)
    assert "\x1b" not in status_line(found)
    assert len(found.unmatched[0].example) <= 60
    assert asdict(found.unmatched[1]) == {
        "question": "mood",
        "n": 1,
        "example": "good",
        "known": False,
    }


def test_what_people_say_in_controls_that_are_left_empty_is_none_of_ours() -> None:
    config = parse_label_config(
        '<View><Choices name="c" toName="t" perRegion="true"><Choice value="a"/></Choices><Repeater on="$items">'
        '<Choices name="rel_{{idx}}" toName="t"><Choice value="a"/></Choices></Repeater>'
        '<Rating name="r" toName="t"/></View>'
    )
    said: list[tuple[Mapping[str, object], Mapping[str, tuple[str, ...]]]]
    said = [({}, {"c": ("a",), "rel_0": ("a",), "rel_12": ("a",), "r": ("4",)})]
    assert unmatched_answers(config.questions, config.unsupported, said) == ()
    assert told(()) == ""
    (one,) = unmatched_answers(config.questions, config.unsupported, [({}, {"r": ("4.5",)})])
    assert told([one]) == "1 answer matches no label and teaches nothing (r: 1, for example '4.5')"


def test_the_status_of_many_questions_stays_a_line(house: House) -> None:
    house.reconcile()
    names = [f"question {number}" for number in range(167)]
    accuracies = [Accuracy(name, n / 200, (0.0, 1.0), ON_AUDIT, 10, 10) for n, name in enumerate(names)]
    accuracies[0] = replace(accuracies[0], accuracy=None, interval=None)
    many = replace(
        status(house),
        accuracies=tuple(accuracies),
        progress=tuple(QuestionProgress(name) for name in names),
    )
    line = status_line(many)
    assert len(line) < 1000
    assert "167 questions, accuracy known of 166" in line
    assert "question 1: accuracy 0.01" in line
    assert "question 6:" not in line


def test_the_versions_of_many_questions_name_the_worst(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    asked = "".join(
        f'<Choices name="q{number}" toName="text"><Choice value="a"/><Choice value="b"/></Choices>'
        for number in range(7)
    )
    reconfigure(house, f'<View><Text name="text" value="$text"/>{asked}</View>')
    house.label_studio.annotate(house.project, house.task_ids[0], {"q6": ("a",)})
    house.learn()
    print_versions(cast("App", SimpleNamespace(versions=house.deps.versions, database=house.deps.database)), house.key)
    shown = capsys.readouterr().out
    assert "these or" in shown
    assert [f" q{number} " in shown for number in (0, 4, 5)] == [True, True, False]
