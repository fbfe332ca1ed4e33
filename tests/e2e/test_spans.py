"""Labels on Text in Label Studio's form: what we mark is highlighted, and saved unchanged to the character."""

import pytest
from playwright.sync_api import Page

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import parse_answers
from backend.domain.suggestions import Suggestion
from backend.ports import Prediction
from tests.conftest import Demo
from tests.e2e.form import open_task, saved_result

CONFIG = """<View><Labels name="ner" toName="text"><Label value="Person" alias="PER"/><Label value="ORG"/></Labels>
<Text name="text" value="$doc.body"/></View>"""
TEXT = "\U0001f600 e\u0301ric\r\n\tand\n  Bob \U0001f468\u200d\U0001f469\u200d\U0001f467 meet ACME &amp; <b>Co</b>."
MARKED = {
    "e\u0301ric": "PER",
    "ric\r\n\tand\n  Bob": "ORG",
    "Bob": "PER",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467": "PER",
    "ACME &amp; <b>Co</b>": "ORG",
}


@pytest.mark.timeout(300)
def test_spans_are_highlighted_and_saved_as_they_were_pushed(demo: Demo, page: Page) -> None:
    data: dict[str, object] = {"doc": {"body": TEXT}}
    project, (pushed_alone, pushed_together) = demo.new_project(CONFIG, [data, data])
    (question,) = parse_label_config(CONFIG).spans
    places = [(TEXT.index(name), TEXT.index(name) + len(name), label) for name, label in MARKED.items()]
    answer, scores = question.answer_of(dict.fromkeys(places, 0.75), TEXT)
    suggestion = Suggestion({"ner": answer}, 0.5, scores={"ner": scores})
    predictions = [Prediction(task_id, suggestion, 0.5) for task_id in (pushed_alone, pushed_together)]
    label_studio = LabelStudioApi(demo.url, demo.state["api_key"])
    assert label_studio.acceptable(CONFIG, predictions, [question]) == predictions
    label_studio.push_one("v1", predictions[0], [question])
    assert label_studio.push_all(project, "v1", predictions[1:], [question]) == 1
    label_studio.update_project(project, {"model_version": "v1"})
    for task_id in (pushed_alone, pushed_together):
        saved = submitted(page, demo, project, task_id)
        read = parse_answers(saved)
        assert set(read["ner"]) == set(answer)
        assert question.lost(read["ner"], data) == ()
        assert {tuple(mark[:3]) for mark in question.marks(read["ner"], data)} == set(places)
        assert {(item["origin"], item["score"]) for item in saved} == {("prediction", 0.75)}


def submitted(page: Page, demo: Demo, project: int, task_id: int) -> list[dict[str, object]]:
    """Open a task, look at what is highlighted, and save it unchanged; returns the `result` of the annotation."""
    button = open_task(page, demo, project, task_id)
    shown = page.locator(".htx-highlight")
    shown.first.wait_for()
    assert {"Bob", "ACME &amp; <b>Co</b>"} <= set(shown.all_text_contents())
    button.click()
    return saved_result(demo, task_id)


DIALOGUE = """<View><ParagraphLabels name="ner" toName="talk"><Label value="PER"/><Label value="ORG"/></ParagraphLabels>
<Paragraphs name="talk" value="$talk" layout="dialogue" nameKey="who" textKey="said"/></View>"""
TALK = [
    {"who": "Ann", "said": "\U0001f600\U0001f600 I am\r\n\tBob, of ACME &amp; <b>Co</b>."},
    {"who": "Bob", "said": "e\u0301ric \U0001f468\u200d\U0001f469\u200d\U0001f467 and  Eve"},
]
SAID = {
    "Bob": "PER",
    "ACME &amp; <b>Co</b>": "ORG",
    "e\u0301ric": "PER",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467": "ORG",
    "Eve": "PER",
}


@pytest.mark.timeout(300)
def test_spans_of_a_dialogue_are_saved_as_they_were_pushed(demo: Demo, page: Page) -> None:
    data: dict[str, object] = {"talk": TALK}
    project, (task_id,) = demo.new_project(DIALOGUE, [data])
    (question,) = parse_label_config(DIALOGUE).spans
    text = question.text(data)
    places = [(text.index(name), text.index(name) + len(name), label) for name, label in SAID.items()]
    answer, scores = question.answer_of(dict.fromkeys(places, 0.75), text)
    label_studio = LabelStudioApi(demo.url, demo.state["api_key"])
    prediction = Prediction(task_id, Suggestion({"ner": answer}, 0.5, scores={"ner": scores}), 0.5)
    assert label_studio.acceptable(DIALOGUE, [prediction], [question]) == [prediction]
    label_studio.push_one("v1", prediction, [question])
    label_studio.update_project(project, {"model_version": "v1"})
    button = open_task(page, demo, project, task_id)
    page.get_by_text("ACME").first.wait_for()
    button.click()
    saved = saved_result(demo, task_id)
    read = parse_answers(saved)
    assert question.lost(read["ner"], data) == ()
    assert {tuple(mark[:3]) for mark in question.marks(read["ner"], data)} == set(places)
    assert {item["origin"] for item in saved} == {"prediction"}
