"""What is said of each rule, on votes whose figures can be computed by hand."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.domain.questions import Question, decisions
from backend.domain.rule_diff import changed_votes, compare_suggestions
from backend.domain.rule_report import RuleReport, mistakes_of, report_rules
from backend.domain.rules import Not, Rule, Vote
from backend.domain.votes import apply_rules
from tests.unit.planted import GENRE, SENTIMENT, frame_with

SAYS = {".": None, "P": "Positive", "N": "Negative", "U": "Neutral", "p": Not("Positive"), "?": "Mixed"}
"""One character for each vote of a test's rule."""


def rule(name: str, said: str, question: str | None = "sentiment", labels: tuple[str, ...] | None = None) -> Rule:
    def function(task: Mapping[str, object]) -> Vote:
        return SAYS[said[int(str(task["n"]))]]

    return Rule(name, function, question, labels)


def reports(
    rules: Sequence[Rule], gold: str, question: Question = SENTIMENT, learned: Mapping[str, float] | None = None
) -> dict[str, RuleReport]:
    votes, faults = apply_rules(rules, tasks(len(gold)), [question])
    known = {question.name: learned or {}}
    return {
        item.name: item
        for item in report_rules(rules, frame_with([question], votes=votes, gold=truth(gold)), known, faults)
    }


def tasks(n: int) -> list[dict[str, object]]:
    return [{"n": number} for number in range(n)]


def truth(gold: str) -> dict[str, NDArray[np.int64]]:
    return {"sentiment": np.array([".PNU".index(label) - 1 for label in gold], dtype=np.int64)}


def test_coverage_overlaps_and_conflicts_are_shares_of_all_tasks() -> None:
    found = reports([rule("a", "PPPP......"), rule("b", "PN..NN...."), rule("c", "..p..p....")], "..........")
    figures = {name: (item.n_votes, item.coverage, item.overlaps, item.conflicts) for name, item in found.items()}
    # a meets b on tasks 0 (agrees) and 1, c on 2; b meets a twice and c, which agrees that it isn't Positive, on 5.
    assert figures == {"a": (4, 0.4, 0.3, 0.2), "b": (4, 0.4, 0.3, 0.1), "c": (2, 0.2, 0.2, 0.1)}
    assert [item.polarity for item in found.values()] == [("Positive",), ("Positive", "Negative"), ("not Positive",)]


def test_accuracy_is_of_votes_that_people_judged_with_wilsons_interval() -> None:
    found = reports([rule("a", "PPPPPPPPPPPP"), rule("b", "pppp........")], "PPPPPPPPNN..")
    assert (found["a"].n_judged, found["a"].accuracy) == (10, 0.8)
    # Wilson (1927) for 8 of 10, as in any table of score intervals.
    assert found["a"].accuracy_interval == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (found["b"].n_judged, found["b"].accuracy) == (4, 0.0)
    unjudged = reports([rule("a", "P...........")], ".PPPPPPPPPPP")["a"]
    assert (unjudged.accuracy, unjudged.accuracy_interval) == (None, None)


def test_weight_is_the_log_odds_of_the_learned_accuracy_against_chance() -> None:
    found = reports([rule("a", "P."), rule("b", ".P"), rule("new", "..")], "..", learned={"a": 0.8, "b": 1 / 3})
    assert found["a"].learned_accuracy == 0.8
    assert found["a"].weight == pytest.approx(np.log(8))
    assert found["b"].weight == pytest.approx(0)
    assert (found["new"].learned_accuracy, found["new"].weight) == (None, None)
    denies = reports([rule("a", "p.")], "..", learned={"a": 0.7})["a"]
    assert denies.learned_accuracy is None, "the label model doesn't know votes against a label"


def test_votes_that_are_reliably_wrong_are_worse_than_chance() -> None:
    gold = "PNU" * 10
    wrong = gold.translate(str.maketrans("PNU", "NUP"))
    found = reports([rule("wrong", wrong), rule("lucky", "P.." * 10), rule("few", wrong[:4] + "." * 26)], gold)
    assert "worse than chance" in found["wrong"].flags
    assert found["lucky"].flags == ()
    assert found["few"].flags == (), "four votes prove nothing"


def test_a_rule_for_a_rare_label_is_not_worse_than_chance_for_being_right_less_than_half_of_the_time() -> None:
    drama = np.array([1] * 5 + [0] * 95)
    says = Rule("drama_words", lambda task: ["drama"] if task["n"] < 25 else None, "genre")
    votes, faults = apply_rules([says], tasks(100), [GENRE])
    gold = {decision.key: np.full(100, -1) for decision in decisions(GENRE)} | {"genre=drama": drama}
    (found,) = report_rules([says], frame_with([GENRE], votes=votes, gold=gold), {}, faults)
    assert (found.accuracy, found.polarity) == (0.2, ("drama",))
    # At most 0.39, surely below 1/2, but one in twenty tasks is a drama.
    assert found.flags == ("broad",)


def test_broad_is_what_votes_for_a_label_on_more_tasks_than_have_it() -> None:
    shares = {"narrow": "P" * 45 + "." * 55, "wide": "P" * 50 + "." * 50}
    rules = [rule(name, said) for name, said in shares.items()]
    unlabeled = reports(rules, "." * 100)
    assert (unlabeled["narrow"].flags, unlabeled["wide"].flags) == ((), ("broad",)), "a third of tasks, if balanced"
    positive = reports(rules, ("P" * 20 + "N" * 5).ljust(100, "."))
    assert positive["wide"].flags == (), "people say that most tasks are Positive"
    negative = reports(rules, ("P" * 3 + "N" * 22).ljust(100, "."))
    assert "broad" in negative["narrow"].flags, "people say that few tasks are Positive"


def test_a_rule_is_a_duplicate_of_the_earlier_one_that_votes_the_same_on_nearly_all_tasks() -> None:
    n, said = 60, "P" * 10 + "N" * 10
    others = {
        "first": said,
        "twin": said,
        "nearly": said[:19] + ".",
        "different": "N" * 10 + "N" * 10,
        "within": "P" * 10,
    }
    found = reports([rule(name, text.ljust(n, ".")) for name, text in others.items()], "." * n)
    flags = {name: item.flags for name, item in found.items() if item.flags}
    assert flags == {"twin": ("duplicate of first",), "nearly": ("duplicate of first",)}
    few = reports([rule("first", "PPPPP....."), rule("twin", "PPPPP.....")], "." * 10)
    assert few["twin"].flags == ()


def test_rules_about_labels_that_are_gone_are_listed_as_stale() -> None:
    rules = [
        rule("renamed", "..", labels=("Good", "Negative")),
        rule("any_question", "..", question=None, labels=("Positive", "Good")),
        rule("undeclared", "P?"),
        rule("elsewhere", "..", question="genre", labels=("Good",)),
        rule("other_project", "..", question=None, labels=("spam", "ham")),
    ]
    found = reports(rules, "..")
    assert {name: item.flags for name, item in found.items()} == {
        "renamed": ("stale label: Good",),
        "any_question": ("stale label: Good",),
        "undeclared": ("stale label",),
    }


def test_a_multiple_question_has_one_record_for_all_its_labels() -> None:
    both = Rule("both", lambda task: ["drama", Not("horror")] if task["n"] < 2 else None, "genre")
    horror = Rule("scary", lambda task: ["horror"] if task["n"] == 0 else None, "genre")
    votes, faults = apply_rules([both, horror], tasks(4), [GENRE])
    gold = {decision.key: np.array([1, 1, -1, -1]) for decision in decisions(GENRE)}
    learned = {"genre=drama": {"both": 0.9}, "genre=comedy": {"both": 0.1}, "genre=horror": {"both": 0.7}}
    first, second = report_rules([both, horror], frame_with([GENRE], votes=votes, gold=gold), learned, faults)
    assert first.polarity == ("drama", "not horror")
    assert (first.n_votes, first.coverage, first.overlaps, first.conflicts) == (4, 0.5, 0.25, 0.25)
    assert (first.n_judged, first.accuracy) == (4, 0.5)
    assert first.learned_accuracy == pytest.approx(0.8), "by number of votes: it has none on comedies"
    assert (second.overlaps, second.conflicts) == (0.25, 0.25)


def test_mistakes_are_the_votes_that_people_disagree_with() -> None:
    rules = [rule("a", "PPNp."), rule("b", "NNNNN")]
    votes, _ = apply_rules(rules, tasks(5), [SENTIMENT])
    found = mistakes_of("a", frame_with([SENTIMENT], votes=votes, gold=truth("PN.PU")))
    assert [(item.row, item.voted, item.given) for item in found] == [
        (1, "Positive", "Negative"),
        (3, "not Positive", "Positive"),
    ]


def test_a_diff_counts_what_votes_against_a_label_change() -> None:
    gold = truth("." * 12)
    rules = [rule("a", "PN" * 6), rule("b", "NP" * 6), rule("never", "p" * 12)]
    before, after = (apply_rules(some, tasks(12), [SENTIMENT])[0] for some in (rules[:2], rules))
    assert changed_votes(frame_with([SENTIMENT], votes=before), frame_with([SENTIMENT], votes=after)) == {
        ("sentiment", "never"): 12
    }
    (found,) = compare_suggestions(
        frame_with([SENTIMENT], votes=before, gold=gold), frame_with([SENTIMENT], votes=after, gold=gold)
    )
    # Both say one thing and another of each task: Positive by order, until it is denied.
    assert found.suggestions_changed == 12


def test_a_project_without_tasks_or_rules_has_a_report() -> None:
    assert reports([], "...") == {}
    assert reports([rule("a", "")], "")["a"] == RuleReport("a", "sentiment")


def test_order_of_sources_does_not_matter() -> None:
    said = {"a": "PPNN....", "b": "PNN.U...", "c": "p.p....."}
    gold = "PPNNUU.."
    forward = reports([rule(name, text) for name, text in said.items()], gold)
    backward = reports([rule(name, text) for name, text in reversed(said.items())], gold)
    assert forward == backward
