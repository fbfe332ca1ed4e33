"""A change of the code that should change no result changes none: see `tests/frozen/record.py`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.frozen.record import RECORDED, record

CLOSE = 1e-6
"""The order of summation may differ between releases of numpy, and with it the last digits."""


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return record(tmp_path_factory.mktemp("frozen") / "installation")


def test_projects_end_in_the_recorded_results(now: dict[str, Any]) -> None:
    recorded = json.loads(Path(RECORDED).read_text())
    assert recorded.keys() == {"demo", "multiple choice", "rating", "taxonomy", "three annotators"}
    for project, before in recorded.items():
        assert_same_results(before, json.loads(json.dumps(now[project])))


def assert_same_results(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The same posteriors, suggestions, order and suspects."""
    assert after["version"] == before["version"]
    assert after["tasks"] == before["tasks"]
    for decision, posterior in before["held_out"].items():
        assert after["held_out"][decision] == pytest.approx(posterior, abs=CLOSE), decision
    assert_same_queue(before["queue"], after["queue"])
    suspects = [[without(item, "quality") for item in found["suspects"]] for found in (before, after)]
    assert suspects[0] == suspects[1]
    qualities = [[item["quality"] for item in found["suspects"]] for found in (before, after)]
    # They are kept with four digits.
    assert qualities[1] == pytest.approx(qualities[0], abs=1e-3)


def assert_same_queue(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """The same suggestions in the same order, but for tasks whose scores are the same."""
    scores = {item["task"]: item["score"] for item in before}
    for was, now in zip(before, after, strict=True):
        assert scores[now["task"]] == pytest.approx(was["score"], abs=CLOSE)
    by_task = {item["task"]: item for item in after}
    for was in before:
        now = by_task[was["task"]]
        assert without(now, "score", "confidence") == without(was, "score", "confidence")
        assert now["score"] == pytest.approx(was["score"], abs=CLOSE)
        assert now["confidence"] == pytest.approx(was["confidence"], abs=CLOSE)


def without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in names}
