"""Tasks that several people labeled: each answer is judged by the others', and each annotator by all."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from backend.adapters.label_studio.config import parse_label_config
from backend.domain.corpus import Corpus
from backend.domain.label_errors.consensus import consensus_of
from backend.domain.label_errors.multi_annotator import labels_of
from backend.domain.label_errors.records import SearchInputs
from backend.domain.label_errors.search import search
from backend.domain.questions import Choices, Question, Rating
from backend.domain.questions.units import Units
from backend.domain.tasks import Annotation
from backend.entrypoints.cli.annotators import checked_json, export_consensus, print_annotators
from backend.ports import SuspectStatus
from backend.workflows.check.search import check
from backend.workflows.check.suspects import checked
from backend.workflows.label_weights import weights_of
from tests.screen import screen
from tests.unit.house import CONFIG, House, nothing, reviews
from tests.unit.planted import frame_with

NAMES = {1: "ann@example.com", 2: "bob@example.com", 3: "cy@example.com"}
CHOICE = Choices("mood", "text", ("good", "bad"))
STARS = Rating("stars", "text", ("1", "2", "3", "4", "5"))


def annotation(number: int, who: int | None, label: str, question: str = "mood") -> Annotation:
    return Annotation(number, 1, who, {question: (label,)}, updated_at=f"2026-01-01T00:00:{number:02d}Z")


def labeled_by_three(house: House) -> dict[int, str]:
    """Forty tasks, labeled by two of three people each; the third is wrong in every third task. Task -> wrong label."""
    house.label_studio.fakes[house.project].overlap = 2
    wrong: dict[int, str] = {}
    for place, task_id in enumerate(house.task_ids):
        right = house.gold(task_id)
        for annotator in [(1, 2), (1, 3), (2, 3)][place % 3]:
            label = right
            if annotator == 3 and place % 9 in (1, 5):
                label = wrong[task_id] = "Negative" if right == "Positive" else "Positive"
            house.label_studio.annotate(house.project, task_id, {"sentiment": (label,)}, annotator=annotator)
    house.learn()
    check(house.deps, house.key, nothing)
    return wrong


def test_the_worse_answer_of_a_disagreement_is_suspect_and_the_others_are_counted_in_the_reason(house: House) -> None:
    wrong = labeled_by_three(house)
    found = {item.task_id: item for item in checked(house.deps, house.key).suspects}
    assert set(found) == set(wrong)
    for task_id, label in wrong.items():
        assert found[task_id].given == (label,)
        assert found[task_id].expected == (house.gold(task_id),)
        assert f"another annotator says {house.gold(task_id)}" in found[task_id].reason


def test_an_outvoted_answer_that_is_changed_is_fixed_and_one_saved_again_is_confirmed(house: House) -> None:
    first, second, *others = labeled_by_three(house).items()
    house.label_studio.annotate(house.project, first[0], {"sentiment": (house.gold(first[0]),)}, annotator=3)
    house.label_studio.annotate(house.project, second[0], {"sentiment": (second[1],)}, annotator=3)
    house.reconcile()
    said = {item.task_id: item.status for item in house.deps.database.suspects(house.key)}
    assert said[first[0]] is SuspectStatus.FIXED
    assert said[second[0]] is SuspectStatus.CONFIRMED
    assert all(said[task_id] is SuspectStatus.OPEN for task_id, _ in others)
    check(house.deps, house.key, nothing)
    assert {item.task_id for item in checked(house.deps, house.key).suspects} == {task_id for task_id, _ in others}


def test_a_suspect_that_the_other_annotator_comes_round_to_is_confirmed(house: House) -> None:
    task_id, label = next(iter(labeled_by_three(house).items()))
    (other,) = [entry.annotator_id for entry in house.fake.tasks[task_id].annotations if entry.annotator_id != 3]
    house.label_studio.annotate(house.project, task_id, {"sentiment": (label,)}, annotator=other or 0)
    house.reconcile()
    (found,) = [item.status for item in house.deps.database.suspects(house.key) if item.task_id == task_id]
    assert found is SuspectStatus.CONFIRMED


def test_annotators_are_ranked_named_to_admins_and_to_nobody_else(house: House, tmp_path: Path) -> None:
    labeled_by_three(house)
    found = checked(house.deps, house.key)
    table = json.loads(json.dumps(checked_json(found, 50, NAMES)))["annotators"]
    assert [item["annotator"] for item in table][-1] == "cy@example.com"
    assert table[-1]["quality"] < table[0]["quality"] - 0.05
    assert sum(item["n_labels"] for item in table) == 80
    with screen() as text:
        print_annotators(found.report, NAMES)
    lines = [line for line in text.getvalue().splitlines() if "@" in line]
    assert [line.split()[0] for line in lines][-1] == "cy@example.com"
    export_consensus(tmp_path / "consensus.csv", found.report)
    rows = list(csv.DictReader((tmp_path / "consensus.csv").open(newline="")))
    assert len(rows) == 40
    right = sum(row["consensus"] == house.gold(int(row["task"])) for row in rows)
    assert right >= 38
    told = [str(item.task.data) for item in house.fake.tasks.values()]
    told += [str(stored) for of_task in house.fake.predictions.values() for stored in of_task]
    told += [str(tab) for tab in house.fake.tabs.values()]
    assert not any("annotator_id" in item or "@example.com" in item for item in told)


def test_an_outvoted_answer_does_not_take_weight_from_what_the_others_taught(house: House) -> None:
    house.label_studio.fakes[house.project].overlap = 3
    for place, task_id in enumerate(house.task_ids):
        for annotator in (1, 2, 3):
            wrong = annotator == 3 and place % 8 == 0
            label = {"Positive": "Negative", "Negative": "Positive"}[house.gold(task_id)] if wrong else None
            answer = {"sentiment": (label or house.gold(task_id),)}
            house.label_studio.annotate(house.project, task_id, answer, annotator=annotator)
    house.learn()
    check(house.deps, house.key, nothing)
    assert {item.task_id for item in checked(house.deps, house.key).suspects} == set(house.task_ids[::8])
    corpus = Corpus(house.key, parse_label_config(CONFIG), house.deps.database.tasks(house.key))
    assert weights_of(house.deps, corpus) == {}


def test_who_labels_alone_is_judged_by_the_evidence(house: House) -> None:
    house.label_studio.add_tasks(house.project, reviews(60)[40:])
    for place, task_id in enumerate(house.task_ids):
        wrong = place % 2 and place % 6 == 3
        label = {"Positive": "Negative", "Negative": "Positive"}[house.gold(task_id)] if wrong else house.gold(task_id)
        house.label_studio.annotate(house.project, task_id, {"sentiment": (label,)}, annotator=1 + place % 2)
    house.learn()
    check(house.deps, house.key, nothing)
    table = json.loads(json.dumps(checked_json(checked(house.deps, house.key), 0, {})))["annotators"]
    assert [(item["annotator"], item["n_shared"]) for item in table] == [("1", 0), ("2", 0)]
    assert table[0]["questions"]["sentiment"]["measured_on"] == "evidence"


def inputs_of(question: Question, tasks: list[list[Annotation]]) -> SearchInputs:
    labels, _ = labels_of(question, Units(len(tasks)), tasks)
    return SearchInputs(labels=labels, consensus={key: consensus_of(item) for key, item in labels.items()})


def test_two_who_agree_outweigh_evidence_against_them_and_one_alone_does_not() -> None:
    proba = np.array([[0.95, 0.05], [0.05, 0.95]] * 10)
    gold = np.array([0, 1] * 9 + [1, 1])
    tasks = [[annotation(1, 1, CHOICE.labels[label]), annotation(2, 2, CHOICE.labels[label])] for label in gold]
    alone = search(CHOICE, frame_with([CHOICE], held_out={"mood": proba}, gold={"mood": gold}))
    assert [item.row for item in alone.suspects] == [18]
    assert (
        search(
            CHOICE,
            frame_with([CHOICE], held_out={"mood": proba}, gold={"mood": gold}),
            inputs_of(CHOICE, tasks),
        ).suspects
        == []
    )


def test_neighbouring_ratings_are_no_disagreement_worth_a_look() -> None:
    gold = np.array([0, 1, 2, 3, 4] * 8)
    proba = np.full((40, 5), 0.05)
    proba[np.arange(40), gold] = 0.8
    tasks = [[annotation(n, n, STARS.labels[label], "stars") for n in (1, 2, 3)] for label in gold]
    tasks[7][2] = annotation(3, 3, "3", "stars")
    tasks[5][2] = annotation(3, 3, "5", "stars")
    found = search(
        STARS,
        frame_with([STARS], held_out={"stars": proba}, gold={"stars": gold}),
        inputs_of(STARS, tasks),
    ).suspects
    assert [(item.row, item.given) for item in found] == [(5, ("5",))]


def test_of_two_annotations_by_one_person_the_last_counts_and_unusable_answers_are_none() -> None:
    tasks = [
        [annotation(1, 7, "good"), annotation(2, 7, "bad")],
        [annotation(3, None, "good"), annotation(4, 8, "gone")],
        [Annotation(5, 1, 8, {"mood": ("good", "bad")})],
    ]
    labels, people = labels_of(CHOICE, Units(len(tasks)), tasks)
    assert people == (-1, 7)
    said = labels["mood"]
    assert (said.tasks.tolist(), said.annotators.tolist(), said.classes.tolist()) == ([0, 1], [1, 0], [1, 0])


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_is_no_crowd(n: int) -> None:
    labels, people = labels_of(CHOICE, Units(len([[annotation(1, 5, "good")]] * n)), [[annotation(1, 5, "good")]] * n)
    assert len(people) == n
    assert consensus_of(labels["mood"]).annotator_quality.shape == (n,)


def test_who_is_often_wrong_on_shared_tasks_is_doubted_sooner_where_nobody_else_answered() -> None:
    gold = np.array([0, 1] * 30)
    proba = np.where(gold[:, None] == np.arange(2), 0.9, 0.1)
    tasks: list[list[Annotation]] = []
    for row, right in enumerate(gold.tolist()):
        poor = 1 - right if row % 2 == row // 2 % 2 else right
        tasks.append([annotation(1, 1, CHOICE.labels[right]), annotation(2, 3, CHOICE.labels[poor])])
    # Two tasks that one of them labeled alone, with the same evidence against the label.
    for row, who in ((58, 1), (59, 3)):
        tasks[row] = [annotation(1, who, CHOICE.labels[gold[row]])]
        proba[row] = np.where(np.arange(2) == gold[row], 0.35, 0.65)
    found = {
        item.row
        for item in search(
            CHOICE,
            frame_with([CHOICE], held_out={"mood": proba}, gold={"mood": gold}),
            inputs_of(CHOICE, tasks),
        ).suspects
    }
    assert 59 in found
    assert 58 not in found
