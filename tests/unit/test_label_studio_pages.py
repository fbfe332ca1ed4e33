"""Tasks that Label Studio stores but can't send don't keep the others from being read."""

from typing import Any

import pytest

from backend.adapters.label_studio.pages import MAX_UNREADABLE, task_pages
from backend.errors import LabelStudioError


class Pages:
    """Label Studio's list of tasks 1..n, of which some make each page with them fail."""

    def __init__(self, n: int, bad: set[int], without_id: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.n, self.bad, self.without_id = n, bad, without_id
        self.n_read = 0

    def read(self, fields: str, page_size: int, page: int) -> dict[str, Any]:
        self.n_read += 1
        ids = range((page - 1) * page_size + 1, min(page * page_size, self.n) + 1)
        if not ids:
            raise LabelStudioError("Invalid page.", 404)
        failing = self.without_id if fields.startswith("id,updated") else self.bad | self.without_id
        if failing & set(ids):
            raise LabelStudioError("list index out of range", 500)
        return {"total": self.n, "tasks": [{"id": number} for number in ids]}


def ids_of(pages: Pages, page_size: int) -> list[int]:
    return [task["id"] for page in task_pages(pages.read, "id,data", page_size) for task in page]


@pytest.mark.parametrize("n", [1, 9, 10, 2345])
@pytest.mark.parametrize("page_size", [10, 1000, 5000])
def test_all_tasks_are_read_in_order(n: int, page_size: int) -> None:
    pages = Pages(n, set())
    assert ids_of(pages, page_size) == list(range(1, n + 1))
    assert pages.n_read == -(-n // page_size)


@pytest.mark.parametrize("bad", [{1}, {2345}, {1000, 1001}, {7, 77, 777}])
@pytest.mark.parametrize("page_size", [1000, 5000])
def test_a_task_that_cant_be_sent_keeps_its_place_or_is_left_out(bad: set[int], page_size: int) -> None:
    assert ids_of(Pages(2345, bad), page_size) == list(range(1, 2346))
    left_out = Pages(2345, set(), without_id=bad)
    assert ids_of(left_out, page_size) == [number for number in range(1, 2346) if number not in bad]
    assert left_out.n_read < 120
    assert ids_of(Pages(1, set(), without_id={1}), page_size) == []


def test_a_failing_label_studio_is_not_asked_for_ever() -> None:
    pages = Pages(2345, set(), without_id=set(range(1, 2346)))
    with pytest.raises(LabelStudioError, match="list index"):
        ids_of(pages, 1000)
    assert pages.n_read < 3 * MAX_UNREADABLE
