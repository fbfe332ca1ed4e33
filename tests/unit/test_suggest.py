"""Suggest: one answer for each task, in order, before the deadline."""

import copy
import itertools
import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from backend.adapters.rules.loader import FolderRules
from backend.ports import LoadedRules
from backend.workflows.suggest import CHUNK, answer
from backend.workflows.votes import cast_votes
from tests.unit.house import CONFIG, RULES, House


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


def test_what_is_returned_at_the_deadline_stays_as_it_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = RULES.replace('"""bad"""', "raise ValueError(task.text)")
    (house.deps.rules._folder / "film.py").write_text(broken)  # type: ignore[attr-defined]
    answered, n_chunks = threading.Event(), itertools.count(1)

    def cast_slowly(*args: Any) -> Any:
        if next(n_chunks) > 1:
            assert answered.wait(20)
        return cast_votes(*args)

    monkeypatch.setattr("backend.workflows.suggest.cast_votes", cast_slowly)
    before = set(threading.enumerate())
    answers = answer(house.deps, house.key, CONFIG, [{"text": "x"}] * (2 * CHUNK), 2.0)
    assert answers.late == CHUNK
    returned = copy.deepcopy((answers.faults, answers.suggestions))
    assert sum(answers.faults.counts.values()) == CHUNK
    (filling,) = set(threading.enumerate()) - before
    answered.set()
    filling.join()
    assert (answers.faults, answers.suggestions) == returned


def test_the_current_version_is_named_even_when_the_rules_take_too_long_to_load(house: House) -> None:
    house.learn()
    answered = threading.Event()

    class SlowRules(FolderRules):
        def load(self) -> LoadedRules:
            assert answered.wait(20)
            return super().load()

    deps = replace(house.deps, rules=SlowRules(house.deps.rules._folder))  # type: ignore[attr-defined]
    answers = answer(deps, house.key, CONFIG, [{"text": "good"}], 0.1)
    answered.set()
    assert (answers.version, answers.late) == ("v1", 1)


def test_predict_uses_the_model_for_questions_that_did_not_change(house: House) -> None:
    house.annotate(house.task_ids[:20], wrong=tuple(house.task_ids[:20]))
    house.learn()
    config = CONFIG.replace("</View>", '<Rating name="stars" toName="text"/></View>')
    answers = answer(house.deps, house.key, config, [{"text": "a good film"}], 20)
    assert answers.suggestions[0].answers == {"sentiment": ("Negative",)}
    changed = CONFIG.replace('<Choice value="Positive"/>', '<Choice value="Positive"/><Choice value="Mixed"/>')
    answers = answer(house.deps, house.key, changed, [{"text": "a good film"}], 20)
    assert answers.suggestions[0].answers == {"sentiment": ("Positive",)}


def test_a_project_without_rules_is_answered_by_its_classifier(house: House) -> None:
    (house.deps.rules._folder / "film.py").unlink()  # type: ignore[attr-defined]
    house.annotate(house.task_ids[:30])
    house.learn()
    house.deps.versions._models.clear()  # type: ignore[attr-defined] # as after a restart
    answers = answer(house.deps, house.key, CONFIG, [{"text": "a good film"}, {"text": "a bad film"}], 20)
    assert [item.answers["sentiment"] for item in answers.suggestions] == [("Positive",), ("Negative",)]


def test_a_version_folder_holds_what_the_readme_promises(house: House) -> None:
    house.annotate(house.task_ids[:12])
    house.learn()
    folder = house.version_folder(1)
    assert {path.name for path in folder.iterdir()} == {
        "model.skops",
        "label_models.json",
        "labels.json",
        "sources.json",
        "metrics.json",
        "votes.parquet",
        "held_out.parquet",
        "classifier.parquet",
        "predictions.parquet",
    }
    assert json.loads((folder / "sources.json").read_text()) == {"sentiment": ["praises", "complains", "rates"]}
    assert json.loads((folder / "labels.json").read_text())[0]["labels"] == ["Positive", "Negative"]


def test_predict_goes_on_with_the_rules_when_the_model_cant_be_read(house: House) -> None:
    house.learn()
    (house.version_folder(1) / "model.skops").write_bytes(b"damaged")
    house.deps.versions._models.clear()  # type: ignore[attr-defined] # as after a restart
    answers = answer(house.deps, house.key, CONFIG, [{"text": "good"}, {}], 20)
    assert [item.answers for item in answers.suggestions] == [{"sentiment": ("Positive",)}, {}]
    assert "v1" in answers.problem


def test_predict_answers_a_config_without_questions_with_abstentions(house: House) -> None:
    answers = answer(house.deps, house.key, "<View/>", [{"text": "good"}, {}], 20)
    assert [item.answers for item in answers.suggestions] == [{}, {}]
    house.learn()
    assert answer(house.deps, house.key, "<View/>", [{}], 20).version == "v1"


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
