"""Check: wrong labels are tagged, and what people say of them is remembered."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.domain.corpus import Corpus
from backend.domain.label_errors.action import Action
from backend.domain.label_errors.verdicts import PROBES
from backend.domain.tasks import Origin
from backend.entrypoints.cli.annotators import checked_json
from backend.entrypoints.cli.check import export, print_checked
from backend.errors import ConfigurationError, LabelStudioError
from backend.ports import SuspectRecord, SuspectStatus, VerdictRecord
from backend.workflows.check.inputs import search_labels
from backend.workflows.check.search import check
from backend.workflows.check.suspects import Checked, checked
from backend.workflows.label_weights import weights_of
from tests.screen import screen
from tests.unit.house import CONFIG, House, nothing, reviews


@pytest.fixture
def flipped(house: House) -> tuple[int, ...]:
    """Four wrong labels among sixty; those of them that were found and tagged."""
    wrong = checked_with_errors(house)
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
    other = "Negative" if house.gold(flipped[0]) == "Positive" else "Positive"
    assert re.match(rf"{house.gold(flipped[0])} >?0\.\d\d, {other} <?0\.\d\d; ", data["prelabel_reason"])
    assert f"rates says {house.gold(flipped[0])}" in data["prelabel_reason"]
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


def test_the_texts_of_a_settled_suspect_are_emptied_and_nothing_else_is_touched(
    house: House, flipped: tuple[int, ...]
) -> None:
    house.annotate([flipped[0]])
    house.reconcile()
    data = house.fake.tasks[flipped[0]].task.data
    assert (data["prelabel_expected"], data["prelabel_reason"], data["prelabel_check"]) == ("", "", "fixed")
    assert data["text"] == reviews(80)[data["n"]]["text"]


def test_a_keep_tag_confirms(house: House, flipped: tuple[int, ...]) -> None:
    house.label_studio.tag(house.project, "prelabel_check", "keep", [flipped[0]])
    house.reconcile()
    assert status(house, flipped[0]) is SuspectStatus.CONFIRMED
    check(house.deps, house.key, nothing)
    assert flipped[0] not in tagged(house)


def test_a_task_with_a_keep_tag_is_never_flagged(house: House) -> None:
    house.annotate(house.task_ids, wrong=(house.task_ids[2],))
    house.label_studio.tag(house.project, "prelabel_check", "keep", house.task_ids)
    house.learn()
    check(house.deps, house.key, nothing)
    assert house.deps.database.suspects(house.key) == []


def test_no_more_than_the_budget_are_tagged_and_others_move_up_when_one_is_settled(
    house: House, flipped: tuple[int, ...]
) -> None:
    every = {item.task_id: item.quality for item in house.deps.database.suspects(house.key)}
    worst_first = sorted(every, key=lambda task_id: (every[task_id], task_id))
    house.check_budget = 2
    check(house.deps, house.key, nothing)
    assert tagged(house) == set(worst_first[:2])
    assert status(house, worst_first[2]) is SuspectStatus.WAITING
    settled = worst_first[0]
    house.annotate([settled], wrong=(settled,) if settled not in flipped else ())
    house.reconcile()
    assert tagged(house) == set(worst_first[1:3])


def test_a_suspect_that_waits_leaves_no_trace_in_label_studio(house: House) -> None:
    house.check_budget = 0
    checked_with_errors(house)
    waiting = house.deps.database.suspects(house.key)
    assert {item.status for item in waiting} == {SuspectStatus.WAITING}
    house.label_studio.calls.clear()
    house.reconcile()
    assert "tag" not in house.label_studio.calls
    assert not any(key.startswith("prelabel_") for item in house.fake.tasks.values() for key in item.task.data)
    corpus = Corpus(house.key, parse_label_config(CONFIG), house.deps.database.tasks(house.key))
    weights = weights_of(house.deps, corpus)
    assert (weights["sentiment"] < 1).sum() == len(waiting)


def test_suspects_that_are_excluded_are_not_learned_from_and_nobody_is_asked(
    house: House, flipped: tuple[int, ...]
) -> None:
    house.check_action = Action.EXCLUDE
    check(house.deps, house.key, nothing)
    assert tagged(house) == set()
    suspects = {item.task_id for item in house.deps.database.suspects(house.key)}
    assert suspects >= set(flipped)
    house.learn()
    metrics = house.deps.versions.metrics(house.key, house.deps.versions.current(house.key))
    assert metrics.questions["sentiment"].n_labels == 60 - len(suspects)
    check(house.deps, house.key, nothing)
    assert {item.task_id for item in checked(house.deps, house.key).suspects} >= set(flipped)
    house.check_action = Action.RELABEL
    check(house.deps, house.key, nothing)
    assert tagged(house) >= set(flipped)


def test_a_confirmed_label_is_not_flagged_when_the_task_is_imported_again(
    house: House, flipped: tuple[int, ...]
) -> None:
    confirm(house, flipped[0])
    again = import_again(house, flipped[0])
    house.learn()
    check(house.deps, house.key, nothing)
    assert again not in tagged(house)
    assert tagged(house) & set(flipped[1:])


def test_a_fixed_label_is_flagged_when_the_task_is_imported_again_with_the_old_one(
    house: House, flipped: tuple[int, ...]
) -> None:
    wrong = house.fake.tasks[flipped[0]].annotations[0].answers
    house.annotate([flipped[0]])
    house.reconcile()
    again = import_again(house, flipped[0])
    house.label_studio.annotate(house.project, again, wrong)
    house.learn()
    check(house.deps, house.key, nothing)
    assert again in tagged(house)


def test_a_confirmed_label_is_flagged_again_when_its_quality_has_fallen_far(
    house: House, flipped: tuple[int, ...]
) -> None:
    confirm(house, flipped[0])
    (verdict,) = house.deps.database.verdicts(house.key)
    house.deps.database.save_verdicts(house.key, [replace(verdict, quality=verdict.quality + 0.1)])
    check(house.deps, house.key, nothing)
    assert flipped[0] not in tagged(house)
    house.deps.database.save_verdicts(house.key, [replace(verdict, quality=verdict.quality + 0.5)])
    check(house.deps, house.key, nothing)
    assert flipped[0] in tagged(house)


NESTED = CONFIG.replace('<Choice value="Positive"/>', '<Choice value="Said"><Choice value="Positive"/>').replace(
    "</Choices>", '</Choice><Choice value="Nothing"/></Choices>'
)


def test_an_answer_that_is_read_otherwise_is_no_verdict_and_what_was_confirmed_stays_so(
    house: House, flipped: tuple[int, ...]
) -> None:
    confirm(house, flipped[0])
    verdicts = house.deps.database.verdicts(house.key)
    # As an update does: today paths are read in full, of which an earlier release kept the last part.
    house.fake.info = replace(
        house.fake.info, label_config=NESTED.replace('name="sentiment"', 'name="sentiment" allowNested="true"')
    )
    for task_id, item in house.fake.tasks.items():
        read = [
            replace(entry, answers={name: (f"Said / {label}",) for name, (label,) in entry.answers.items()})
            for entry in item.annotations
        ]
        house.fake.tasks[task_id] = replace(item, annotations=tuple(read))
    record = house.deps.database.project(house.key)
    assert record is not None
    house.deps.database.save_project(replace(record, cursor=None))
    house.reconcile()
    assert {status(house, task_id) for task_id in flipped[1:]} == {SuspectStatus.CLEARED}
    assert house.deps.database.verdicts(house.key) == verdicts
    house.learn()
    check(house.deps, house.key, nothing)
    assert tagged(house) & set(flipped[1:])
    assert flipped[0] not in tagged(house)


def test_a_label_that_the_config_has_no_more_is_no_verdict_either(house: House, flipped: tuple[int, ...]) -> None:
    config = CONFIG.replace("Positive", "Good").replace("Negative", "Poor")
    house.fake.info = replace(house.fake.info, label_config=config)
    house.label_studio.annotate(house.project, flipped[0], {"sentiment": ("Good",)})
    house.reconcile()
    assert {status(house, task_id) for task_id in flipped} == {SuspectStatus.CLEARED}
    assert not house.deps.database.verdicts(house.key)
    assert not tagged(house)


def test_a_deleted_task_is_no_verdict(house: House, flipped: tuple[int, ...]) -> None:
    house.label_studio.delete_task(house.project, flipped[0])
    house.reconcile()
    assert status(house, flipped[0]) is SuspectStatus.CLEARED
    assert house.deps.database.verdicts(house.key) == []


def test_verdicts_hold_back_what_people_mostly_confirm(house: House, flipped: tuple[int, ...]) -> None:
    before = tagged(house)
    verdicts = [
        VerdictRecord(f"{number:064}", "sentiment", SuspectStatus.CONFIRMED, 0.3, float(number)) for number in range(40)
    ]
    house.deps.database.save_verdicts(house.key, verdicts)
    check(house.deps, house.key, nothing)
    assert len(tagged(house)) == min(PROBES, len(before))
    house.deps.database.save_verdicts(house.key, [replace(item, status=SuspectStatus.FIXED) for item in verdicts])
    check(house.deps, house.key, nothing)
    assert tagged(house) == before


def test_a_version_of_before_the_classifiers_figures_were_kept_can_be_checked(
    house: House, flipped: tuple[int, ...]
) -> None:
    number = house.deps.versions.current(house.key)
    (house.version_folder(number) / "classifier.parquet").unlink()
    check(house.deps, house.key, nothing)
    assert tagged(house) & set(flipped)


def test_the_search_knows_votes_annotators_and_what_was_accepted_unread(house: House) -> None:
    for task_id in house.task_ids:
        quick = task_id % 5 == 0
        house.label_studio.annotate(
            house.project,
            task_id,
            {"sentiment": (house.gold(task_id),)},
            annotator=1 + task_id % 2,
            origins={"sentiment": Origin.ACCEPTED} if quick else {},
            lead_time_s=0.2 if quick else 9.0,
        )
    house.learn()
    config = house.deps.parse_label_config(CONFIG)
    searched = search_labels(house.deps, 1, Corpus(house.key, config, house.deps.database.tasks(house.key)))
    findings = searched.findings["sentiment"]
    assert {"posterior", "votes", "neighbours"} <= set(findings.weights["sentiment"])
    assert set(findings.error_rates) == {1, 2}
    assert list(searched.task_ids) == house.task_ids


def test_too_few_labels_are_named_and_nothing_is_tagged(house: House) -> None:
    house.annotate(house.task_ids[:5])
    house.learn()
    check(house.deps, house.key, nothing)
    assert tagged(house) == set()
    assert "sentiment: labels can't be judged yet: there are 5 of 10 that are needed." in printed(house)


def test_the_command_says_so_before_the_first_check(house: House) -> None:
    assert printed(house) == "No check has ended yet: it needs a trained version and labels.\n"


def test_the_command_lists_the_worst_and_says_how_often_the_search_was_right(
    house: House, flipped: tuple[int, ...]
) -> None:
    assert "No verdict yet" in printed(house)
    assert re.search(r"sentiment: confident learning counts some \d+ of 60 labels as wrong", printed(house))
    confirm(house, flipped[0])
    house.annotate([flipped[1]])
    house.reconcile()
    text = printed(house, top=1)
    assert "By 2 verdicts, 0.50 (0.09-0.91) of the suspects were wrong: 1 fixed, 1 confirmed." in text
    n = len(tagged(house))
    assert f"{n} suspects: {n} in the tab 'Prelabel: check', 0 waiting, 1 listed." in text
    assert text.count("rates says") == 1


def test_the_export_has_every_suspect(house: House, flipped: tuple[int, ...], tmp_path: Path) -> None:
    house.check_budget = 1
    check(house.deps, house.key, nothing)
    export(tmp_path / "suspects.csv", checked(house.deps, house.key).suspects)
    rows = list(csv.DictReader((tmp_path / "suspects.csv").open(newline="")))
    assert {int(row["task"]) for row in rows} >= set(flipped)
    assert [row["status"] for row in rows] == ["suspect"] + ["waiting"] * (len(rows) - 1)
    assert sorted(rows, key=lambda row: float(row["quality"])) == rows


def suspects_in_json(found: Checked) -> list[dict[str, object]]:
    each: list[dict[str, object]] = json.loads(json.dumps(checked_json(found, 50, {})))["suspects"]
    return each


def test_the_region_of_a_suspect_is_told_where_there_is_one(
    house: House, flipped: tuple[int, ...], tmp_path: Path
) -> None:
    found = checked(house.deps, house.key)
    assert "region" not in printed(house)
    assert all("region" not in item for item in suspects_in_json(found))
    known = next(item for item in found.suspects if item.task_id == flipped[0])
    house.deps.database.save_suspects(house.key, [replace(known, region="Zbm4x"), replace(known, region="a1")])
    found = checked(house.deps, house.key)
    assert [item.region for item in found.suspects if item.task_id == flipped[0]] == ["", "Zbm4x", "a1"]
    assert {"Zbm4x", "a1"} <= set(printed(house).split())
    told = [item["region"] for item in suspects_in_json(found) if "region" in item]
    assert told == ["Zbm4x", "a1"]
    export(tmp_path / "suspects.csv", found.suspects)
    rows = list(csv.DictReader((tmp_path / "suspects.csv").open(newline="")))
    assert [row["region"] for row in rows if row["task"] == str(flipped[0])] == ["", "Zbm4x", "a1"]
    house.annotate([flipped[0]])
    house.reconcile()
    verdicts = [item for item in house.deps.database.verdicts(house.key) if item.status is SuspectStatus.FIXED]
    assert sorted(item.region for item in verdicts) == ["", "Zbm4x", "a1"]
    assert flipped[0] not in tagged(house)


def test_an_export_that_cant_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"suspects.csv can't be written"):
        export(tmp_path / "none" / "suspects.csv", [])


def checked_with_errors(house: House) -> tuple[int, ...]:
    """Label sixty tasks, four of them wrongly, train and check; returns these."""
    house.label_studio.add_tasks(house.project, reviews(80)[40:])
    labeled = house.task_ids[:60]
    # Of different subjects: if all were of one, that would be a pattern, and no errors.
    wrong = tuple(task_id for task_id in labeled if house.fake.tasks[task_id].task.data.get("rating"))[::9]
    house.annotate(labeled, wrong=wrong)
    house.learn()
    check(house.deps, house.key, nothing)
    return wrong


def confirm(house: House, task_id: int) -> None:
    """Save a wrong label again as it is."""
    house.annotate([task_id], wrong=(task_id,))
    house.reconcile()
    assert status(house, task_id) is SuspectStatus.CONFIRMED


def import_again(house: House, task_id: int) -> int:
    """Delete a task, and import it anew with its label."""
    item = house.fake.tasks[task_id]
    house.label_studio.delete_task(house.project, task_id)
    data = {name: value for name, value in item.task.data.items() if not name.startswith("prelabel_")}
    (again,) = house.label_studio.add_tasks(house.project, [data])
    house.label_studio.annotate(house.project, again, item.annotations[0].answers)
    house.reconcile()
    return again


def printed(house: House, top: int = 50) -> str:
    """What `prelabel check` prints."""
    with screen() as text:
        print_checked(checked(house.deps, house.key), top)
    return text.getvalue()


def status(house: House, task_id: int) -> SuspectStatus:
    """What became of a task's only suspect."""
    (found,) = [item.status for item in house.deps.database.suspects(house.key) if item.task_id == task_id]
    return found
