"""Pairwise in Label Studio's form: what we push is selected and saved as it is, and so is what a person selects."""

import pytest
from playwright.sync_api import Page

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import parse_answers
from backend.domain.suggestions import Suggestion
from backend.ports import Prediction
from tests.conftest import Demo
from tests.e2e.form import open_task, saved_result
from tests.on_demand import slow

CONFIG = """<View><Pairwise name="pw" toName="one,two"/>
<Text name="one" value="$first"/><Text name="two" value="$second"/></View>"""


@slow
@pytest.mark.timeout(300)
def test_a_side_is_selected_and_saved_as_it_was_pushed(demo: Demo, page: Page) -> None:
    tasks: list[dict[str, object]] = [{"first": f"first text {n}", "second": f"second text {n}"} for n in range(3)]
    project, task_ids = demo.new_project(CONFIG, tasks)
    questions = parse_label_config(CONFIG).questions
    sides = ("left", "right")
    predictions = [
        Prediction(task_id, Suggestion({"pw": (side,)}), 0.5) for task_id, side in zip(task_ids, sides, strict=False)
    ]
    label_studio = LabelStudioApi(demo.url, demo.state["api_key"])
    assert label_studio.acceptable(CONFIG, predictions, questions) == predictions
    label_studio.push_one("v1", predictions[0], questions)
    assert label_studio.push_all(project, "v1", predictions[1:], questions) == 1
    label_studio.update_project(project, {"model_version": "v1"})
    saved = [submit(page, demo, project, task_id, f"first text {place}") for place, task_id in enumerate(task_ids[:2])]
    assert [parse_answers(result) for result in saved] == [{"pw": (side,)} for side in sides]
    assert {item["origin"] for result in saved for item in result} == {"prediction"}
    by_hand = submit(page, demo, project, task_ids[2], "first text 2", clicked="second text 2")
    assert parse_answers(by_hand) == {"pw": ("right",)}


def submit(page: Page, demo: Demo, project: int, task_id: int, text: str, clicked: str = "") -> list[dict[str, object]]:
    """Open a task, select an object by its text, and save; returns the `result` of the annotation."""
    button = open_task(page, demo, project, task_id)
    page.get_by_text(text, exact=True).last.wait_for()
    if clicked:
        page.get_by_text(clicked, exact=True).last.click()
    button.click()
    return saved_result(demo, task_id)
