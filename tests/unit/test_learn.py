"""Learn and roll back: versions, what is pushed, what a killed worker leaves."""

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.adapters.label_studio.config import parse_label_config
from backend.domain.frame import Frame
from backend.domain.model.training import Known, Trained, train
from backend.domain.reports.status import Held
from backend.entrypoints.cli.status import status_line
from backend.errors import LabelStudioAuthError, LabelStudioError, ModelMissing
from backend.ports import Job, SuspectRecord, SuspectStatus, VersionStatus
from backend.workflows.held import held_at
from backend.workflows.measure.status import status_of
from backend.workflows.reconcile import reconcile
from backend.workflows.rollback import rollback
from backend.workflows.train import learn
from tests.unit.house import CONFIG, House, nothing, prediction, raising, reviews


def test_a_first_version_needs_no_labels(house: House) -> None:
    house.learn()
    assert house.fake.info.model_version == "v1"
    right = sum(house.shown(task_id) == [house.gold(task_id)] for task_id in house.task_ids)
    assert right >= 30
    assert Job.CHECK in house.queue.take()


def test_training_asked_for_twice_trains_once_unless_a_person_asks(house: House) -> None:
    for _ in range(3):
        learn(house.deps, house.key, nothing)
    assert house.fake.info.model_version == "v1"
    learn(house.deps, house.key, nothing, force=True)
    assert house.fake.info.model_version == "v2"


def test_a_new_version_replaces_the_old_one_and_knows_more(house: House) -> None:
    house.learn()
    house.annotate(house.task_ids[:16])
    house.learn()
    assert house.fake.info.model_version == "v2"
    open_tasks = house.task_ids[16:]
    assert all(house.shown(task_id) for task_id in open_tasks)
    figures = house.deps.versions.metrics(house.key, 2).questions["sentiment"]
    assert figures.n_labels == 16
    assert figures.accuracy_interval is not None
    assert figures.accuracy is not None
    assert figures.accuracy_interval[0] <= figures.accuracy <= figures.accuracy_interval[1]


def test_two_versions_are_kept_in_label_studio(house: House) -> None:
    for _ in range(4):
        house.learn()
    assert set(house.label_studio.versions(house.project)) == {"v3", "v4"}
    assert [item.status for item in house.deps.database.versions(house.key)][-2:] == [
        VersionStatus.RETIRED,
        VersionStatus.LIVE,
    ]


def test_foreign_predictions_are_left_alone(house: House) -> None:
    house.label_studio.push_one("gpt-4", prediction(house.task_ids[0]), parse_label_config(CONFIG).questions)
    for _ in range(3):
        house.learn()
    assert "gpt-4" in house.label_studio.versions(house.project)


def test_most_useful_tasks_go_first_and_alone_the_rest_in_one_request(house: House) -> None:
    house.learn()
    calls = [call for call in house.label_studio.calls if call in {"push_one", "push_all", "update_project"}]
    assert calls == ["push_one"] * 5 + ["update_project", "push_all"]
    stored = [item for items in house.fake.predictions.values() for item in items]
    top = [item.prediction.score for item in stored if item.prediction.is_served]
    rest = [item.prediction.score for item in stored if not item.prediction.is_served]
    assert len(top) == 5
    assert max(top) <= min(rest)


def test_a_killed_worker_s_version_is_completed_without_duplicates(house: House) -> None:
    house.label_studio.fail_next["push_all"] = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        house.learn()
    assert house.fake.info.model_version == "v1"
    learn(house.deps, house.key, nothing)
    assert house.label_studio.versions(house.project) == {"v1": 40}
    assert all(len(house.fake.predictions[task_id]) == 1 for task_id in house.task_ids)


def test_what_follows_a_training_is_asked_for_although_its_worker_was_killed_before_that(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.queue, "request", raising(RuntimeError("killed")))
    with pytest.raises(RuntimeError):
        house.learn()
    monkeypatch.undo()
    assert house.queue.take() == []
    learn(house.deps, house.key, nothing)
    assert house.queue.take() == [Job.CHECK]
    assert house.label_studio.versions(house.project) == {"v1": 40}


def test_a_publication_that_is_cut_off_says_so_and_is_taken_up_again(house: House) -> None:
    for _ in range(2):
        house.learn()
    house.label_studio.fail_next["push_all"] = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        rollback(house.deps, house.key, 1, nothing)
    assert house.deps.versions.current(house.key) == 1
    assert [item.status for item in house.deps.database.versions(house.key)] == [
        VersionStatus.PUBLISHING,
        VersionStatus.LIVE,
    ]
    house.reconcile()
    assert len(house.label_studio.versions(house.project)) == 2, "no new suggestions before the old ones are there"
    rollback(house.deps, house.key, 1, nothing)
    assert [item.status for item in house.deps.database.versions(house.key)] == [
        VersionStatus.LIVE,
        VersionStatus.RETIRED,
    ]
    assert house.label_studio.versions(house.project) == {"v1": 40, "v2": 40}


def test_a_person_that_lets_go_of_a_cut_off_rollback_gets_it_completed(house: House) -> None:
    for _ in range(2):
        house.learn()
    house.label_studio.fail_next["push_all"] = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        rollback(house.deps, house.key, 1, nothing)
    rollback(house.deps, house.key, 0, nothing)
    house.reconcile()
    assert Job.TRAIN in house.queue.take()
    learn(house.deps, house.key, nothing)
    assert house.deps.database.versions(house.key)[0].status is VersionStatus.LIVE


def test_a_forced_training_that_failed_after_it_had_built_is_not_repeated(house: House) -> None:
    house.learn()
    house.clock = 2000.0
    house.label_studio.fail_next["push_all"] = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        learn(house.deps, house.key, nothing, force=True, asked_at=1999.0)
    learn(house.deps, house.key, nothing, force=True, asked_at=1999.0)
    assert house.label_studio.versions(house.project) == {"v1": 40, "v2": 40}
    learn(house.deps, house.key, nothing, force=True, asked_at=2001.0)
    assert house.fake.info.model_version == "v3"


def test_a_worker_killed_while_it_trains_leaves_no_version_behind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.learn()
    monkeypatch.setattr(house.deps.versions, "write", raising(RuntimeError("killed")))
    with pytest.raises(RuntimeError):
        house.learn()
    monkeypatch.undo()
    assert house.deps.versions.current(house.key) == 1
    house.learn()
    assert [item.name for item in house.deps.database.versions(house.key)] == ["v1", "v2"]
    assert house.fake.info.model_version == "v2"


def test_a_task_deleted_meanwhile_costs_only_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    write = house.deps.versions.write

    def delete_then_write(*args: object) -> None:
        write(*args)  # type: ignore[arg-type]
        for task_id in house.task_ids[::7]:
            house.label_studio.delete_task(house.project, task_id)

    monkeypatch.setattr(house.deps.versions, "write", delete_then_write)
    house.learn()
    assert all(house.shown(task_id) or True for task_id in house.task_ids)
    assert house.label_studio.versions(house.project) == {"v1": len(house.task_ids)}


def test_a_refused_key_is_an_error_not_a_deleted_task(house: House) -> None:
    house.label_studio.fail_next["push_one"] = LabelStudioAuthError("refused", 401)
    with pytest.raises(LabelStudioAuthError):
        house.learn()


def test_predictions_that_label_studio_dropped_are_noted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    push = house.label_studio.push_all
    monkeypatch.setattr(house.label_studio, "push_all", lambda p, v, items, q: push(p, v, items[1:], q))
    house.learn()
    monkeypatch.undo()
    assert house.deps.database.versions(house.key)[0].note == "Label Studio stored 39 of 40 predictions"
    assert house.label_studio.versions(house.project) == {"v1": 39}
    house.reconcile()
    assert house.label_studio.versions(house.project) == {"v1": 40}


def test_skipped_and_empty_annotations_teach_nothing(house: House) -> None:
    for task_id in house.task_ids[:6]:
        house.label_studio.annotate(house.project, task_id, {}, skipped=task_id % 2 == 0)
    house.learn()
    assert house.deps.versions.metrics(house.key, 1).questions["sentiment"].n_labels == 0


def test_a_project_without_tasks_trains_and_waits(house: House) -> None:
    empty = house.label_studio.add_project(CONFIG)
    key = f"{empty}.1767225600-aaaaaaaa"
    learn(house.deps, key, nothing)
    house.label_studio.add_tasks(empty, reviews(3))
    reconcile(house.deps, key, nothing)
    assert house.label_studio.fakes[empty].info.model_version == "v1"
    assert house.label_studio.versions(empty) == {"v1": 3}


def test_tabs_are_made_once_and_stay_when_renamed(house: House) -> None:
    house.learn()
    assert {tab.title for tab in house.fake.tabs.values()} == {"Prelabel: next", "Prelabel: check"}
    for number, tab in house.fake.tabs.items():
        house.fake.tabs[number] = replace(tab, title=f"My {tab.title}")
    house.learn()
    assert len(house.fake.tabs) == 2


def test_own_tags_are_never_learned_from(house: House) -> None:
    house.learn()
    before = [house.shown(task_id) for task_id in house.task_ids]
    house.label_studio.tag(house.project, "prelabel_expected", "sentiment: Negative good", house.task_ids)
    record = house.deps.database.project(house.key)
    assert record is not None
    house.deps.database.save_project(replace(record, cursor=None))
    house.learn()
    assert [house.shown(task_id) for task_id in house.task_ids] == before


def test_rollback_brings_back_exactly_what_was_shown(house: House) -> None:
    house.learn()
    before = {task_id: house.shown(task_id) for task_id in house.task_ids}
    for _ in range(3):
        house.annotate(house.task_ids[:10], wrong=tuple(house.task_ids[:10]))
        house.learn()
    for task_id in house.task_ids[:10]:
        house.label_studio.delete_annotations(house.project, task_id)
    rollback(house.deps, house.key, 1, nothing)
    assert house.fake.info.model_version == "v1"
    assert {task_id: house.shown(task_id) for task_id in house.task_ids} == before
    assert house.deps.versions.current(house.key) == 1


def test_rollback_to_a_version_that_never_was(house: House) -> None:
    house.learn()
    with pytest.raises(ModelMissing, match="v7 doesn't exist"):
        rollback(house.deps, house.key, 7, nothing)
    assert house.fake.info.model_version == "v1"


@pytest.mark.parametrize("held", [None, 2])
@pytest.mark.parametrize("fault", ["its folder is gone", "its file is damaged", "Label Studio refuses"])
def test_a_rollback_that_fails_leaves_what_held_before(
    house: House, monkeypatch: pytest.MonkeyPatch, fault: str, held: int | None
) -> None:
    for n_labeled in (0, 5, 10):
        house.annotate(house.task_ids[:n_labeled])
        house.learn()
    if held is not None:
        rollback(house.deps, house.key, held, nothing)
    before = house.deps.database.hold(house.key)
    folder = house.version_folder(1)
    if fault == "its folder is gone":
        shutil.rmtree(folder)
    elif fault == "its file is damaged":
        for path in folder.glob("*.parquet"):
            path.write_bytes(b"damaged")
    else:
        monkeypatch.setattr(house.label_studio, "versions", raising(LabelStudioError("refused", 400)))
    house.clock += 10
    with pytest.raises((ModelMissing, LabelStudioError)):
        rollback(house.deps, house.key, 1, nothing)
    assert house.deps.database.hold(house.key) == before
    assert house.fake.info.model_version == f"v{held or 3}"
    house.annotate(house.task_ids[10:30])
    house.queue.take()
    house.reconcile()
    assert (Job.TRAIN in house.queue.take()) == (held is None)


def test_another_backends_v_numbers_are_neither_taken_nor_touched(house: House) -> None:
    questions = parse_label_config(CONFIG).questions
    house.label_studio.push_one("v3", prediction(house.task_ids[0]), questions)
    for _ in range(3):
        house.learn()
    assert house.fake.info.model_version == "v6"
    assert all(house.shown(task_id) for task_id in house.task_ids)
    assert house.label_studio.versions(house.project)["v3"] == 1


def test_a_prediction_that_label_studio_refuses_costs_only_itself(house: House) -> None:
    house.label_studio.fail_next["push_one"] = LabelStudioError("score is odd", 400)
    house.learn()
    assert house.label_studio.versions(house.project) == {"v1": 39}
    assert house.deps.database.versions(house.key)[0].note == ("Label Studio stored 39 of 40 predictions: score is odd")


def test_a_project_without_anything_to_answer_is_left_in_peace(house: House) -> None:
    project = house.label_studio.add_project("<View><Text name='t' value='$text'/></View>", reviews(5))
    key = f"{project}.1767225600-aaaaaaaa"
    learn(house.deps, key, nothing)
    house.label_studio.add_tasks(project, reviews(3))
    reconcile(house.deps, key, nothing)
    assert house.label_studio.versions(project) == {}
    assert house.label_studio.fakes[project].info.model_version == ""


def test_an_admin_who_hides_predictions_is_not_overruled(house: House) -> None:
    house.learn()
    house.label_studio.update_project(house.project, {"show_collab_predictions": False})
    house.learn()
    assert house.fake.info.model_version == "v2"
    assert not house.fake.info.shows_predictions


def test_half_done_tasks_keep_their_place_in_the_queue(house: House) -> None:
    house.fake.overlap = 2
    house.annotate(house.task_ids[:10])
    house.learn()
    assert all(house.shown(task_id) for task_id in house.task_ids[:10])


def test_rollback_of_a_uid_that_isnt_the_projects_touches_nothing(house: House) -> None:
    house.learn()
    house.learn()
    rollback(house.deps, f"{house.project}.1-aaaaaaaa", 1, nothing)
    assert house.fake.info.model_version == "v2"


def test_a_suspect_label_counts_less_until_a_person_has_ruled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.annotate(house.task_ids[:16])
    house.learn()
    seen: list[dict[str, NDArray[np.float64]]] = []

    def noted(*args: object, **options: Any) -> Trained:
        frame, known = args[0], args[2]
        assert isinstance(frame, Frame)
        assert isinstance(known, Known)
        seen.append(dict(frame.weights))
        assert known.previous is not None
        return train(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("backend.workflows.train.train", noted)
    suspect = SuspectRecord(house.task_ids[3], "sentiment", ("Positive",), ("Negative",), 0.1, SuspectStatus.OPEN)
    for status in (SuspectStatus.OPEN, SuspectStatus.CONFIRMED):
        house.deps.database.save_suspects(house.key, [replace(suspect, status=status)])
        house.learn()
    doubted = seen[0]["sentiment"]
    assert (doubted < 1).nonzero()[0].tolist() == [3]
    assert doubted[3] > 0
    assert seen[1] == {}


def test_a_project_that_was_rolled_back_stays_there_until_a_person_lets_go(house: House) -> None:
    house.learn()
    house.annotate(house.task_ids[:10])
    house.learn()
    rollback(house.deps, house.key, 1, nothing)
    house.queue.take()

    house.annotate(house.task_ids[10:30])
    new = house.label_studio.add_tasks(house.project, reviews(41)[40:])
    house.reconcile()
    assert Job.TRAIN not in house.queue.take()
    # Asked for before the rollback, or by an answer of an LLM.
    learn(house.deps, house.key, nothing)
    learn(house.deps, house.key, nothing, force=True)
    learn(house.deps, house.key, nothing, force=True, by_person=True, asked_at=house.clock - 1)
    assert house.fake.info.model_version == "v1"
    assert house.shown(new[0]) != []
    record = house.deps.database.project(house.key)
    assert record is not None
    assert held_at(house.deps, record) == Held(1, house.clock, 30)
    assert "v1 (held at v1 since" in status_line(status_of(house.deps, record))
    assert "asks something else" not in status_line(status_of(house.deps, record))
    changed = replace(record, label_config=record.label_config.replace("Negative", "Bad"))
    assert "and the label config asks something else now" in status_line(status_of(house.deps, changed))

    learn(house.deps, house.key, nothing, force=True, by_person=True, asked_at=house.clock + 1)
    assert house.fake.info.model_version == "v3"
    assert held_at(house.deps, record) is None


def test_letting_go_trains_only_when_it_is_due(house: House) -> None:
    house.learn()
    house.annotate(house.task_ids[:10])
    house.learn()
    rollback(house.deps, house.key, 1, nothing)
    house.queue.take()
    rollback(house.deps, house.key, 0, nothing)
    assert house.queue.take() == [Job.RECONCILE]
    house.reconcile()
    assert Job.TRAIN not in house.queue.take()
    assert house.fake.info.model_version == "v1"
    house.annotate(house.task_ids[10:20])
    house.reconcile()
    assert Job.TRAIN in house.queue.take()
