"""`prelabel rules`: on a project with annotations, and what is printed of it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.adapters.rules.loader import FolderRules
from backend.adapters.versions.folders import VersionFolders
from backend.domain.rule_report import RuleReport
from backend.entrypoints.cli import installation
from backend.entrypoints.cli.main import cli
from backend.entrypoints.cli.rules import print_diff, print_mistakes, print_report
from backend.errors import ConfigurationError, RuleError
from backend.ports import Deps, LoadedRules
from backend.settings import Settings
from backend.workflows.rules import MistakenTask, RulesDiff, RulesReport, diff, mistakes, report
from tests.screen import screen
from tests.unit.house import RULES, House

MORE = """
from backend.domain.rules import labeling_function

@labeling_function(question="sentiment", labels=["Positive"])
def wrong_way(task):
    return "Positive" if "bad" in (task.text or "") else None

@labeling_function(question="sentiment", labels=["Good"])
def old_label(task):
    return "Good"
"""


class Loaded(FolderRules):
    """Rules that stay as they were loaded."""

    def __init__(self, rules: LoadedRules) -> None:
        super().__init__(Path())
        self._rules = rules

    def load(self) -> LoadedRules:
        return self._rules


@pytest.fixture
def rules_folder(tmp_path: Path) -> Path:
    return tmp_path / "rules"


def using(house: House, rules: LoadedRules) -> Deps:
    return replace(house.deps, rules=Loaded(rules))


def by_name(found: RulesReport) -> dict[str, RuleReport]:
    return {item.name: item for item in found.rules}


def test_report_of_a_project_tells_good_rules_from_bad_ones(house: House, rules_folder: Path) -> None:
    (rules_folder / "more.py").write_text(MORE)
    (rules_folder / "broken.py").write_text("x = [")
    house.annotate(house.task_ids[:24])
    house.learn()
    found = report(house.deps, house.key)
    rules = by_name(found)
    assert (found.learned_by, found.n_tasks) == ("v1", 40)
    assert rules["praises"].flags == ()
    assert (rules["praises"].accuracy, rules["praises"].n_judged) == (1.0, 6)
    assert rules["wrong_way"].flags == ("worse than chance",)
    assert rules["old_label"].flags == ("stale label: Good",)
    good, bad = rules["praises"].learned_accuracy, rules["wrong_way"].learned_accuracy
    assert good is not None
    assert bad is not None
    assert good > bad
    assert "broken.py" in found.set_aside


def test_before_the_first_version_accuracies_come_from_agreement_alone(house: House) -> None:
    house.reconcile()
    found = report(house.deps, house.key, "praises")
    assert found.learned_by == "v0"
    (item,) = found.rules
    assert (item.accuracy, item.n_votes) == (None, 10)
    assert item.learned_accuracy is not None
    assert item.learned_accuracy > 0.5


def test_a_version_that_cannot_be_read_does_not_stop_the_report(house: House, tmp_path: Path) -> None:
    house.learn()
    (house.version_folder(1) / "model.skops").unlink()
    found = report(
        replace(house.deps, versions=VersionFolders(tmp_path, f"sqlite:///{tmp_path}/other.sqlite3")), house.key
    )
    assert found.learned_by == "v0"
    assert by_name(found)["praises"].learned_accuracy is not None


def test_mistakes_name_the_tasks_that_people_labeled_otherwise(house: House) -> None:
    wrong = house.task_ids[2]
    house.annotate(house.task_ids[:8], wrong=(wrong,))
    house.learn()
    (found,) = mistakes(house.deps, house.key, "praises")
    assert (found.task_id, found.question, found.voted, found.given) == (wrong, "sentiment", "Positive", "Negative")
    assert found.text.startswith("A good film")
    assert mistakes(house.deps, house.key, "complains") == []


def test_the_beginning_of_a_tasks_data_is_one_short_line_that_no_terminal_obeys(house: House) -> None:
    nasty = house.label_studio.add_project(
        house.fake.info.label_config, [{"text": "good\x1b[2J\nfilm " + "x" * 500, "prelabel_expected": "Positive"}]
    )
    house.project, house.key = nasty, f"{nasty}.1767225600-aaaaaaaa"
    house.label_studio.annotate(nasty, house.task_ids[0], {"sentiment": ("Negative",)})
    house.learn()
    (found,) = mistakes(house.deps, house.key, "praises")
    assert found.text.startswith("good [2J film xxx")
    assert len(found.text) == 120


def test_names_that_are_not_in_use_are_refused_with_what_is_known_of_them(house: House, rules_folder: Path) -> None:
    house.learn()
    (rules_folder / "twice.py").write_text(RULES)
    with pytest.raises(RuleError, match="no rule 'nobody'"):
        mistakes(house.deps, house.key, "nobody")
    with pytest.raises(RuleError, match="no rule 'nobody'"):
        report(house.deps, house.key, "nobody")
    assert report(house.deps, house.key, "praises").rules


def test_a_project_that_was_never_seen_is_refused(house: House) -> None:
    with pytest.raises(ConfigurationError, match="prelabel connect"):
        report(house.deps, house.key)


def edit(house: House, folder: Path, text: str) -> RulesDiff:
    in_use = house.deps.rules.load()
    (folder / "film.py").write_text(text)
    return diff(using(house, in_use), house.key, FolderRules(folder).load())


def test_diff_of_the_same_rules_is_empty(house: House, rules_folder: Path) -> None:
    house.annotate(house.task_ids[:8])
    house.learn()
    found = edit(house, rules_folder, RULES + "\n")
    assert found.rules == []
    (question,) = found.questions
    assert (question.suggestions_changed, question.better, question.worse) == (0, 0, 0)
    assert question.right_before == question.right_after > 0


def test_diff_shows_an_edit_that_breaks_rules(house: House, rules_folder: Path) -> None:
    house.annotate(house.task_ids[:16])
    house.learn()
    broken = RULES.replace('return "Positive" if "good"', 'return "Positive" if "bad"').split("@labeling_function")
    found = edit(house, rules_folder, "@labeling_function".join(broken[:3]))
    changes = {item.name: (item.change, item.votes_changed) for item in found.rules}
    # It votes on ten other tasks instead of its ten; ratings are on half of the 40 tasks.
    assert changes == {"praises": ("changed", 20), "rates": ("removed", 20)}
    (question,) = found.questions
    assert (question.n_tasks, question.n_labels) == (40, 16)
    # Words and rating tell half of the tasks; without "good", no Positive one is left among these.
    assert question.right_before == 8
    assert question.right_after <= 4
    assert question.worse >= 4
    assert question.suggestions_changed >= question.worse


def test_diff_shows_an_edit_that_mends_rules(house: House, rules_folder: Path) -> None:
    house.annotate(house.task_ids[:16])
    house.learn()
    mended = RULES.replace('"good" in (task.text or "")', 'any(word in task.text for word in ("good", "fine"))')
    found = edit(house, rules_folder, mended.replace('"bad" in (task.text or "")', '"weak" in task.text'))
    (question,) = found.questions
    assert question.better > 0
    assert question.right_after == question.right_before + question.better - question.worse
    added = edit(house, rules_folder, RULES + MORE.replace("from backend.domain.rules import labeling_function", ""))
    assert ("wrong_way", "added") in {(item.name, item.change) for item in added.rules}


def test_a_rule_that_can_no_longer_be_loaded_is_removed_with_its_reason(house: House, rules_folder: Path) -> None:
    house.learn()
    found = edit(house, rules_folder, "x = [")
    assert {item.change for item in found.rules} == {"removed"}
    assert "SyntaxError" in found.set_aside["film.py"]


REPORT = RulesReport(
    learned_by="v3",
    n_tasks=100,
    rules=[
        RuleReport(
            name="a_rule_with_a_rather_long_name_[red]",
            question="sentiment",
            polarity=("Positive", "not Negative"),
            n_votes=12345,
            coverage=0.4,
            overlaps=1.0,
            conflicts=0.1,
            n_judged=123,
            accuracy=1.0,
            accuracy_interval=(0.97, 1.0),
            learned_accuracy=0.81,
            weight=-12.3,
            flags=("worse than chance", "duplicate of another_rule_with_a_long_name"),
        )
    ],
    faults={"a": (3, "ValueError: no")},
    set_aside={"film.py: b": "another rule has this name"},
)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal_and_drops_nothing(width: int) -> None:
    with screen(width) as text:
        print_report(replace(REPORT, faults={}, set_aside={}), as_json=False)
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = "".join("".join(lines).split())
    for part in ("conflict", "12345", "40%", "100%of123", "97-100%", "81%", "-12.3", "notNegative", "chance"):
        assert part in shown
    assert "…" not in shown


def test_of_many_questions_those_with_the_most_votes_are_shown() -> None:
    rules = [replace(REPORT.rules[0], question=f"question {number}", n_votes=number) for number in range(167)]
    with screen(120) as text:
        print_report(replace(REPORT, rules=rules), as_json=False)
    shown = text.getvalue()
    assert [f"question {number}" in shown for number in (161, 162, 166)] == [False, True, True]
    assert "162 more questions, with fewer votes: --json has all." in shown


def test_faults_and_rules_set_aside_are_told_below_the_table() -> None:
    with screen(80) as text:
        print_report(REPORT, as_json=False)
    shown = text.getvalue()
    assert "a: 3 faults, the first: ValueError: no" in shown
    assert "set aside: film.py: b: another rule has this name" in shown


def test_everything_is_there_for_scripts(house: House, rules_folder: Path) -> None:
    house.annotate(house.task_ids[:8], wrong=(house.task_ids[2],))
    house.learn()
    with screen(40) as text:
        print_report(report(house.deps, house.key), as_json=True)
    shown = json.loads(text.getvalue())
    with screen(40) as text:
        print_mistakes("praises", mistakes(house.deps, house.key, "praises"), as_json=True)
    wrong = json.loads(text.getvalue())
    with screen(40) as text:
        print_diff(edit(house, rules_folder, RULES.replace("good", "fine")), as_json=True)
    changed = json.loads(text.getvalue())
    assert {item["name"] for item in shown["rules"]} == {"praises", "complains", "rates"}
    assert wrong[0]["task_id"] == house.task_ids[2]
    assert (changed["rules"][0]["change"], changed["rules"][0]["votes_changed"]) == ("changed", 20)


@dataclass(frozen=True)
class FakeApp:
    """What the commands need of the application."""

    deps: Deps
    settings: Settings


def test_commands_are_understood_as_documented(
    house: House, rules_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.annotate(house.task_ids[:8], wrong=(house.task_ids[2],))
    house.learn()
    in_use = house.deps.rules.load()
    (rules_folder / "film.py").write_text(RULES.replace("good", "fine"))
    edited = Settings.model_validate({"LF_RULES_DIR": str(rules_folder)})
    monkeypatch.setattr(installation, "looked_at", lambda: FakeApp(using(house, in_use), edited))
    monkeypatch.setattr(installation, "key_of", lambda _, project: f"{project}.1767225600-aaaaaaaa")

    def run(*arguments: str) -> str:
        with screen(100) as text:
            result = CliRunner().invoke(cli, ["rules", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return text.getvalue()

    project = str(house.project)
    assert "complains" in run(project)
    assert "complains" not in run(project, "praises")
    assert str(house.task_ids[2]) in run(project, "praises", "--mistakes")
    assert json.loads(run("--json", project))["n_tasks"] == 40
    assert "-> 10" in run("diff", project)
    assert json.loads(run("diff", project, "--folder", str(rules_folder), "--json"))["questions"][0]["n_tasks"] == 40
    refused = CliRunner().invoke(cli, ["rules", project, "--mistakes"])
    assert refused.exit_code == 2


def test_a_folder_to_compare_with_that_is_missing_or_empty_is_named(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "looked_at", lambda: FakeApp(house.deps, Settings.model_validate({})))
    monkeypatch.setattr(installation, "key_of", lambda _, project: f"{project}.1767225600-aaaaaaaa")
    (tmp_path / "empty").mkdir()
    for name, reason in (("none", "is not a folder: --folder"), ("empty", "has no file of rules")):
        arguments = ["rules", "diff", str(house.project), "--folder", str(tmp_path / name)]
        with pytest.raises(ConfigurationError, match=reason) as raised:
            CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert str(tmp_path / name) in str(raised.value)


BROKEN = """
from backend.domain.rules import labeling_function

@labeling_function(question="sentiment")
def raises(task):
    return task.text / 2

@labeling_function(question="sentiment")
def off_list(task):
    return "Great"

@labeling_function(question="sentiment", labels=["Good"])
def stale(task):
    return "Good"
"""


def test_diff_names_what_is_wrong_with_edited_rules_and_fails(
    house: House, rules_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.learn()
    edited = tmp_path / "edited"
    edited.mkdir()
    (edited / "film.py").write_text(RULES)
    (edited / "more.py").write_text(BROKEN)
    (edited / "syntax.py").write_text("\n\ndef (")
    monkeypatch.setattr(installation, "looked_at", lambda: FakeApp(house.deps, Settings.model_validate({})))
    monkeypatch.setattr(installation, "key_of", lambda _, project: f"{project}.1767225600-aaaaaaaa")
    with screen(100) as text:
        result = CliRunner().invoke(cli, ["rules", "diff", str(house.project), "--folder", str(edited)])
    assert result.exit_code == 1
    shown = text.getvalue()
    assert "set aside: raises: it failed on 100% of 40 tasks: TypeError" in shown
    assert "(more.py, line 6)" in shown
    assert "set aside: off_list: voted for 'Great', a label that 'sentiment' doesn't have (more.py, line 8)" in shown
    assert "set aside: stale: it isn't used: 'sentiment' has no label 'Good' (more.py, line 12)" in shown
    assert "(syntax.py, line 3)" in shown
    assert "The rules that can be used vote like those in use." in shown


def test_faults_of_edited_rules_are_counted_over_all_tasks(house: House, rules_folder: Path) -> None:
    house.learn()
    found = edit(house, rules_folder, RULES.replace('"Positive" if "good"', '1 / 0 if "good"'))
    count, reason = found.faults["praises"]
    assert count == 10
    assert reason == "ZeroDivisionError: division by zero (film.py, line 7)"
    assert found.is_usable
    with screen(80) as text:
        print_diff(found, as_json=False)
    assert "praises: 10 faults, the first: ZeroDivisionError" in text.getvalue()


def test_a_rule_that_nobody_disagrees_with_is_told_so() -> None:
    with screen(80) as text:
        print_mistakes("praises", [], as_json=False)
        print_mistakes("[b]", [MistakenTask(7, "q", "[red]", "no", "[/]")], as_json=False)
    shown = text.getvalue()
    assert "Nobody disagrees with praises." in shown
    assert "[red]" in shown
    assert "[/]" in shown
