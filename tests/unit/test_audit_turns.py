"""Audit tasks: who they are, when their turn comes, and that nobody sees what we think of them."""

import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest

from backend.domain.audit.draw import is_audit, turn
from backend.domain.priorities.audit_turns import AUDIT, scores_of_new
from backend.domain.priorities.strategy import Strategy
from backend.ports import Prediction
from backend.workflows.rollback import rollback
from backend.workflows.suggest import answer
from tests.unit.house import CONFIG, House, nothing, reviews

SHARE = 0.25


def enlarge(house: House, n: int = 200) -> None:
    house.label_studio.add_tasks(house.project, reviews(n)[40:])


def wanted(house: House) -> list[Prediction]:
    return house.deps.versions.predictions(house.key, house.deps.versions.current(house.key))


def audit_tasks(house: House) -> set[int]:
    return {task_id for task_id in house.task_ids if is_audit(house.key, task_id, house.audit_share)}


def served(house: House) -> list[int]:
    """All open tasks in the order in which Label Studio serves them."""
    open_tasks = [task_id for task_id in house.task_ids if house.fake.tasks[task_id].task.is_open]
    return sorted(open_tasks, key=lambda task_id: house.fake.predictions[task_id][-1].prediction.score)


def test_a_share_of_the_tasks_is_drawn_and_a_larger_share_only_adds_to_it() -> None:
    small = {task_id for task_id in range(20_000) if is_audit("1.1-a", task_id, 0.05)}
    large = {task_id for task_id in range(20_000) if is_audit("1.1-a", task_id, 0.1)}
    assert len(small) == pytest.approx(1000, abs=120)
    assert small < large
    assert not any(is_audit("1.1-a", task_id, 0.0) for task_id in range(1000))
    assert all(is_audit("1.1-a", task_id, 1.0) for task_id in range(1000))
    other = {task_id for task_id in range(20_000) if is_audit("2.1-a", task_id, 0.05)}
    assert len(small & other) < 120


def test_the_turn_of_an_audit_task_has_nothing_to_do_with_its_being_one() -> None:
    drawn = [task_id for task_id in range(40_000) if is_audit("1.1-a", task_id, 0.05)]
    assert np.mean([turn("1.1-a", task_id) for task_id in drawn]) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("strategy", [Strategy.AUTO, Strategy.MARGIN])
def test_audit_tasks_come_in_turn_with_an_empty_form_under_every_strategy(house: House, strategy: Strategy) -> None:
    enlarge(house)
    house.audit_share, house.strategy, house.top_tasks = SHARE, strategy, 40
    house.learn()
    audit, order = audit_tasks(house), served(house)
    assert order[:40] == [item.task_id for item in wanted(house)[:40]]
    for start in range(0, 160, 40):
        among = sum(task_id in audit for task_id in order[start : start + 40])
        assert among == pytest.approx(40 * SHARE, abs=1), "audit tasks are labeled at the rate of the others"
    for task_id in house.task_ids:
        assert bool(house.shown(task_id)) == (task_id not in audit)
    for item in wanted(house):
        assert item.withheld == (item.task_id in audit)
        assert item.suggestion.answers, "what would have been suggested is kept"
        assert (item.chosen_by == AUDIT) == (item.withheld and item.is_served)
    assert all(item.reason for item in wanted(house)[:40])


def test_audit_tasks_are_asked_for_in_a_drawn_order_whatever_we_think_of_them(house: House) -> None:
    enlarge(house)
    house.audit_share = SHARE
    house.learn()
    in_turn = [item for item in wanted(house) if item.withheld]
    drawn = sorted(audit_tasks(house), key=lambda task_id: turn(house.key, task_id))
    assert [item.task_id for item in in_turn] == drawn
    # Label Studio serves them so; where two have the same score, it is free to choose.
    scores = [house.fake.predictions[item.task_id][-1].prediction.score for item in in_turn]
    assert scores == sorted(scores)


def test_the_score_of_an_audit_task_doesnt_give_its_suggestion_away(house: House) -> None:
    enlarge(house)
    house.audit_share = SHARE
    house.learn()
    order = wanted(house)
    for item, follower in itertools.pairwise(order):
        if item.withheld and not follower.withheld:
            assert item.score <= follower.score
            assert item.score == pytest.approx(follower.score, abs=1e-5)


def test_the_first_tasks_of_many_short_versions_hold_audit_tasks_too() -> None:
    confidence = np.linspace(0.5, 0.9, 200)
    in_front = 0
    for version in range(200):
        scores = scores_of_new(confidence.astype(np.float64), np.arange(20), share=0.1, seed=version)
        in_front += int((np.argsort(scores, kind="stable")[:5] < 20).sum())
    assert in_front == pytest.approx(100, abs=30)


def test_everything_may_be_audit_tasks_and_nothing(house: House) -> None:
    house.audit_share = 1.0
    house.learn()
    assert not any(house.shown(task_id) for task_id in house.task_ids)
    assert len(wanted(house)) == 40
    house.audit_share = 0.0
    house.learn()
    assert sum(bool(house.shown(task_id)) for task_id in house.task_ids) == 40


def test_a_suggestion_stays_withheld_until_the_task_has_all_its_annotations(house: House) -> None:
    house.audit_share = SHARE
    house.fake.overlap = 2
    house.learn()
    task_id = min(audit_tasks(house))
    house.annotate([task_id])
    house.learn()
    assert house.shown(task_id) == []
    assert any(item.task_id == task_id and item.withheld for item in wanted(house))


def test_going_back_to_a_version_gives_nothing_away(house: House) -> None:
    house.audit_share = SHARE
    house.learn()
    house.learn()
    house.learn()
    rollback(house.deps, house.key, 1, nothing)
    assert house.fake.info.model_version == "v1"
    for task_id in house.task_ids:
        assert bool(house.shown(task_id)) == (task_id not in audit_tasks(house))


def test_new_audit_tasks_get_an_empty_form_too(house: House) -> None:
    house.audit_share = SHARE
    house.learn()
    old = set(house.task_ids)
    enlarge(house, 120)
    house.reconcile()
    new = set(house.task_ids) - old
    order = [task_id for task_id in served(house) if task_id in new]
    for task_id in new:
        assert bool(house.shown(task_id)) == (task_id not in audit_tasks(house))
    assert sum(task_id in audit_tasks(house) for task_id in order[:40]) == pytest.approx(10, abs=1)


def test_new_audit_tasks_without_others_stand_last() -> None:
    scores = scores_of_new(np.array([0.2, 0.9]), np.array([1, 0]), share=0.1, seed=1)
    assert scores.tolist() == [1.0, 1.0]


def test_predict_withholds_for_open_audit_tasks_only(house: House) -> None:
    house.audit_share = 1.0
    tasks = [{"text": "good"}] * 3
    answers = answer(house.deps, house.key, CONFIG, tasks, 20, [1, None, 3])
    assert [item.answers for item in answers.suggestions] == [{}, {"sentiment": ("Positive",)}, {}]
    house.audit_share = 0.0
    answers = answer(house.deps, house.key, CONFIG, tasks, 20, [1, None, 3])
    assert all(item.answers for item in answers.suggestions)


def test_a_version_of_before_can_be_read(house: House) -> None:
    house.learn()
    path = house.version_folder(1) / "predictions.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["withheld"]), path)
    assert not any(item.withheld for item in wanted(house))
