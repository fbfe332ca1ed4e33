"""Number in Label Studio's form: what we push stands there and is saved as it is, and so is what a person types."""

import pytest
from playwright.sync_api import Page

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.label_studio.json import parse_answers
from backend.domain.suggestions import Suggestion
from backend.ports import Prediction
from tests.conftest import Demo, wait_for
from tests.e2e.form import open_task, saved_result
from tests.on_demand import slow

CONFIG = """<View><Text name="t" value="$text"/><Number name="n" toName="t" min="0" max="4" step="0.5"/></View>"""


@slow
@pytest.mark.timeout(300)
def test_a_number_is_shown_and_saved_as_it_was_pushed(demo: Demo, page: Page) -> None:
    project, task_ids = demo.new_project(CONFIG, [{"text": f"text {n}"} for n in range(3)])
    questions = parse_label_config(CONFIG).questions
    pushed = ("3", "2.5")
    predictions = [
        Prediction(task_id, Suggestion({"n": (label,)}), 0.5) for task_id, label in zip(task_ids, pushed, strict=False)
    ]
    label_studio = LabelStudioApi(demo.url, demo.state["api_key"])
    assert label_studio.acceptable(CONFIG, predictions, questions) == predictions
    assert label_studio.push_all(project, "v1", predictions, questions) == len(predictions)
    label_studio.update_project(project, {"model_version": "v1"})
    for place, label in enumerate(pushed):
        saved = submit(page, demo, project, task_ids[place])
        assert parse_answers(saved) == {"n": (label,)}
        assert [item["origin"] for item in saved] == ["prediction"]
    assert parse_answers(submit(page, demo, project, task_ids[2], typed="1.5")) == {"n": ("1.5",)}


def submit(page: Page, demo: Demo, project: int, task_id: int, typed: str = "") -> list[dict[str, object]]:
    """Open a task, type a number, and save; returns the `result` of the annotation."""
    button = open_task(page, demo, project, task_id)
    field = page.locator("input[type=number]").last
    field.wait_for()
    if typed:
        field.press_sequentially(typed)
        # The form takes a number once somebody leaves its field.
        field.press("Tab")
    else:
        wait_for(field.input_value, 30, "the suggested number")
    button.click()
    return saved_result(demo, task_id)
