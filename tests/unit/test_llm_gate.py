"""The validation gate: what is said of an LLM source, and when its votes may count."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from backend.domain.llm.gate import report_source
from backend.domain.llm.records import ConfidenceKind, LlmAnswer, Problem
from backend.domain.questions import Choices
from backend.domain.statistics import cohen_kappa

TONE = Choices("tone", "text", ("warm", "cold", "none"))
TOPICS = Choices("topics", "text", ("food", "sport"), multiple=True)


def said(*labels: str, confidence: float | None = None, problem: Problem = Problem.NONE) -> LlmAnswer:
    kind = ConfidenceKind.STATED if confidence is not None else ConfidenceKind.NONE
    return LlmAnswer("c", "p", "m", labels, problem, confidence, kind, price_usd=0.25)


def test_agreement_is_measured_on_answers_that_people_judged() -> None:
    answers = {1: said("warm"), 2: said("warm"), 3: said("cold"), 4: said(), 5: said(problem=Problem.OFF_LIST)}
    report, _ = report_source(TONE, answers, {1: ("warm",), 2: ("cold",), 4: ("warm",), 9: ("warm",)})
    assert (report.n_answers, report.n_abstained, report.n_compared) == (5, 2, 2)
    assert report.problems == {"off list": 1}
    assert report.agreement == 0.5
    assert report.usd == 1.25
    assert report.labels["warm"].precision == 0.5
    assert report.labels["warm"].recall == 1.0
    assert report.labels["cold"].recall == 0.0
    assert report.labels["none"].precision is None


def test_kappa_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    ours = rng.integers(0, 3, 200)
    theirs = np.where(rng.random(200) < 0.7, ours, rng.integers(0, 3, 200))
    kappa, (low, high) = cohen_kappa(ours, theirs)
    assert kappa == pytest.approx(cohen_kappa_score(ours, theirs))
    assert low < kappa < high


def test_always_the_same_label_is_no_agreement_beyond_chance() -> None:
    human = {number: ("warm",) for number in range(60)}
    report, _ = report_source(TONE, {number: said("warm") for number in range(60)}, human)
    assert report.agreement == 1.0
    assert report.kappa == 0.0
    assert not report.passes(0.4)


@pytest.mark.parametrize(("n", "wrong", "passes"), [(49, 0, False), (50, 0, True), (80, 16, True), (80, 40, False)])
def test_the_gate_wants_enough_answers_and_enough_agreement(n: int, wrong: int, passes: bool) -> None:
    human = {number: (TONE.labels[number % 2],) for number in range(n)}
    answers = {number: said(TONE.labels[(number + (number < wrong)) % 2]) for number in range(n)}
    assert report_source(TONE, answers, human)[0].passes(0.4) is passes


def test_nothing_compared_is_no_crash() -> None:
    report, _ = report_source(TONE, {}, {})
    assert report.agreement is None
    assert not report.passes(-1.0)
    assert report.kappa is None


def test_a_set_is_right_as_a_whole_and_its_kappa_is_the_labels_mean() -> None:
    sets = [("food",), ("sport",), ("food", "sport"), ("food",)] * 15
    answers = {number: said(*labels) for number, labels in enumerate(sets)}
    human = dict(enumerate(sets))
    assert report_source(TOPICS, answers, human)[0].kappa == pytest.approx(1.0)
    human = {number: labels[:1] for number, labels in human.items()}
    report, _ = report_source(TOPICS, answers, human)
    assert report.agreement == 0.75
    assert 0 < (report.kappa or 0) < 1


def test_what_confidence_is_worth_is_shown() -> None:
    # Says 0.95, is right in 60 of 100.
    human = {number: ("warm",) if number % 5 < 3 else ("cold",) for number in range(100)}
    report, _ = report_source(TONE, {number: said("warm", confidence=0.95) for number in range(100)}, human)
    assert report.confidence_kinds == {"stated": 100}
    assert [(round(item.confidence, 2), item.right, item.n) for item in report.reliability] == [(0.95, 0.6, 100)]
    assert report.calibration_error == pytest.approx(0.35)
    assert report.calibrated_error is not None
    assert report.calibrated_error < 0.1
    assert report.calibration not in {"", "none"}


def test_the_report_says_how_well_confidence_tells_right_from_wrong() -> None:
    human = {number: ("warm",) if number % 2 else ("cold",) for number in range(60)}
    telling = {number: said("warm", confidence=0.9 if number % 2 else 0.4) for number in range(60)}
    assert report_source(TONE, telling, human)[0].auroc == 1.0
    alike = {number: said("warm", confidence=0.9) for number in range(60)}
    assert report_source(TONE, alike, human)[0].auroc == 0.5
    assert report_source(TONE, alike, dict.fromkeys(range(60), ("warm",)))[0].auroc is None


def test_answers_to_another_form_of_the_question_are_not_compared() -> None:
    answers = {1: said("warm"), 2: said("warm"), 3: said("gone"), 4: said("warm")}
    report, _ = report_source(TONE, answers, {1: ("gone",), 2: (), 3: ("warm",), 4: ("warm",)})
    assert report.n_compared == 1


def test_full_agreement_of_few_is_still_uncertain() -> None:
    labels = np.arange(50) % 2
    kappa, (low, high) = cohen_kappa(labels, labels)
    assert kappa == 1.0
    assert high == pytest.approx(1.0)
    assert 0.8 < low < 0.95
