"""Reconcile: what is new in Label Studio is read, suggested for, and taught."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from backend.domain.questions import Question
from backend.domain.tasks import MirroredTask
from backend.errors import LabelStudioError
from backend.ports import Job, Prediction
from backend.workflows import mirror
from backend.workflows.reconcile import reconcile
from backend.workflows.suggest import answer
from backend.workflows.train import learn
from tests.unit.house import CONFIG, RULES, House, nothing, raising, reviews


def test_an_unknown_project_is_trained_at_once(house: House) -> None:
    house.reconcile()
    assert house.queue.take() == [Job.TRAIN]


def test_enough_new_labels_ask_for_training_at_once_fewer_later(house: House) -> None:
    house.learn()
    house.queue.take()
    house.annotate(house.task_ids[:9])
    house.reconcile()
    (due,) = house.queue.requests.values()
    house.annotate(house.task_ids[9:10])
    house.reconcile()
    assert min(house.queue.requests.values()) < due - 50


def test_labels_that_come_back_ask_for_training_too(house: House) -> None:
    house.annotate(house.task_ids[:12])
    house.learn()
    house.queue.take()
    for task_id in house.task_ids[:12]:
        house.label_studio.delete_annotations(house.project, task_id)
    house.reconcile()
    assert house.queue.take() == [Job.TRAIN]


def test_nothing_new_asks_for_nothing_and_changes_nothing(house: House) -> None:
    house.learn()
    house.queue.take()
    house.label_studio.calls.clear()
    house.reconcile()
    assert house.queue.take() == []
    assert set(house.label_studio.calls) == {"project", "tasks since"}


def test_a_changed_label_config_is_trained_anew(house: House) -> None:
    house.learn()
    house.queue.take()
    config = CONFIG.replace('value="Negative"', 'value="Awful"')
    house.label_studio.update_project(house.project, {"label_config": config})
    house.reconcile()
    assert house.queue.take() == [Job.TRAIN]


def test_new_tasks_get_the_current_version_s_suggestion(house: House) -> None:
    house.learn()
    new = house.label_studio.add_tasks(house.project, [{"text": "a good one", "n": 0, "rating": 9}])
    house.reconcile()
    house.reconcile()
    assert house.shown(new[0]) == ["Positive"]


def test_many_new_tasks_go_in_one_request(house: House) -> None:
    house.learn()
    house.label_studio.calls.clear()
    house.label_studio.add_tasks(house.project, reviews(150))
    house.reconcile()
    assert house.label_studio.calls.count("push_all") == 1
    assert "push_one" not in house.label_studio.calls
    assert house.label_studio.versions(house.project)["v1"] == 190


@pytest.mark.parametrize("n_new", [150, 3], ids=["in one request", "one by one"])
def test_a_worker_killed_after_pushing_new_tasks_leaves_no_duplicates(
    house: House, monkeypatch: pytest.MonkeyPatch, n_new: int
) -> None:
    house.learn()
    house.label_studio.add_tasks(house.project, reviews(n_new))
    monkeypatch.setattr(house.deps.database, "mark_suggested", raising(RuntimeError("killed")))
    with pytest.raises(RuntimeError):
        house.reconcile()
    monkeypatch.undo()
    house.reconcile()
    assert house.label_studio.versions(house.project) == {"v1": 40 + n_new}
    house.label_studio.calls.clear()
    house.reconcile()
    assert not {"push_one", "push_all"} & set(house.label_studio.calls)


def test_deleted_tasks_leave_the_mirror(house: House) -> None:
    house.learn()
    for task_id in house.task_ids[:3]:
        house.label_studio.delete_task(house.project, task_id)
    house.reconcile()
    assert [item.task.id for item in house.deps.database.tasks(house.key)] == house.task_ids


def test_a_deleted_project_is_forgotten_and_not_asked_for_again(house: House) -> None:
    house.learn()
    del house.label_studio.fakes[house.project]
    house.queue.take()
    house.reconcile()
    assert house.deps.database.projects() == []
    assert house.deps.database.tasks(house.key) == []
    assert house.queue.take() == []


def test_a_uid_that_isnt_the_project_s_touches_nothing(house: House) -> None:
    phantom = f"{house.project}.1-aaaaaaaa"
    learn(house.deps, phantom, nothing, force=True)
    reconcile(house.deps, phantom, nothing)
    assert house.label_studio.versions(house.project) == {}
    assert house.deps.database.projects() == []
    # Nor while Label Studio can't say whether there is such a project.
    house.label_studio.fail_next["project"] = LabelStudioError("it doesn't answer")
    with pytest.raises(LabelStudioError):
        reconcile(house.deps, phantom, nothing)
    assert house.deps.database.projects() == []


@pytest.mark.parametrize("first", [True, False], ids=["all are read", "changes are read"])
def test_labels_given_while_tasks_are_read_are_known_after_the_next_look(
    house: House, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    if not first:
        house.reconcile()
        house.annotate(house.task_ids)
    save, pages = house.deps.database.save_tasks, itertools.count()

    def annotators_go_on(key: str, page: list[MirroredTask]) -> None:
        save(key, page)
        if next(pages) == 0:
            # Of the pages that were read, and of the last one.
            house.annotate([*house.task_ids[:3], house.task_ids[-1]])

    monkeypatch.setattr(house.deps.database, "save_tasks", annotators_go_on)
    house.reconcile()
    house.reconcile()
    assert next(pages) > 3
    assert house.deps.database.tasks(house.key) == [house.fake.tasks[task_id] for task_id in house.task_ids]


def test_a_lost_webhook_is_made_up_for(house: House) -> None:
    house.learn()
    house.annotate(house.task_ids[:12])
    house.clock += mirror.FULL_SYNC_EACH_S + 1
    house.queue.take()
    house.reconcile()
    assert house.queue.take() == [Job.TRAIN]


def test_projects_never_see_each_others_models(house: House) -> None:
    other = house.label_studio.add_project(CONFIG, [{"text": row["text"], "n": row["n"]} for row in reviews(40)])
    other_key = f"{other}.1767225600-aaaaaaaa"
    house.annotate(house.task_ids[:20], wrong=tuple(house.task_ids[:20]))
    house.learn()
    learn(house.deps, other_key, nothing)
    data = [{"text": "a good film"}]
    mine = answer(house.deps, house.key, CONFIG, data, 20).suggestions[0]
    theirs = answer(house.deps, other_key, CONFIG, data, 20).suggestions[0]
    assert theirs.answers == {"sentiment": ("Positive",)}
    assert mine.answers == {"sentiment": ("Negative",)}


def test_a_task_that_was_committed_late_is_found(house: House) -> None:
    house.learn()
    (late,) = house.label_studio.add_tasks(house.project, [{"text": "a good one", "n": 0, "rating": 9}])
    item = house.fake.tasks[late]
    house.fake.tasks[late] = replace(item, task=replace(item.task, updated_at="2026-01-01T00:00:30.000000Z"))
    house.reconcile()
    assert house.shown(late) == ["Positive"]


def test_a_task_deleted_while_it_gets_its_suggestion_costs_only_itself(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.learn()
    first, second = house.label_studio.add_tasks(house.project, reviews(2))
    push = house.label_studio.push_one

    def delete_then_push(version: str, item: Prediction, questions: Sequence[Question]) -> None:
        if first in house.fake.tasks:
            house.label_studio.delete_task(house.project, first)
        push(version, item, questions)

    monkeypatch.setattr(house.label_studio, "push_one", delete_then_push)
    house.reconcile()
    assert house.shown(second)
    assert first not in {item.task.id for item in house.deps.database.tasks(house.key)}


def test_a_404_of_something_else_than_label_studio_forgets_nothing(house: House) -> None:
    house.learn()
    house.label_studio.fail_next["project"] = LabelStudioError("page not found", 404)
    with pytest.raises(LabelStudioError):
        house.reconcile()
    assert len(house.deps.database.tasks(house.key)) == 40


def test_an_edited_rule_is_trained_with(house: House) -> None:
    house.learn()
    house.queue.take()
    house.reconcile()
    assert house.queue.take() == []
    edited = RULES.replace('"good" in', '"fine" in').replace("task.rating is None", "True")
    (house.deps.rules._folder / "film.py").write_text(edited)  # type: ignore[attr-defined]
    house.reconcile()
    assert house.queue.take() == [Job.TRAIN]
    learn(house.deps, house.key, nothing)
    assert house.fake.info.model_version == "v2"
    house.queue.take()
    house.reconcile()
    assert house.queue.take() == []
