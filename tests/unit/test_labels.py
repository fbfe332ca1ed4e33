"""Labels that come later, are split or renamed: what old answers still teach, and which tasks come back."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from typer.testing import CliRunner

from backend.domain.added_labels import held_out, likely
from backend.domain.frame import frame_of
from backend.domain.questions import Choices, decisions
from backend.domain.votes import VoteMatrix
from backend.entrypoints.cli import installation
from backend.entrypoints.cli.main import cli
from backend.errors import BadRequest
from backend.ports import Deps, SuspectRecord, SuspectStatus
from backend.workflows.check.search import check
from backend.workflows.reconcile import basis_of
from tests.screen import screen
from tests.unit.house import House, nothing

WITH_ANGRY = '<Choice value="Negative"/><Choice value="Angry"/>'
ADJECTIVES = ("dull", "slow", "long", "weak", "loud")


def feelings(house: House) -> None:
    """A project of 90 reviews: every third one good, dull, or furious; 60 of them labeled Positive or Negative."""
    data: list[dict[str, object]] = [
        {
            "text": (
                f"A lovely film, number {row}",
                f"A {ADJECTIVES[row % 5]} film, number {row}",
                f"Furious, an outrage, give my money back, number {row}",
            )[row % 3]
        }
        for row in range(90)
    ]
    house.project = house.label_studio.add_project(house.fake.info.label_config, data)
    house.key = f"{house.project}.1767225600-aaaaaaaa"
    for row, task in enumerate(house.task_ids[:60]):
        say(house, task, "Positive" if row % 3 == 0 else "Negative")
    house.learn()


def say(house: House, task: int, *labels: str) -> None:
    house.label_studio.annotate(house.project, task, {"sentiment": labels})


def configure(house: House, old: str, new: str) -> None:
    config = house.fake.info.label_config
    assert old in config
    house.fake.info = replace(house.fake.info, label_config=config.replace(old, new))
    house.reconcile()


def back(house: House) -> list[int]:
    """Tasks that people see in the tab, the first one first."""
    check(house.deps, house.key, nothing)
    found = [item for item in house.deps.database.suspects(house.key) if item.status is SuspectStatus.OPEN]
    return [item.task_id for item in sorted(found, key=lambda item: item.quality)]


def is_furious(house: House, task: int) -> bool:
    return "Furious" in str(house.fake.tasks[task].task.data["text"])


def test_tasks_that_may_be_of_a_label_added_later_come_back_and_teach_nothing_against_it(house: House) -> None:
    feelings(house)
    # Confirmed when there was no such label, which says nothing of it.
    before = SuspectRecord(house.task_ids[2], "sentiment", ("Negative",), ("Positive",), 0.1, SuspectStatus.CONFIRMED)
    house.deps.database.save_suspects(house.key, [before])
    configure(house, '<Choice value="Negative"/>', WITH_ANGRY)
    # At first nobody has said what is Angry, and no rule does: nothing is known, and nothing is doubted.
    house.learn()
    assert back(house) == []
    open_ones = [task for task in house.task_ids[60:] if is_furious(house, task)]
    for task in open_ones[:4]:
        say(house, task, "Angry")
    house.learn()
    assert {house.shown(task)[0] for task in open_ones[4:]} == {"Angry"}
    found = back(house)
    old = [task for task in house.task_ids[:60] if is_furious(house, task)]
    assert set(found) == set(old)
    suspect = next(item for item in house.deps.database.suspects(house.key) if item.task_id == found[0])
    assert (suspect.given, suspect.expected) == (("Negative",), ("Angry",))
    assert "was added after it was labeled Negative" in suspect.reason
    assert house.fake.tasks[found[0]].task.data["prelabel_expected"] == "sentiment: Angry"


def test_who_saves_a_task_that_came_back_has_the_last_word(house: House) -> None:
    feelings(house)
    configure(house, '<Choice value="Negative"/>', WITH_ANGRY)
    for task in [task for task in house.task_ids[60:] if is_furious(house, task)][:4]:
        say(house, task, "Angry")
    house.learn()
    first, second, *_ = back(house)
    say(house, first, "Negative")
    say(house, second, "Angry")
    house.learn()
    again = back(house)
    assert again
    assert first not in again
    assert second not in again
    statuses = {item.task_id: item.status for item in house.deps.database.suspects(house.key)}
    assert statuses[first] is SuspectStatus.CONFIRMED
    assert statuses[second] is SuspectStatus.FIXED


ANGRY_RULE = """
rules:
- {name: furious, type: keyword, field: text, keywords: [furious], question: sentiment, vote: Angry}
"""


def test_a_rule_for_the_new_label_is_enough_for_tasks_to_come_back(house: House) -> None:
    feelings(house)
    # Answered after our last look, and before the label was there.
    late = next(task for task in house.task_ids[60:] if is_furious(house, task))
    say(house, late, "Negative")
    configure(house, '<Choice value="Negative"/>', WITH_ANGRY)
    (house.folder / "rules" / "angry.yaml").write_text(ANGRY_RULE)
    house.learn()
    assert set(back(house)) == {late, *(task for task in house.task_ids[:60] if is_furious(house, task))}


def test_an_old_answer_of_several_labels_is_no_no_to_a_label_added_later(house: House) -> None:
    config = house.fake.info.label_config.replace('toName="text"', 'toName="text" choice="multiple"')
    house.fake.info = replace(house.fake.info, label_config=config)
    feelings(house)
    configure(house, '<Choice value="Negative"/>', WITH_ANGRY)
    open_ones = [task for task in house.task_ids[60:] if is_furious(house, task)]
    for task in open_ones[:4]:
        say(house, task, "Negative", "Angry")
    for row, task in enumerate(house.task_ids[60:72]):
        if not is_furious(house, task):
            say(house, task, "Positive" if row % 3 == 0 else "Negative")
    house.learn()
    assert {tuple(house.shown(task)) for task in open_ones[4:]} == {("Negative", "Angry")}
    assert set(back(house)) == {task for task in house.task_ids[:60] if is_furious(house, task)}


def test_tasks_whose_label_was_split_come_back(house: House) -> None:
    feelings(house)
    configure(house, '<Choice value="Negative"/>', '<Choice value="Dull"/><Choice value="Angry"/>')
    house.learn()
    split = {task for row, task in enumerate(house.task_ids[:60]) if row % 3}
    assert set(back(house)) == split
    # They stay until somebody has chosen again.
    assert set(back(house)) == split
    first = back(house)[0]
    say(house, first, "Angry")
    assert first not in back(house)


def test_a_renamed_label_keeps_its_answers_after_one_confirmation(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_home(monkeypatch, house)
    feelings(house)
    configure(house, '"Negative"', '"Bad"')
    house.learn()
    lines = {item["label"]: item for item in json.loads(run(str(house.project), "--json"))}
    assert (lines["Negative"]["known"], lines["Negative"]["n_tasks"]) == (False, 40)
    assert lines["Bad"]["since"] > ""
    assert lines["Positive"]["since"] == ""
    assert "--rename Negative=NEW" in run(str(house.project))
    before = basis_of(house.deps, house.key)
    assert "40 tasks labeled Negative count as Bad" in run(str(house.project), "--rename", "Negative=Bad")
    # Which is a reason to train anew.
    assert basis_of(house.deps, house.key) != before
    lines = {item["label"]: item for item in json.loads(run(str(house.project), "--json"))}
    assert (lines["Bad"]["n_tasks"], lines["Bad"]["renamed_from"]) == (40, ["Negative"])
    house.learn()
    dull = next(task for task in house.task_ids[60:] if "dull" in str(house.fake.tasks[task].task.data["text"]))
    assert house.shown(dull) == ["Bad"]
    assert back(house) == []
    run(str(house.project), "--undo-rename", "Negative")
    assert basis_of(house.deps, house.key) == before
    lines = {item["label"]: item for item in json.loads(run(str(house.project), "--json"))}
    assert lines["Negative"]["n_tasks"] == 40


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--rename", "Negative"), "write OLD=NEW"),
        (("--rename", "Positive=Bad"), "is a label of today"),
        (("--rename", "Negative=Good"), "rename it in the label config first"),
        (("--rename", "Awful=Bad"), "No answer to 'sentiment' has the label 'Awful'"),
        (("--rename", "Negative=Bad", "--question", "mood"), "There is no question 'mood'"),
        (("--undo-rename", "Negative"), "was not renamed"),
    ],
)
def test_a_renaming_that_cannot_be_is_refused_with_the_reason(
    house: House, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    at_home(monkeypatch, house)
    house.annotate(house.task_ids[:4])
    house.reconcile()
    configure(house, '"Negative"', '"Bad"')
    with pytest.raises(BadRequest, match=reason):
        CliRunner().invoke(cli, ["labels", str(house.project), *arguments], catch_exceptions=False)


def test_a_renamed_label_that_is_there_again_is_itself(house: House) -> None:
    house.annotate(house.task_ids[:4])
    house.reconcile()
    configure(house, '"Negative"', '"Bad"')
    house.deps.database.save_renamed_label(house.key, ("sentiment", "Negative"), "Bad")
    said = {label for item in house.deps.database.annotations(house.key) for label in item.answers["sentiment"]}
    assert said == {"Positive", "Bad"}
    configure(house, '<Choice value="Bad"/>', '<Choice value="Bad"/><Choice value="Negative"/>')
    said = {label for item in house.deps.database.annotations(house.key) for label in item.answers["sentiment"]}
    assert said == {"Positive", "Negative"}


def test_tasks_that_cannot_be_told_apart_are_not_doubted() -> None:
    decision = decisions(Choices("q", "text", ("a", "b")))[0]
    random = np.random.default_rng(0)
    gold = np.array([1] * 8 + [0] * 60)
    votes = VoteMatrix(decision, (), np.zeros((68, 0), dtype=np.int16))
    question = Choices("q", "text", ("a", "b"))
    frame = frame_of((question,), [{}] * 68, votes={"q": votes}, gold={"q": gold})
    noise = csr_matrix(random.normal(size=(68, 5)))
    assert (likely(decision, 1, frame, gold == 0, noise) < 0.5).all()
    # However sure it is, half of the old labels go on teaching.
    assert held_out(np.where(gold == 0, 1.0, 0.0), gold).sum() == 30


@dataclass(frozen=True)
class FakeApp:
    deps: Deps


def at_home(monkeypatch: pytest.MonkeyPatch, house: House) -> None:
    monkeypatch.setattr(installation, "looked_at", lambda: FakeApp(house.deps))
    monkeypatch.setattr(installation, "key_of", lambda _, project: f"{project}.1767225600-aaaaaaaa")


def run(*arguments: str) -> str:
    with screen(100) as shown:
        result = CliRunner().invoke(cli, ["labels", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return shown.getvalue()
