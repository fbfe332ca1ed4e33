"""Status: what people's work on shown and withheld suggestions adds up to."""

import json
import shutil
from dataclasses import replace

import pytest

from backend.domain.audit.draw import is_audit
from backend.domain.codec import to_json
from backend.domain.reports.status import Status
from backend.domain.reports.version import AuditFigures, LabelFigures
from backend.domain.tasks import Origin
from backend.entrypoints.cli.status import status_line
from backend.ports import Prediction
from backend.workflows.measure.status import status_of
from tests.unit.house import CONFIG, House, reviews


def status(house: House) -> Status:
    record = house.deps.database.project(house.key)
    assert record is not None
    return status_of(house.deps, record)


def in_order(house: House) -> list[int]:
    """Open tasks in the order in which Label Studio serves them."""
    open_tasks = [task_id for task_id in house.task_ids if house.fake.tasks[task_id].task.is_open]
    return sorted(open_tasks, key=lambda task_id: house.fake.predictions[task_id][-1].prediction.score)


def label_in_the_browser(house: House, task_id: int, *, lazy: bool = False) -> None:
    """Correct what is shown, or, lazy, leave it; an empty form is filled in."""
    shown, right = house.shown(task_id), house.gold(task_id)
    label = shown[0] if lazy and shown else right
    origins = {"sentiment": Origin.ACCEPTED if shown == [label] else Origin.CHANGED} if shown else {}
    house.label_studio.annotate(house.project, task_id, {"sentiment": (label,)}, origins=origins)


def audit(house: House) -> AuditFigures:
    number = house.deps.versions.current(house.key)
    return house.deps.versions.metrics(house.key, number).audit.questions["sentiment"]


@pytest.fixture
def large(house: House) -> House:
    """Many audit tasks, and a first version."""
    house.label_studio.add_tasks(house.project, reviews(240)[40:])
    house.audit_share, house.top_tasks = 0.3, 40
    house.learn()
    return house


def test_status_is_one_line_from_the_beginning(house: House) -> None:
    house.reconcile()
    line = status_line(status(house))
    assert line.startswith("A project (1): 0 labels, 40 of 40 tasks open, no version yet; can't tell yet")
    house.learn()
    line = status_line(status(house))
    assert "v1; accuracy unknown without labels; next 100 labels unknown; can't tell yet: too few labels" in line
    assert "\n" not in line


def test_a_label_whose_suggestions_say_what_they_are_not_worth_is_named(house: House) -> None:
    house.learn()
    found = status(house)
    labels = {
        "rare": LabelFigures(50, 0.26, (0.16, 0.40), 0.98),
        "common": LabelFigures(500, 0.97, (0.95, 0.98), 0.96),
        "seldom": LabelFigures(4, 0.25, (0.05, 0.70), 0.99),
    }
    line = status_line(replace(found, metrics=replace(found.metrics, by_label={"sentiment": labels})))
    assert "; rare is right in 26% of 50 suggestions that say 98%; " in line
    assert "common" not in line
    assert "seldom" not in line


def test_status_is_json_for_scripts(house: House) -> None:
    house.reconcile()
    told = json.loads(json.dumps(to_json(status(house))))
    assert told["metrics"] == {"audit": {}, "progress": {}}
    assert told["advice"] == {"verdict": "can't tell yet", "reasons": ["no question can be answered"]}
    house.learn()
    told = json.loads(json.dumps(to_json(status(house))))
    assert list(told) == [
        *("project_id", "title", "n_tasks", "n_open", "n_labels", "label_budget", "version", "accuracies", "progress"),
        *("advice", "metrics", "nothing", "left_empty", "unmatched", "n_without_data", "held", "failing"),
    ]
    assert told["accuracies"] == [
        {
            "question": "sentiment",
            "accuracy": None,
            "interval": None,
            "measured_on": "labeled tasks, out of fold",
            "n": 0,
            "n_audit": 0,
        }
    ]
    assert told["progress"][0]["agreements"] == []
    assert set(told["metrics"]["audit"]) == {"share", "questions"}


def test_few_audit_tasks_are_not_taken_for_many(large: House) -> None:
    large.annotate([task_id for task_id in large.task_ids if not is_audit(large.key, task_id, 0.3)][:30])
    large.learn()
    (accuracy,) = status(large).accuracies
    assert (accuracy.measured_on, accuracy.n, accuracy.n_audit) == ("labeled tasks, out of fold", 30, 0)
    assert "on 30 labeled tasks, out of fold (0 audit tasks so far, 20 needed)" in status_line(status(large))


def test_accuracy_comes_from_audit_tasks_as_soon_as_there_are_enough(large: House) -> None:
    for task_id in in_order(large)[:100]:
        label_in_the_browser(large, task_id)
    large.learn()
    found = status(large)
    (accuracy,) = found.accuracies
    n_audit = sum(is_audit(large.key, entry.task.id, 0.3) for entry in large.fake.tasks.values() if entry.annotations)
    assert n_audit >= 20
    assert (accuracy.measured_on, accuracy.n) == ("audit tasks", n_audit)
    assert f"on {n_audit} audit tasks; next 100 labels" in status_line(found)
    assert accuracy.interval is not None
    assert accuracy.interval[0] < 1
    assert found.metrics.audit.questions["sentiment"].n_labels == n_audit
    assert set(audit(large).sources) == {"praises", "complains", "rates"}
    assert set(audit(large).members) == {"label model", "classifier"}


def test_a_lazy_annotator_is_noticed(large: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # Half of all suggestions are wrong, whatever the confidence says.
    def spoilt(item: Prediction) -> Prediction:
        label = {"Positive": "Negative", "Negative": "Positive"}[large.gold(item.task_id)]
        answers: dict[str, tuple[str, ...]] = {"sentiment": (label if item.task_id % 2 else large.gold(item.task_id),)}
        return replace(item, suggestion=replace(item.suggestion, answers=answers, per_question={"sentiment": 0.9}))

    known = large.deps.versions.predictions
    monkeypatch.setattr(large.deps.versions, "predictions", lambda *args: [spoilt(item) for item in known(*args)])
    large.learn()
    for task_id in in_order(large)[:100]:
        label_in_the_browser(large, task_id, lazy=True)
    large.learn()
    found = audit(large).anchoring
    assert found.accepted == 1.0
    assert found.would_choose == pytest.approx(0.5, abs=0.2)
    assert found.difference_interval is not None
    assert found.difference_interval[0] > 0.1


def test_a_form_that_was_filled_before_the_share_was_raised_is_no_audit(house: House) -> None:
    house.learn()
    for task_id in house.task_ids[:20]:
        label_in_the_browser(house, task_id)
    house.audit_share = 1.0
    house.learn()
    assert audit(house).n_labels == 0
    for task_id in house.task_ids[20:30]:
        label_in_the_browser(house, task_id)
    house.learn()
    assert audit(house).n_labels == 10
    past = house.deps.database.past_suggestions(house.key)
    assert {task_id: item.number for task_id, item in past.items()} == (
        dict.fromkeys(house.task_ids[:20], 1) | dict.fromkeys(house.task_ids[20:30], 2)
    )


def test_what_a_version_knew_the_answer_of_is_not_taken_for_its_suggestion(house: House) -> None:
    house.fake.overlap = 2
    house.annotate(house.task_ids[:10])
    house.learn()
    for task_id in house.task_ids[:12]:
        house.label_studio.annotate(house.project, task_id, {"sentiment": (house.gold(task_id),)}, annotator=2)
    house.learn()
    assert set(house.deps.database.past_suggestions(house.key)) == set(house.task_ids[10:12])


def test_progress_is_measured_over_versions_and_survives_a_lost_folder(large: House) -> None:
    order = in_order(large)
    for done in (20, 45, 70, 110, 160):
        for task_id in order[:done]:
            if large.fake.tasks[task_id].task.is_open:
                label_in_the_browser(large, task_id)
        large.learn()
    (progress,) = status(large).progress
    assert [(item.n_before, item.n_labels) for item in progress.agreements] == [
        (20, 45),
        (45, 70),
        (70, 110),
        (110, 160),
    ]
    assert progress.recent is not None
    assert progress.expected is not None
    assert "next 100 labels +" in status_line(status(large))
    curve = large.deps.versions.metrics(large.key, 6).progress["sentiment"].curve
    assert [size for size, _ in curve] == [20, 45, 70, 110, 160]
    assert all(n_right <= progress.n_measured for _, n_right in curve)
    shutil.rmtree(large.version_folder(3))
    large.learn()
    assert "next 100 labels unknown" in status_line(status(large)), "three versions are no curve"
    curve = large.deps.versions.metrics(large.key, 7).progress["sentiment"].curve
    assert 45 not in [size for size, _ in curve]


def test_a_changed_rule_begins_the_curve_anew(large: House) -> None:
    order = in_order(large)
    large.annotate(order[:20])
    large.learn()
    film = large.deps.rules._folder / "film.py"  # type: ignore[attr-defined]
    film.write_text(film.read_text().replace("> 5", "> 6"))
    large.annotate(order[20:60])
    large.learn()
    progress = large.deps.versions.metrics(large.key, 3).progress["sentiment"]
    assert [size for size, _ in progress.curve] == [60]
    assert progress.agreement is not None
    assert progress.agreement.n_before == 20


def test_the_budget_is_shown_and_ends_it(house: House) -> None:
    house.label_budget = 10
    house.annotate(house.task_ids[:10])
    house.learn()
    line = status_line(status(house))
    assert "10 of 10 labels" in line
    assert line.endswith("stop: the budget of 10 labels is reached")


def test_each_question_has_its_figures_in_the_line(house: House) -> None:
    config = CONFIG.replace("</View>", '<Rating name="stars" toName="text"/></View>')
    house.fake.info = replace(house.fake.info, label_config=config)
    house.annotate(house.task_ids[:10])
    house.learn()
    line = status_line(status(house))
    assert "; sentiment: accuracy " in line
    assert "; stars: accuracy unknown without labels" in line
