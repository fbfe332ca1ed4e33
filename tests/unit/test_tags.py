"""Tags: only what we wrote last is ours."""

import pytest

from backend.entrypoints.cli.check import print_checked
from backend.errors import BadRequest
from backend.ports import SuspectStatus
from backend.workflows.check.search import check
from backend.workflows.check.suspects import checked
from backend.workflows.check.tags import adopt_tags, foreign_tags
from backend.workflows.check.verdicts import keep_labels
from tests.screen import screen
from tests.unit.house import House, nothing, reviews

N = 60
OWN = "the user's own"


def checked_house(house: House, own: dict[int, dict[str, object]]) -> list[int]:
    """Label sixty tasks, four wrongly, with fields of the user's own; train and check. Returns the wrong ones."""
    house.label_studio.add_tasks(house.project, reviews(N + 20)[40:])
    for place, fields in own.items():
        item = house.fake.tasks[house.task_ids[place]]
        item.task.data.update(fields)
    wrong = [house.task_ids[place] for place in (2, 19, 38, 55)]
    house.annotate(house.task_ids[:N], wrong=tuple(wrong))
    house.learn()
    check(house.deps, house.key, nothing)
    return wrong


def data(house: House, task_id: int) -> dict[str, object]:
    return {name: value for name, value in house.fake.tasks[task_id].task.data.items() if name.startswith("prelabel_")}


def test_fields_of_the_users_own_are_left_alone_and_counted(house: House) -> None:
    own: dict[int, dict[str, object]] = {
        2: {"prelabel_reason": OWN, "prelabel_quality": 7},
        19: {"prelabel_check": OWN},
        30: {"prelabel_issue": OWN, "prelabel_expected": ["a", 1]},
    }
    wrong = checked_house(house, own)
    found = {item.task_id for item in house.deps.database.suspects(house.key) if item.status is SuspectStatus.OPEN}
    assert set(wrong) <= found
    tagged = data(house, wrong[0])
    assert (tagged["prelabel_reason"], tagged["prelabel_quality"]) == (OWN, 7)
    assert tagged["prelabel_check"] == "suspect"
    assert data(house, wrong[1])["prelabel_check"] == OWN
    assert data(house, house.task_ids[30]) == own[30]
    # Nothing that comes later writes over them either.
    house.annotate(wrong)
    house.reconcile()
    check(house.deps, house.key, nothing)
    assert data(house, wrong[0])["prelabel_reason"] == OWN
    assert data(house, wrong[0])["prelabel_check"] == "fixed"
    counts = {name: 1 for name in ("prelabel_check", "prelabel_expected", "prelabel_issue", "prelabel_quality")}
    assert checked(house.deps, house.key).report.foreign_tags == counts | {"prelabel_reason": 1}
    with screen() as text:
        print_checked(checked(house.deps, house.key), 5)
    assert "prelabel_check of 1 task" in text.getvalue()
    assert "--adopt-tags" in text.getvalue()


def test_tags_of_another_installation_are_cleared_once_they_are_adopted(house: House) -> None:
    imported = {
        "prelabel_check": "suspect",
        "prelabel_reason": "Positive 0.01, Negative 0.99",
        "prelabel_expected": "sentiment: Negative",
        "prelabel_quality": 0.01,
        "prelabel_issue": "outlier: unlike all other tasks",
    }
    (wrong, *_) = checked_house(house, {2: imported, 30: imported})
    other = house.task_ids[30]
    assert data(house, wrong) == imported
    assert data(house, other) == imported
    record = house.deps.database.project(house.key)
    assert record is not None
    assert adopt_tags(house.deps, record) == dict.fromkeys(sorted(imported), 2)
    assert foreign_tags(house.deps, record) == set()
    check(house.deps, house.key, nothing)
    assert data(house, wrong)["prelabel_check"] == "suspect"
    assert data(house, wrong)["prelabel_expected"] == f"sentiment: {house.gold(wrong)}"
    cleared = data(house, other)
    assert (cleared["prelabel_check"], cleared["prelabel_reason"]) == ("cleared", "")
    # Empty, or what was found here.
    assert cleared["prelabel_issue"] != imported["prelabel_issue"]
    assert checked(house.deps, house.key).report.foreign_tags == {}


@pytest.mark.parametrize("typed", ["Keep", "KEEP", " keep\n"])
def test_a_keep_of_a_person_counts_as_it_is_typed(house: House, typed: str) -> None:
    (wrong, *_) = checked_house(house, {})
    house.fake.tasks[wrong].task.data["prelabel_check"] = typed
    record = house.deps.database.project(house.key)
    assert record is not None
    assert foreign_tags(house.deps, record) == set()
    house.reconcile()
    assert [item.status for item in house.deps.database.verdicts(house.key)] == [SuspectStatus.CONFIRMED]
    assert data(house, wrong)["prelabel_check"] == "confirmed"


def test_suspects_can_be_kept_without_opening_them(house: House) -> None:
    wrong = checked_house(house, {38: {"prelabel_check": OWN}})
    record = house.deps.database.project(house.key)
    assert record is not None
    with pytest.raises(BadRequest, match=rf"2 tasks \({house.task_ids[0]}, 999\)"):
        keep_labels(house.deps, record, [*wrong, 999, house.task_ids[0]])
    with pytest.raises(BadRequest, match="of its own"):
        keep_labels(house.deps, record, wrong)
    assert data(house, wrong[0])["prelabel_check"] == "suspect"
    keep_labels(house.deps, record, wrong[:2])
    house.reconcile()
    assert [data(house, task_id)["prelabel_check"] for task_id in wrong[:3]] == ["confirmed", "confirmed", OWN]
    verdicts = house.deps.database.verdicts(house.key)
    assert [item.status for item in verdicts] == [SuspectStatus.CONFIRMED] * 2
    check(house.deps, house.key, nothing)
    assert data(house, wrong[0])["prelabel_check"] == "confirmed"
