"""Label Studio's form of one task: opened, and what an annotator saved in it."""

from typing import Any

from playwright.sync_api import Locator, Page

from tests.conftest import Demo, wait_for


def open_task(page: Page, demo: Demo, project: int, task_id: int) -> Locator:
    """Open a task; returns its button Submit."""
    # Until all has come, the form is drawn anew, and forgets what was entered.
    page.goto(f"{demo.url}/projects/{project}/data?task={task_id}", wait_until="networkidle")
    button = page.get_by_test_id("bottombar-submit-button")
    button.wait_for()
    return button


def saved_result(demo: Demo, task_id: int) -> list[dict[str, Any]]:
    """The `result` of a task's first annotation, once there is one."""
    saved: list[dict[str, Any]] = []

    def is_saved() -> bool:
        with demo.api as api:
            saved[:] = api.get(f"/api/tasks/{task_id}/annotations/").raise_for_status().json()
        return bool(saved)

    wait_for(is_saved, 60, "the annotation")
    found: list[dict[str, Any]] = saved[0]["result"]
    return found
