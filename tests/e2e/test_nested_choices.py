"""Nested choices in Label Studio's form: what we push in bulk is selected, and saved as we read it."""

from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import parse_answers
from backend.domain.suggestions import Suggestion
from backend.ports import Prediction
from tests.conftest import Demo, wait_for
from tests.e2e.form import open_task, saved_result

NESTED = """<Choice value="Neg"><Choice value="Awful"/><Choice value="Bad" alias="bd"/></Choice>
<Choice value="Pos"><Choice value="Good"/></Choice><Choice value="Meh"/>"""
TWICE = """<Choice value="A"><Choice value="same"/><Choice value="a"/></Choice>
<Choice value="B"><Choice value="same"/><Choice value="b"/></Choice>"""
CONFIG = f"""<View><Text name="text" value="$text"/>
<Choices name="one" toName="text" allowNested="true">{NESTED}</Choices>
<Choices name="some" toName="text" allowNested="true" choice="multiple">{NESTED}</Choices>
<Choices name="outer" toName="text">{NESTED}</Choices>
<Choices name="flat" toName="text" allowNested="true" layout="inline"><Choice value="x"/><Choice value="y"/></Choices>
<Choices name="list" toName="text" layout="select"><Choice value="u"/><Choice value="v"/></Choices>
<Choices name="twice" toName="text" allowNested="true">{TWICE}</Choices>
<Choices name="picks" toName="text" allowNested="true" choice="multiple" layout="select">{TWICE}</Choices></View>"""
PUSHED: list[dict[str, tuple[str, ...]]] = [
    {
        "one": ("Neg / bd",),
        "some": ("Neg / Awful", "Meh"),
        "outer": ("Neg",),
        "flat": ("x",),
        "list": ("v",),
        "twice": ("B / same",),
        "picks": ("A / same", "B / b"),
    },
    {
        "one": ("Neg",),
        "some": ("Neg / Awful", "Neg / bd"),
        "outer": ("Meh",),
        "flat": ("y",),
        "list": ("u",),
        "twice": ("A",),
        "picks": ("B / same",),
    },
    {
        "one": ("Pos / Good",),
        "some": ("Pos / Good",),
        "outer": ("Pos",),
        "flat": ("y",),
        "list": ("u",),
        "twice": ("A / same",),
        "picks": ("A / same", "B / same"),
    },
]


def choose(choice: Locator) -> None:
    def is_chosen() -> bool:
        if not choice.is_checked():
            choice.click(force=True)
        return choice.is_checked()

    wait_for(is_chosen, 30, "a chosen label", each_s=1.0)


def submit(page: Page, demo: Demo, project: int, task_id: int, *clicked: str) -> list[dict[str, Any]]:
    """Open a task, choose something, and save; returns the `result` of the annotation."""
    button = open_task(page, demo, project, task_id)
    page.wait_for_selector("input[name='Meh']")
    for name in clicked:
        # A form that is still being drawn forgets the click.
        choose(page.locator(f"input[name='{name}']").first)
    button.click()
    return saved_result(demo, task_id)


@pytest.mark.timeout(300)
def test_nested_choices_are_selected_and_saved_as_they_were_pushed(demo: Demo, page: Page) -> None:
    project, task_ids = demo.new_project(CONFIG, [{"text": f"text {number}"} for number in range(len(PUSHED) + 1)])
    questions = parse_label_config(CONFIG).questions
    predictions = [
        Prediction(task_id, Suggestion(answers), 0.5) for task_id, answers in zip(task_ids, PUSHED, strict=False)
    ]
    label_studio = LabelStudioApi(demo.url, demo.state["api_key"])
    assert label_studio.push_all(project, "v1", predictions, questions) == len(PUSHED)
    label_studio.update_project(project, {"model_version": "v1"})
    for task_id, answers in zip(task_ids, PUSHED, strict=False):
        saved = submit(page, demo, project, task_id)
        assert {item["from_name"]: item["origin"] for item in saved} == dict.fromkeys(answers, "prediction")
        said = parse_answers(saved)
        assert {question.name: question.read(said[question.name]) for question in questions} == answers
    by_hand = parse_answers(submit(page, demo, project, task_ids[-1], "Neg"))
    assert questions[0].read(by_hand["one"]) == ("Neg",)
