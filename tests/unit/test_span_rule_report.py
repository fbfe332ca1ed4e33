"""`prelabel rules` on a project of spans: what each rule marks, where people disagree, and what an edit changes."""

from pathlib import Path

import pytest

from backend.adapters.rules.loader import FolderRules
from backend.domain.marking.report import SpanRuleReport, around, report_marking
from backend.domain.marking.votes import SpanVotes
from backend.domain.questions import Spans
from backend.domain.spans.text import Span
from backend.entrypoints.cli.rules import print_diff, print_mistakes, print_report
from backend.workflows.rules import diff, mistakes, report
from tests.screen import screen
from tests.unit.house import House
from tests.unit.test_spans_learned import annotate, with_project

RULES = """
question: ner
rules:
  - {name: titled, type: regex, field: text, pattern: 'Dr (?P<span>\\w+)', vote: PER}
  - {name: with_title, type: regex, field: text, pattern: 'Dr \\w+', vote: PER}
  - {name: firms, type: gazetteer, field: text, terms: [Acme, Globex], vote: ORG}
  - {name: days, type: keyword, field: text, keywords: [day], vote: {not: '*'}}
  - {name: no_acme, type: keyword, field: text, keywords: [Acme], vote: {not: ORG}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("team")


@pytest.fixture(scope="module")
def team(folder: Path) -> House:
    team = with_project(folder, "")
    (folder / "rules" / "film.py").unlink()
    (folder / "rules" / "ner.yaml").write_text(RULES)
    annotate(team, team.task_ids[:20])
    team.learn()
    return team


def test_each_rule_is_judged_by_peoples_spans(team: House) -> None:
    found = report(team.deps, team.key)
    by_name = {item.name: item for item in found.spans}
    titled, off, firms = (by_name[name] for name in ("titled", "with_title", "firms"))
    assert (titled.n_spans, titled.n_judged, titled.precision, titled.recall) == (20, 10, 1.0, 0.5)
    assert titled.conflicts == 1.0
    assert (off.precision, off.n_off, off.flags) == (0.0, 10, ("mostly wrong",))
    assert (firms.labels, firms.coverage, firms.recall) == (("ORG",), 0.5, 0.5)
    assert titled.trust is not None
    assert off.trust is not None
    assert titled.trust > off.trust
    days, no_acme = by_name["days"], by_name["no_acme"]
    assert (days.labels, days.n_against, days.n_denied, days.n_denied_wrongly) == (("not any",), 40, 20, 0)
    assert (no_acme.n_denied, no_acme.n_denied_wrongly) == (5, 5)
    assert firms.conflicts == 0.5
    with screen() as text:
        print_report(found, as_json=False)
    shown = text.getvalue()
    assert "ner: 40 texts, trusted by v1" in shown
    assert "! mostly wrong" in shown
    assert "10 against, 5 of 5 wrongly" in shown
    with screen() as text:
        print_report(found, as_json=True)
    assert '"precision_interval"' in text.getvalue()


def test_mistakes_show_the_text_around_and_what_people_say(team: House) -> None:
    found = mistakes(team.deps, team.key, "with_title")
    assert len(found) == 10
    assert (found[0].voted, found[0].given) == ("PER", "PER: Ann")
    assert found[0].text == "\U0001f600 [Dr Ann] joins Acme on day 0"
    with screen() as text:
        print_mistakes("with_title", found, as_json=False)
    assert "[Dr Ann] joins" in text.getvalue()
    (denied, *_) = mistakes(team.deps, team.key, "no_acme")
    assert (denied.voted, denied.given) == ("not ORG", "ORG: Acme")


def test_an_edit_is_compared_before_it_is_used(team: House, tmp_path: Path) -> None:
    (tmp_path / "edited").mkdir()
    edited = RULES.replace("[Acme, Globex]", "[Acme, Globex, Hooli]").replace("'Dr \\w+'", "'Mr (?P<span>\\w+)'")
    (tmp_path / "edited" / "ner.yaml").write_text(edited.replace("name: days", "name: no_days"))
    found = diff(team.deps, team.key, FolderRules(tmp_path / "edited").load())
    by_name = {item.name: item for item in found.rules}
    assert {name: item.change for name, item in by_name.items()} == {
        "with_title": "changed",
        "firms": "changed",
        "days": "removed",
        "no_days": "added",
    }
    assert by_name["firms"].votes_changed == 10
    (about,) = found.marking
    assert about.n_spans == 40
    assert about.right_after > about.right_before
    assert (about.f1_after or 0) > (about.f1_before or 0)
    with screen() as text:
        print_diff(found, as_json=False)
    shown = text.getvalue()
    assert "human spans" in shown
    assert f"ner: in {about.suggestions_changed} of 40 texts the vote changes" in shown


def test_a_rule_about_a_label_that_is_gone_is_named(team: House, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "edited").mkdir()
    (tmp_path / "edited" / "ner.yaml").write_text(RULES.replace("vote: PER}", "vote: NAME}", 1))
    found = diff(team.deps, team.key, FolderRules(tmp_path / "edited").load())
    assert "'ner' has no label 'NAME'" in found.stale["titled"]
    assert not found.is_usable
    (folder / "rules" / "ner.yaml").write_text(RULES.replace("vote: PER}", "vote: NAME}", 1))
    (stale,) = report(team.deps, team.key, "titled").spans
    assert stale.flags == ("stale label: NAME",)
    (folder / "rules" / "ner.yaml").write_text(RULES)


def test_white_space_at_the_ends_of_a_span_doesnt_count() -> None:
    question = Spans("ner", "text", ("PER",), field="text")
    votes = SpanVotes(("rule",), [[(Span(0, 4, "PER"),)]], [[()]]).trimmed(["Ann \n"])
    (found,) = report_marking(question, votes, [(Span(0, 3, "PER"),)], {})
    assert found == SpanRuleReport(
        "rule",
        "ner",
        ("PER",),
        n_spans=1,
        coverage=1.0,
        n_judged=1,
        precision=1.0,
        precision_interval=found.precision_interval,
        recall=1.0,
    )


def test_what_stands_around_a_span_is_one_line_and_short() -> None:
    text = "a\n" * 100 + "Ann" + "\tb" * 100
    shown = around(text, Span(200, 203, "PER"))
    assert "\n" not in shown
    assert "[Ann]" in shown
    assert len(shown) < 180
