"""The four ways through the house, on a fake Label Studio and queue, a real database and real version folders."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backend.adapters.database import SqlDatabase
from backend.adapters.label_studio_json import parse_label_config
from backend.adapters.rule_loader import FolderRules
from backend.adapters.versions import VersionFolders
from backend.domain.model import TRUSTED_TYPES
from backend.errors import LabelStudioAuthError, LabelStudioError, ModelMissing
from backend.ports import Deps, Job, Policy, SuspectStatus, VersionStatus
from backend.workflows import reconcile as reconcile_module
from backend.workflows.check import check
from backend.workflows.learn import learn, rollback
from backend.workflows.reconcile import reconcile
from backend.workflows.suggest import answer
from tests.fakes import FakeLabelStudio, FakeQueue

CONFIG = """<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text">
<Choice value="Positive"/><Choice value="Negative"/></Choices></View>"""
RULES = '''
from backend.domain.rules import labeling_function

@labeling_function(question="sentiment", labels=["Positive"])
def praises(task):
    """good"""
    return "Positive" if "good" in (task.text or "") else None

@labeling_function(question="sentiment", labels=["Negative"])
def complains(task):
    """bad"""
    return "Negative" if "bad" in (task.text or "") else None

@labeling_function(question="sentiment", labels=["Positive", "Negative"])
def rates(task):
    """rating"""
    return None if task.rating is None else "Positive" if task.rating > 5 else "Negative"
'''
SUBJECTS = ["plot", "cast", "music", "ending", "pace", "light", "dialogue", "humour"]


def nothing(step: str, done: int, total: int) -> None:
    """No one watches the progress."""


def reviews(n: int) -> list[dict[str, object]]:
    """Clear reviews; every fourth one has nothing that a rule knows."""
    rows: list[dict[str, object]] = []
    for number in range(n):
        positive = number % 2 == 0
        word = ("good", "fine")[number % 4 == 0] if positive else ("bad", "weak")[number % 4 == 1]
        row: dict[str, object] = {"text": f"A {word} film with {SUBJECTS[number % 8]} number {number}", "n": number}
        if number % 4 > 1:
            row["rating"] = 8 if positive else 3
        rows.append(row)
    return rows


class House:
    """Everything a workflow needs, and what a person would do."""

    def __init__(self, folder: Path) -> None:
        (folder / "rules").mkdir()
        (folder / "rules" / "film.py").write_text(RULES)
        self.label_studio = FakeLabelStudio()
        self.queue = FakeQueue()
        self.clock = 1000.0
        self.deps = Deps(
            label_studio=self.label_studio,
            database=SqlDatabase(f"sqlite:///{folder}/db.sqlite3", lambda: self.clock),
            versions=VersionFolders(folder, TRUSTED_TYPES),
            rules=FolderRules(folder / "rules"),
            queue=self.queue,
            parse_label_config=parse_label_config,
            policy=Policy(10, 60.0, 5, "least_confidence"),
            now=lambda: self.clock,
        )
        self.project = self.label_studio.add_project(CONFIG, reviews(40))
        self.key = f"{self.project}.1767225600-aaaaaaaa"

    @property
    def fake(self):  # type: ignore[no-untyped-def] # tests look into the fake
        return self.label_studio.fakes[self.project]

    @property
    def task_ids(self) -> list[int]:
        return sorted(self.fake.tasks)

    def gold(self, task_id: int) -> str:
        number = self.fake.tasks[task_id].task.data["n"]
        return "Positive" if number % 2 == 0 else "Negative"

    def annotate(self, task_ids: list[int], wrong: tuple[int, ...] = ()) -> None:
        for task_id in task_ids:
            label = self.gold(task_id)
            if task_id in wrong:
                label = {"Positive": "Negative", "Negative": "Positive"}[label]
            self.label_studio.annotate(self.project, task_id, {"sentiment": (label,)})

    def learn(self) -> None:
        learn(self.deps, self.key, nothing, force=True)

    def reconcile(self) -> None:
        reconcile(self.deps, self.key, nothing)

    def shown(self, task_id: int) -> list[str]:
        """Labels that an annotator would see pre-selected."""
        stored = self.fake.predictions.get(task_id, [])
        mine = [item for item in stored if item.version == self.fake.info.model_version]
        assert len(mine) <= 1, "an annotator would find two predictions of one version"
        return [str(label) for item in mine for entry in item.result for label in entry["value"]["choices"]]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# Learn


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
    figures = house.deps.versions.metrics(house.key, 2)["questions"]["sentiment"]
    assert figures["n_labels"] == 16
    assert figures["accuracy_interval"][0] <= figures["accuracy"] <= figures["accuracy_interval"][1]


def test_two_versions_are_kept_in_label_studio(house: House) -> None:
    for _ in range(4):
        house.learn()
    assert set(house.label_studio.versions(house.project)) == {"v3", "v4"}
    assert [item.status for item in house.deps.database.versions(house.key)][-2:] == [
        VersionStatus.RETIRED,
        VersionStatus.LIVE,
    ]


def test_foreign_predictions_are_left_alone(house: House) -> None:
    house.label_studio.push_one(
        "gpt-4", replace(_prediction(house.task_ids[0]), cluster=None), parse_label_config(CONFIG).questions
    )
    for _ in range(3):
        house.learn()
    assert "gpt-4" in house.label_studio.versions(house.project)


def test_most_useful_tasks_go_first_and_alone_the_rest_in_one_request(house: House) -> None:
    house.learn()
    calls = [call for call in house.label_studio.calls if call in {"push_one", "push_all", "update_project"}]
    assert calls == ["push_one"] * 5 + ["update_project", "push_all"]
    stored = [item for items in house.fake.predictions.values() for item in items]
    top = [item.prediction.score for item in stored if item.prediction.cluster is not None]
    rest = [item.prediction.score for item in stored if item.prediction.cluster is None]
    assert len(top) == 5
    assert max(top) <= min(rest)


def test_clusters_of_two_versions_differ(house: House) -> None:
    house.learn()
    first = {item.prediction.cluster for items in house.fake.predictions.values() for item in items}
    house.learn()
    new = {
        item.prediction.cluster for items in house.fake.predictions.values() for item in items if item.version == "v2"
    }
    assert first & new == {None}


def test_a_killed_worker_s_version_is_completed_without_duplicates(house: House) -> None:
    house.label_studio.fail_next["push_all"] = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        house.learn()
    assert house.fake.info.model_version == "v1"
    learn(house.deps, house.key, nothing)
    assert house.label_studio.versions(house.project) == {"v1": 40}
    assert all(len(house.fake.predictions[task_id]) == 1 for task_id in house.task_ids)


def test_a_worker_killed_while_it_trains_leaves_no_version_behind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.learn()
    monkeypatch.setattr(house.deps.versions, "write", _raise(RuntimeError("killed")))
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
    assert house.deps.database.versions(house.key)[0].note == "Label Studio stored 34 of 35 predictions"


def test_skipped_and_empty_annotations_teach_nothing(house: House) -> None:
    for task_id in house.task_ids[:6]:
        house.label_studio.annotate(house.project, task_id, {}, skipped=task_id % 2 == 0)
    house.learn()
    assert house.deps.versions.metrics(house.key, 1)["questions"]["sentiment"]["n_labels"] == 0


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


# Roll back


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


# Reconcile


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


def test_a_worker_killed_after_pushing_new_tasks_leaves_no_duplicates(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.learn()
    house.label_studio.add_tasks(house.project, reviews(150))
    monkeypatch.setattr(house.deps.database, "mark_suggested", _raise(RuntimeError("killed")))
    with pytest.raises(RuntimeError):
        house.reconcile()
    monkeypatch.undo()
    house.reconcile()
    assert house.label_studio.versions(house.project) == {"v1": 190}


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


def test_a_lost_webhook_is_made_up_for(house: House) -> None:
    house.learn()
    house.annotate(house.task_ids[:12])
    house.clock += reconcile_module.FULL_SYNC_EACH_S + 1
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


# Check


@pytest.fixture
def flipped(house: House) -> tuple[int, ...]:
    """Four wrong labels among sixty; those of them that were found and tagged."""
    house.label_studio.add_tasks(house.project, reviews(80)[40:])
    labeled = house.task_ids[:60]
    wrong = tuple(task_id for task_id in labeled if house.fake.tasks[task_id].task.data.get("rating"))[::8]
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


# Rules that know what annotators answered


def test_rules_vote_by_what_annotators_answered_for_other_tasks_and_never_for_the_same(house: House) -> None:
    rows = [{"text": f"number {number}", "author": "Ann" if number < 4 else "Ben"} for number in range(6)]
    house.project = house.label_studio.add_project(CONFIG, rows)
    house.key = f"{house.project}.1767225600-aaaaaaaa"
    rule = "rules: [{name: by_author, type: history, field: author, question: sentiment, min_count: 1}]"
    (house.deps.rules._folder / "history.yaml").write_text(rule)  # type: ignore[attr-defined]
    for place, label in [(0, "Negative"), (1, "Negative"), (4, "Positive")]:
        house.label_studio.annotate(house.project, house.task_ids[place], {"sentiment": (label,)})
    house.learn()
    stored = {item.task_id: item.suggestion for item in house.deps.versions.predictions(house.key, 1)}
    open_tasks = [house.task_ids[place] for place in (2, 3, 5)]
    assert [stored[task_id].votes["sentiment"]["by_author"] for task_id in open_tasks] == [
        "Negative",
        "Negative",
        "Positive",
    ]
    answers = answer(house.deps, house.key, CONFIG, [*rows, {"text": "new", "author": "ann"}], 20)
    votes = [item.votes.get("sentiment", {}).get("by_author") for item in answers.suggestions]
    assert votes == ["Negative", "Negative", "Negative", "Negative", None, "Positive", "Negative"]


# Suggest


def test_predict_answers_before_any_version_from_the_rules(house: House) -> None:
    answers = answer(house.deps, house.key, CONFIG, [{"text": "good"}, {"text": "?"}, {}], 20)
    assert answers.version == "v0"
    assert [item.answers for item in answers.suggestions] == [{"sentiment": ("Positive",)}, {}, {}]
    assert [item.score > 0 for item in answers.suggestions] == [True, False, False]


def test_predict_returns_what_is_known_at_the_deadline(house: House) -> None:
    slow = RULES.replace('"""bad"""', "import time; time.sleep(0.02)")
    (house.deps.rules._folder / "film.py").write_text(slow)  # type: ignore[attr-defined]
    answers = answer(house.deps, house.key, CONFIG, [{"text": "good"}] * 200, 1.5)
    known = [bool(item.answers) for item in answers.suggestions]
    assert len(known) == 200
    assert known[0]
    assert not known[-1]
    assert answers.late == known.count(False)


def test_predict_uses_the_model_for_questions_that_did_not_change(house: House) -> None:
    house.annotate(house.task_ids[:20], wrong=tuple(house.task_ids[:20]))
    house.learn()
    config = CONFIG.replace("</View>", '<Rating name="stars" toName="text"/></View>')
    answers = answer(house.deps, house.key, config, [{"text": "a good film"}], 20)
    assert answers.suggestions[0].answers == {"sentiment": ("Negative",)}
    changed = CONFIG.replace('<Choice value="Positive"/>', '<Choice value="Positive"/><Choice value="Mixed"/>')
    answers = answer(house.deps, house.key, changed, [{"text": "a good film"}], 20)
    assert answers.suggestions[0].answers == {"sentiment": ("Positive",)}


def test_a_version_folder_holds_what_the_readme_promises(house: House) -> None:
    house.annotate(house.task_ids[:12])
    house.learn()
    folder = house.deps.versions.folder(house.key, 1)
    assert {path.name for path in folder.iterdir()} == {
        "model.skops",
        "label_models.json",
        "labels.json",
        "sources.json",
        "metrics.json",
        "votes.parquet",
        "held_out.parquet",
        "predictions.parquet",
    }
    assert json.loads((folder / "sources.json").read_text()) == {"sentiment": ["praises", "complains", "rates"]}
    assert json.loads((folder / "labels.json").read_text())[0]["labels"] == ["Positive", "Negative"]


def _prediction(task_id: int):  # type: ignore[no-untyped-def]
    from backend.domain.suggestions import Suggestion
    from backend.ports import Prediction

    return Prediction(task_id, Suggestion({"sentiment": ("Positive",)}, 0.9, {"sentiment": 0.9}, {}), 0.9)


def _raise(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail
