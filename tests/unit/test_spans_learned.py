"""Spans from rules and people to suggestions: learned, stored, suggested in each way, and measured."""

import json
import re
from pathlib import Path

import pytest

from backend.adapters.label_studio.json import format_result
from backend.domain.marking.before import MarkedBefore
from backend.domain.marking.votes import MOST_SPANS, apply_marking_rules
from backend.domain.questions.marks import Mark, mark_in, written
from backend.domain.questions.spans import Spans
from backend.domain.rules import Rule, labeling_function
from backend.domain.spans.text import Span, Text
from backend.entrypoints.cli.status import status_line
from backend.errors import ModelMissing
from backend.workflows.measure.status import status_of
from backend.workflows.suggest import answer
from tests.unit.house import House

CONFIG = """<View><Text name="text" value="$text"/><Labels name="ner" toName="text">
<Label value="PER"/><Label value="ORG"/></Labels>{more}</View>"""
CHOICES = '<Choices name="sentiment" toName="text"><Choice value="Positive"/><Choice value="Negative"/></Choices>'
RULES = '''
import re
from backend.domain.rules import labeling_function

@labeling_function(question="ner", labels=["PER"])
def titled(task):
    """Dr."""
    for found in re.finditer(r"Dr (\\w+)", task.text or ""):
        yield found.start(1), found.end(1), "PER"
'''
NAMES, FIRMS = ("Ann", "Bob", "Eve", "Tom", "Kim"), ("Acme", "Initech", "Globex", "Hooli")
QUESTION = Spans("ner", "text", ("PER", "ORG"), field="text")


def news(n: int) -> list[dict[str, object]]:
    """Texts with one name and one firm; an emoji in front, so that no way of counting is right by chance."""
    return [
        {"text": f"\U0001f600 {('Dr', 'Mr')[n % 2]} {NAMES[n % 5]} joins {FIRMS[n % 4]} on day {n}"} for n in range(n)
    ]


def truth(text: str) -> tuple[str, ...]:
    places = [(word, "PER") for word in NAMES] + [(word, "ORG") for word in FIRMS]
    found = [(text.index(word), word, label) for word, label in places if word in text]
    return tuple(written(Mark(at, at + len(word), label, word)) for at, word, label in sorted(found))


@pytest.fixture
def team(tmp_path: Path) -> House:
    return with_project(tmp_path, "")


def with_project(folder: Path, more: str) -> House:
    house = House(folder)
    (folder / "rules" / "film.py").write_text(RULES)
    house.project = house.label_studio.add_project(CONFIG.format(more=more), news(40))
    house.key = f"{house.project}.1767225600-aaaaaaaa"
    return house


def annotate(team: House, task_ids: list[int]) -> None:
    for task_id in task_ids:
        text = str(team.fake.tasks[task_id].task.data["text"])
        team.label_studio.annotate(team.project, task_id, {"ner": truth(text)})


def suggested(team: House, task_id: int) -> list[tuple[str, str]]:
    """What is highlighted in a task: text and label."""
    stored = [item for item in team.fake.predictions[task_id] if item.version == team.fake.info.model_version]
    assert len(stored) == 1
    text = str(team.fake.tasks[task_id].task.data["text"])
    return [
        (text[item["value"]["start"] : item["value"]["end"]], item["value"]["labels"][0]) for item in stored[0].result
    ]


def test_rules_mark_before_anybody_labels_and_people_teach_the_rest(team: House) -> None:
    team.learn()
    first, second = team.task_ids[:2]
    assert suggested(team, first) == [("Ann", "PER")]
    assert suggested(team, second) == []
    annotate(team, team.task_ids[:24])
    team.learn()
    assert suggested(team, team.task_ids[-1]) == [("Kim", "PER"), ("Hooli", "ORG")]
    found = team.deps.versions.metrics(team.key, 2).questions["ner"]
    assert found.n_labels == 24
    assert found.own[0].name == "entity_f1"
    assert (found.own[0].value or 0) > 0.9
    record = team.deps.database.project(team.key)
    assert record is not None
    status = status_of(team.deps, record)
    assert "entity F1" in status_line(status)


def test_a_stored_version_says_the_same_and_a_changed_file_isnt_read(team: House) -> None:
    annotate(team, team.task_ids[:24])
    team.learn()
    data = [{"text": "\U0001f600 Mr Ann joins Acme"}]
    fresh = answer(team.deps, team.key, CONFIG.format(more=""), data, 60.0)
    (found,) = fresh.suggestions
    marks = [mark_in(label) for label in found.answers["ner"]]
    assert [mark and mark.text for mark in marks] == ["Ann", "Acme"]
    assert len(found.scores["ner"]) == 2
    assert all(0 < score <= 1 for score in found.scores["ner"])
    assert 0 < found.score <= 1
    assert len({item["id"] for item in format_result(found, fresh.questions)}) == 2
    (file, *_) = sorted(team.version_folder(1).glob("spans-*"))
    file.write_bytes(file.read_bytes() + b"x")
    team.versions._models.clear()
    with pytest.raises(ModelMissing, match="train again"):
        team.deps.versions.model(team.key, 1)


def test_spans_stand_beside_choices(tmp_path: Path) -> None:
    team = with_project(tmp_path, CHOICES)
    for place, task_id in enumerate(team.task_ids[:24]):
        text = str(team.fake.tasks[task_id].task.data["text"])
        mood = ("Positive", "Negative")[place % 2]
        team.label_studio.annotate(team.project, task_id, {"ner": truth(text), "sentiment": (mood,)})
    team.learn()
    items = [item for item in team.fake.predictions[team.task_ids[-1]][0].result]
    assert {item["from_name"] for item in items} == {"ner", "sentiment"}


def test_new_tasks_are_marked_without_a_new_version(team: House) -> None:
    annotate(team, team.task_ids[:24])
    team.learn()
    (task_id,) = team.label_studio.add_tasks(team.project, [{"text": "\U0001f600 Mr Eve joins Globex today"}])
    team.reconcile()
    assert suggested(team, task_id) == [("Eve", "PER"), ("Globex", "ORG")]


def test_audit_tasks_stay_blank(team: House) -> None:
    team.audit_share = 0.5
    team.learn()
    blank = [item for item in team.deps.versions.predictions(team.key, 1) if item.withheld]
    assert blank
    assert not any(team.fake.predictions[item.task_id][0].result for item in blank)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([(0, 99, "PER")], "isn't in the text"),
        ([(2, 2, "PER")], "isn't in the text"),
        ([(-3, 2, "PER")], "isn't in the text"),
        ([(True, 2, "PER")], "isn't in the text"),
        ([(0, 3, "LOC")], "LOC"),
        ([(0, 3)], "isn't a span"),
        ("PER", "isn't spans"),
        (7, "isn't spans"),
        ([(0, 3, "PER")] * (MOST_SPANS + 1), "more than"),
    ],
)
def test_what_a_rule_cant_mark_is_a_fault(given: object, reason: str) -> None:
    def bad(_: object) -> object:
        return given

    rules = [Rule("bad", bad, "ner"), Rule("good", lambda _: [(0, 3, "PER")], "ner")]  # type: ignore[arg-type, list-item]
    votes, faults = apply_marking_rules(rules, [{"text": "Bob!"}], [QUESTION])
    assert votes["ner"].spans == [((), (Span(0, 3, "PER"),))]
    assert reason in faults.reasons["bad"]
    assert faults.counts == {"bad": 1}


def test_rules_about_other_questions_arent_asked() -> None:
    @labeling_function(question="sentiment")
    def other(task: object) -> str:
        raise AssertionError(task)

    @labeling_function()
    def of_any(task: object) -> str:
        raise AssertionError(task)

    votes, faults = apply_marking_rules([other, of_any], [{"text": "Bob!"}], [QUESTION])
    assert votes["ner"].sources == ()
    assert not faults.counts


def test_what_people_marked_is_marked_again_but_not_for_its_own_text() -> None:
    texts = [Text.read(text) for text in ("Ann May left", "Ann May came in May", "see Ann May")]
    marked = [[Span(0, 7, "PER")], [Span(0, 7, "PER"), Span(16, 19, "DATE")], []]
    before = MarkedBefore.learn(texts[:2], marked[:2])
    assert before.spans(texts[2]) == (Span(4, 11, "PER"),)
    assert before.spans(texts[0], marked[0]) == (Span(0, 7, "PER"),)
    alone = MarkedBefore.learn(texts[:1], marked[:1])
    assert alone.spans(texts[0], marked[0]) == ()


def test_a_version_holds_what_was_learned_of_spans_as_json(team: House) -> None:
    annotate(team, team.task_ids[:8])
    team.learn()
    stored = json.loads((team.version_folder(1) / "spans.json").read_text())
    assert stored["ner"]["sources"] == ["titled", "marked before"]


def test_nobody_but_the_questions_asks_which_type_one_has() -> None:
    """What is learned in which way is said by `Question.learner`, and asked by `learned_by` alone."""
    root = Path(__file__).parents[2] / "backend"
    asking = re.compile(r"isinstance\([^)]*\b(Spans|Question)\b|\.learner\b|\bLearner\.")
    asked = {path.relative_to(root).parts[:2] for path in root.rglob("*.py") if asking.search(path.read_text())}
    assert asked == {("domain", "questions")}
