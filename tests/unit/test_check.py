"""Check: wrong labels are tagged, and what people say of them is remembered."""

from dataclasses import replace

import pytest

from backend.errors import LabelStudioError
from backend.ports import SuspectRecord, SuspectStatus
from backend.workflows.check import check
from tests.unit.house import House, nothing, reviews


@pytest.fixture
def flipped(house: House) -> tuple[int, ...]:
    """Four wrong labels among sixty; those of them that were found and tagged."""
    house.label_studio.add_tasks(house.project, reviews(80)[40:])
    labeled = house.task_ids[:60]
    # Of different subjects: if all were of one, that would be a pattern, and no errors.
    wrong = tuple(task_id for task_id in labeled if house.fake.tasks[task_id].task.data.get("rating"))[::9]
    house.annotate(labeled, wrong=wrong)
    house.learn()
    check(house.deps, house.key, nothing)
    found = tuple(task_id for task_id in wrong if task_id in tagged(house))
    assert len(found) >= 3
    return found


def tagged(house: House) -> set[int]:
    """Tasks that the tab "Prelabel: check" shows."""
    return {number for number, item in house.fake.tasks.items() if item.task.data.get("prelabel_check") == "suspect"}


def test_wrong_labels_are_found_with_what_was_expected(house: House, flipped: tuple[int, ...]) -> None:
    assert len(tagged(house)) <= 8
    data = house.fake.tasks[flipped[0]].task.data
    assert data["prelabel_expected"] == f"sentiment: {house.gold(flipped[0])}"
    assert 0 <= data["prelabel_quality"] < 0.5
    assert data["text"] == reviews(80)[data["n"]]["text"]


def test_a_fixed_suspect_leaves_the_tab(house: House, flipped: tuple[int, ...]) -> None:
    house.annotate([flipped[0]])
    house.reconcile()
    assert flipped[0] not in tagged(house)
    statuses = {item.task_id: item.status for item in house.deps.database.suspects(house.key)}
    assert statuses[flipped[0]] is SuspectStatus.FIXED


def test_a_confirmed_suspect_leaves_the_tab_for_good(house: House, flipped: tuple[int, ...]) -> None:
    house.annotate([flipped[0]], wrong=flipped)
    house.reconcile()
    assert flipped[0] not in tagged(house)
    house.learn()
    check(house.deps, house.key, nothing)
    assert flipped[0] not in tagged(house)
    assert tagged(house) & set(flipped[1:])


def test_a_second_annotator_who_disagrees_confirms_nothing(house: House, flipped: tuple[int, ...]) -> None:
    right = (house.gold(flipped[0]),)
    house.label_studio.annotate(house.project, flipped[0], {"sentiment": right}, annotator=2)
    house.reconcile()
    assert flipped[0] in tagged(house)


def test_a_task_stays_in_the_tab_while_another_question_of_it_is_suspect(
    house: House, flipped: tuple[int, ...]
) -> None:
    task_id = flipped[0]
    (found,) = [item for item in house.deps.database.suspects(house.key) if item.task_id == task_id]
    settled = replace(found, question="topic", status=SuspectStatus.FIXED, quality=0.01, tagged=False)
    house.deps.database.save_suspects(house.key, [settled])
    house.reconcile()
    assert task_id in tagged(house)


def test_a_deleted_annotation_leaves_the_tab(house: House, flipped: tuple[int, ...]) -> None:
    house.label_studio.delete_annotations(house.project, flipped[0])
    house.reconcile()
    assert flipped[0] not in tagged(house)


def test_a_second_check_writes_nothing(house: House, flipped: tuple[int, ...]) -> None:
    house.label_studio.calls.clear()
    check(house.deps, house.key, nothing)
    assert "tag" not in house.label_studio.calls


def test_tags_that_could_not_be_written_are_written_later(house: House, flipped: tuple[int, ...]) -> None:
    house.annotate([flipped[0]])
    house.label_studio.fail_next["tag"] = LabelStudioError("away")
    with pytest.raises(LabelStudioError):
        house.reconcile()
    assert flipped[0] in tagged(house)
    house.reconcile()
    assert flipped[0] not in tagged(house)


def test_a_change_of_another_answer_confirms_nothing_until_it_is_saved_again(
    house: House, flipped: tuple[int, ...]
) -> None:
    task_id = flipped[0]
    wrong = house.fake.tasks[task_id].annotations[0].answers["sentiment"]
    house.label_studio.annotate(house.project, task_id, {"sentiment": wrong, "topic": ("plot",)})
    house.reconcile()
    assert task_id in tagged(house)
    check(house.deps, house.key, nothing)
    house.label_studio.annotate(house.project, task_id, {"sentiment": wrong, "topic": ("plot",)})
    house.reconcile()
    assert status(house, task_id) is SuspectStatus.CONFIRMED


def test_a_second_annotator_who_agrees_confirms(house: House, flipped: tuple[int, ...]) -> None:
    wrong = house.fake.tasks[flipped[0]].annotations[0].answers
    house.label_studio.annotate(house.project, flipped[0], wrong, annotator=2)
    house.reconcile()
    assert status(house, flipped[0]) is SuspectStatus.CONFIRMED


def test_a_skipped_annotation_no_longer_stands_for_its_label(house: House, flipped: tuple[int, ...]) -> None:
    wrong = house.fake.tasks[flipped[0]].annotations[0].answers
    house.label_studio.annotate(house.project, flipped[0], wrong, skipped=True)
    house.reconcile()
    assert status(house, flipped[0]) is SuspectStatus.FIXED


def test_a_fix_that_no_event_told_of_is_seen_before_the_next_check(house: House, flipped: tuple[int, ...]) -> None:
    house.annotate([flipped[0]])
    check(house.deps, house.key, nothing)
    assert status(house, flipped[0]) is SuspectStatus.FIXED
    assert flipped[0] not in tagged(house)


def test_a_majority_that_nobody_gave_is_settled_by_those_who_made_it(house: House) -> None:
    house.fake.overlap = 9
    task_id = house.task_ids[0]
    for annotator, labels in enumerate([("a", "b"), ("b", "c"), ("a", "c")], start=1):
        house.label_studio.annotate(house.project, task_id, {"genre": labels}, annotator=annotator)
    seen = house.fake.tasks[task_id].annotations
    house.reconcile()
    suspect = SuspectRecord(task_id, "genre", ("a", "b", "c"), (), 0.1, SuspectStatus.OPEN, seen)
    house.deps.database.save_suspects(house.key, [suspect])
    house.reconcile()
    assert status(house, task_id) is SuspectStatus.OPEN
    for annotator in (1, 2, 3):
        house.label_studio.annotate(house.project, task_id, {"genre": ("d",)}, annotator=annotator)
    house.reconcile()
    assert status(house, task_id) is SuspectStatus.FIXED


def status(house: House, task_id: int) -> SuspectStatus:
    """What became of a task's only suspect."""
    (found,) = [item.status for item in house.deps.database.suspects(house.key) if item.task_id == task_id]
    return found
