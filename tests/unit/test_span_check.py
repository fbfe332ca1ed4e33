"""Wrong and missing spans: found, tagged, explained, and settled by what people do; what several people agree on."""

import json
from pathlib import Path

import pytest

from backend.domain.questions.marks import Mark, mark_in, readable, written
from backend.domain.reports.check import IssueKind
from backend.entrypoints.cli.annotators import checked_json, print_annotators
from backend.entrypoints.cli.check import print_checked
from backend.ports import SuspectRecord, SuspectStatus
from backend.workflows.check.search import check
from backend.workflows.check.suspects import checked
from backend.workflows.check.verdicts import keep_labels
from tests.screen import screen
from tests.unit.house import House, nothing
from tests.unit.test_spans_learned import RULES, truth, with_project

FIRMS = """
question: ner
rules:
  - {name: firms, type: gazetteer, field: text, terms: [Acme, Initech, Globex, Hooli], vote: ORG}
"""


def text_of(team: House, task_id: int) -> str:
    return str(team.fake.tasks[task_id].task.data["text"])


def say(team: House, task_id: int, answer: tuple[str, ...], annotator: int = 1) -> None:
    team.label_studio.annotate(team.project, task_id, {"ner": answer}, annotator=annotator)


def changed(answer: tuple[str, ...], what: str) -> tuple[str, ...]:
    """An answer with a planted error in its last mark, a firm."""
    *rest, last = answer
    mark = mark_in(last)
    assert mark is not None
    if what == "missing":
        return tuple(rest)
    if what == "wrong label":
        return (*rest, written(mark._replace(label="PER")))
    if what == "wrong boundary":
        return (*rest, written(mark._replace(end=mark.end + 3, text=f"{mark.text} on")))
    return (*answer, written(Mark(mark.end + 1, mark.end + 3, "PER", "on")))


@pytest.fixture
def team(tmp_path: Path) -> House:
    team = with_project(tmp_path, "")
    (tmp_path / "rules" / "film.py").write_text(RULES)
    (tmp_path / "rules" / "firms.yaml").write_text(FIRMS)
    return team


def planted(team: House, what: str, at: int = 7) -> int:
    """Thirty texts labeled rightly, but for one error; the task that has it, after a version and a check."""
    wrong = team.task_ids[at]
    for task_id in team.task_ids[:30]:
        answer = truth(text_of(team, task_id))
        say(team, task_id, changed(answer, what) if task_id == wrong else answer)
    team.learn()
    check(team.deps, team.key, nothing)
    return wrong


def suspects(team: House, task_id: int) -> list[SuspectRecord]:
    return [item for item in team.deps.database.suspects(team.key) if item.task_id == task_id]


@pytest.mark.parametrize("what", ["missing", "wrong label", "wrong boundary"])
def test_a_planted_error_is_found_tagged_and_explained(team: House, what: str) -> None:
    wrong = planted(team, what)
    (found,) = suspects(team, wrong)
    right = truth(text_of(team, wrong))[-1]
    assert found.expected == (right,)
    assert found.status is SuspectStatus.OPEN
    assert found.reason.startswith(f"{what}: ")
    assert "marked by firms" in found.reason
    data = team.fake.tasks[wrong].task.data
    assert data["prelabel_expected"] == f"ner: {readable((right,))}"
    assert data["prelabel_check"] == "suspect"
    with screen() as text:
        print_checked(checked(team.deps, team.key), 5)
    assert f"{what}: " in text.getvalue()
    worst = min(team.deps.database.suspects(team.key), key=lambda item: item.quality)
    assert worst.task_id == wrong


def test_a_missing_span_is_settled_when_it_is_marked_and_an_empty_annotation_counts(team: House) -> None:
    wrong = team.task_ids[7]
    for task_id in team.task_ids[:30]:
        say(team, task_id, () if task_id == wrong else truth(text_of(team, task_id)))
    team.learn()
    check(team.deps, team.key, nothing)
    assert {item.status for item in suspects(team, wrong)} == {SuspectStatus.OPEN}
    assert len(suspects(team, wrong)) == 2
    team.reconcile()
    assert {item.status for item in suspects(team, wrong)} == {SuspectStatus.OPEN}
    person, firm = truth(text_of(team, wrong))
    say(team, wrong, (firm,))
    team.reconcile()
    by_mark = {item.expected: item.status for item in suspects(team, wrong)}
    assert by_mark == {(person,): SuspectStatus.OPEN, (firm,): SuspectStatus.FIXED}


def test_a_span_that_is_saved_again_or_kept_is_confirmed_for_good(team: House) -> None:
    wrong = planted(team, "missing")
    given = changed(truth(text_of(team, wrong)), "missing")
    say(team, wrong, given)
    team.reconcile()
    assert suspects(team, wrong)[0].status is SuspectStatus.CONFIRMED
    check(team.deps, team.key, nothing)
    assert suspects(team, wrong)[0].status is SuspectStatus.CONFIRMED
    assert team.fake.tasks[wrong].task.data["prelabel_check"] == "confirmed"


def test_a_suspect_can_be_kept_by_command(team: House) -> None:
    wrong = planted(team, "wrong label")
    record = team.deps.database.project(team.key)
    assert record is not None
    keep_labels(team.deps, record, [wrong])
    team.reconcile()
    assert suspects(team, wrong)[0].status is SuspectStatus.CONFIRMED


def test_few_texts_are_not_judged_and_that_is_said(team: House) -> None:
    for task_id in team.task_ids[:6]:
        say(team, task_id, truth(text_of(team, task_id)))
    team.learn()
    check(team.deps, team.key, nothing)
    with screen() as text:
        print_checked(checked(team.deps, team.key), 5)
    assert "6 texts that people looked at; 10 are needed" in text.getvalue()


def test_annotators_are_ranked_and_disputed_places_are_suspects(team: House) -> None:
    for place, task_id in enumerate(team.task_ids[:20]):
        right = truth(text_of(team, task_id))
        for who in (1, 2):
            say(team, task_id, right, annotator=who)
        say(team, task_id, changed(right, ("missing", "wrong boundary")[place % 2]), annotator=3)
    disputed = team.task_ids[30]
    right = truth(text_of(team, disputed))
    say(team, disputed, right, annotator=1)
    say(team, disputed, changed(right, "wrong boundary"), annotator=3)
    team.learn()
    check(team.deps, team.key, nothing)
    found = checked(team.deps, team.key)
    about = found.report.questions["ner"]
    (*good, bad) = about.annotators
    assert bad.id == 3
    assert all((item.quality or 0) > (bad.quality or 1) for item in good)
    assert (bad.overlapping or 0) > (bad.quality or 1)
    assert about.consensus is not None
    assert (about.consensus.n_shared, about.consensus.n_agree, about.consensus.n_disputed) == (21, 0, 1)
    (suspect,) = suspects(team, disputed)
    assert suspect.reason.startswith("annotators disagree: 1 annotator: ORG")
    assert suspect.expected == right[-1:]
    with screen() as text:
        print_annotators(found.report, {1: "a@x", 2: "b@x", 3: "c@x"})
    assert "overlapping)" in text.getvalue()
    assert "marked in several ways: 1 place." in text.getvalue()
    assert json.dumps(checked_json(found, 5, {}))


def test_marks_are_readable() -> None:
    assert readable((written(Mark(3, 6, "PER", "Ann")), "Positive")) == "PER 'Ann' (3-6), Positive"
    assert readable(()) == "none"


def test_equal_texts_that_are_marked_differently_are_a_data_issue(team: House) -> None:
    text = text_of(team, team.task_ids[3])
    (twin,) = team.label_studio.add_tasks(team.project, [{"text": text}])
    team.reconcile()
    for task_id in team.task_ids[:12]:
        say(team, task_id, truth(text_of(team, task_id)))
    say(team, twin, changed(truth(text), "wrong label"))
    team.learn()
    check(team.deps, team.key, nothing)
    listed = checked(team.deps, team.key).report.data_issues.listed
    assert listed[0].kind is IssueKind.CONFLICTING_DUPLICATE
    assert {listed[0].task, *listed[0].others} == {team.task_ids[3], twin}
