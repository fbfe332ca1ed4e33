import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.domain.llm.confidence import (
    MIN_LABELS,
    TokenMap,
    apply,
    calibrate,
    calibration_error,
    confidences_of,
    held_out_confidence,
    reliability,
)
from backend.domain.llm.records import Calibration, ConfidenceKind, LlmAnswer, Problem, Token

TEXT = '["Positive"]'


def tokens(*pieces: tuple[str, float]) -> list[Token]:
    return [Token(text, math.log(probability)) for text, probability in pieces]


def planted(n: int, seed: int, truth: object = None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences between 0.5 and 1, and answers that are right as often as `truth` says of each."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1.0, n)
    assert callable(truth)
    return confidence, random.random(n) < truth(confidence)


def test_all_tokens_that_hold_a_character_of_the_label_count() -> None:
    pieces = tokens(('["', 0.1), ("", 0.1), ("Pos", 0.5), ("", 0.1), ('itive"', 0.5), ("]", 0.1))
    assert TokenMap(TEXT, pieces).probability([(2, 10)]) == pytest.approx(0.25)
    assert TokenMap(TEXT, pieces).probability([(2, 5)]) == pytest.approx(0.5)


def test_a_token_of_two_labels_counts_once() -> None:
    assert TokenMap("a,b", tokens(("a,b", 0.5))).probability([(0, 1), (2, 3)]) == pytest.approx(0.5)


@pytest.mark.parametrize("pieces", [[], tokens(("Positive", 0.5)), tokens((TEXT, 0.5), ("x", 0.5))])
def test_tokens_that_are_not_the_text_give_no_probability(pieces: list[Token]) -> None:
    assert TokenMap(TEXT, pieces).probability([(2, 10)]) is None


def test_odd_log_probabilities_give_a_probability_or_none() -> None:
    def of(logprob: float) -> float | None:
        return TokenMap("x", [Token("x", logprob)]).probability([(0, 1)])

    assert (of(math.nan), of(-math.inf), of(-9999.0), of(0.1)) == (None, 0.0, 0.0, 1.0)


def test_abstentions_have_no_confidence_to_calibrate() -> None:
    def answer(labels: tuple[str, ...], confidence: float | None) -> LlmAnswer:
        return LlmAnswer("c", "p", "m", labels, Problem.NONE, confidence, ConfidenceKind.STATED)

    found = confidences_of([answer(("a",), 0.5), answer((), 0.5), None, answer(("a",), None)])
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan, np.nan])


def test_too_few_labels_leave_the_confidence_as_it_is() -> None:
    confidence, right = planted(MIN_LABELS - 1, 0, lambda x: x)
    padded = np.append(confidence, [np.nan] * 10)
    calibration = calibrate(padded, np.append(right, [True] * 10))
    assert calibration == Calibration()
    np.testing.assert_array_equal(apply(calibration, padded), padded)
    np.testing.assert_array_equal(held_out_confidence(padded, np.append(right, [True] * 10)), padded)
    assert calibrate(*planted(MIN_LABELS, 0, lambda x: x)).method != "none"


def test_a_model_that_is_too_sure_in_proportion_gets_a_temperature() -> None:
    confidence, right = planted(400, 1, lambda x: 1 / (1 + (1 / x - 1) ** 0.4))
    calibration = calibrate(confidence, right)
    assert calibration.method == "temperature"
    assert calibration.temperature == pytest.approx(2.5, rel=0.35)


def test_a_model_whose_confidence_is_a_step_gets_an_isotonic_map() -> None:
    confidence, right = planted(2000, 2, lambda x: np.where(x > 0.9, 0.9, 0.1))
    calibration = calibrate(confidence, right)
    assert calibration.method == "isotonic"
    np.testing.assert_allclose(apply(calibration, np.array([0.6, 0.95])), [0.1, 0.9], atol=0.06)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_makes_open_tasks_confidence_truer(seed: int) -> None:
    def truth(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.3 + 0.5 * confidence**3

    calibration = calibrate(*planted(200, seed, truth))
    confidence, right = planted(5000, seed + 10, truth)
    before = calibration_error(reliability(confidence, right))
    after = calibration_error(reliability(apply(calibration, confidence), right))
    assert before is not None
    assert after is not None
    assert after < before / 2


@pytest.mark.parametrize("value", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_a_constant_confidence_becomes_about_the_share_that_is_right(value: float, share: float) -> None:
    confidence, right = np.full(50, value), np.arange(50) < 50 * share
    calibrated = apply(calibrate(confidence, right), confidence)
    assert calibrated == pytest.approx(np.full(50, share), abs=0.1)
    assert ((calibrated > 0) & (calibrated < 1)).all()


def test_all_right_is_never_certain() -> None:
    confidence = np.linspace(0.6, 0.99, 40, dtype=np.float64)
    calibration = calibrate(confidence, np.ones(40, dtype=np.bool_))
    assert apply(calibration, np.array([0.99]))[0] < 1


def test_the_row_own_label_has_no_say_out_of_fold() -> None:
    confidence, right = planted(60, 3, lambda x: x)
    held_out = held_out_confidence(confidence, right)
    for row in (0, 17, 59):
        turned = right.copy()
        turned[row] = ~turned[row]
        assert held_out_confidence(confidence, turned)[row] == held_out[row]


def test_reliability_by_hand() -> None:
    confidence = np.array([0.1, 0.12, 0.95, 1.0, np.nan])
    right = np.array([False, True, True, True, False])
    bins = reliability(confidence, right)
    assert [item.confidence for item in bins] == pytest.approx([0.11, 0.975])
    assert [(item.right, item.n) for item in bins] == [(0.5, 2), (1.0, 2)]
    assert calibration_error(bins) == pytest.approx((2 * 0.39 + 2 * 0.025) / 4)
    assert len(reliability(confidence, right, 1)) == 1
    assert reliability(np.array([np.nan]), np.array([True])) == ()
    assert calibration_error(()) is None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1e-12, 0.3, 0.5, 0.9, 0.99, 1.0]), st.booleans()), max_size=80),
    st.booleans(),
)
def test_calibration_keeps_the_order_and_stays_a_probability(rows: list[tuple[float, bool]], missing: bool) -> None:
    confidence = np.array([value for value, _ in rows] + [np.nan] * missing)
    right = np.array([was for _, was in rows] + [True] * missing, dtype=np.bool_)
    calibration = calibrate(confidence, right)
    asked = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    given_back = apply(calibration, asked)
    assert ((given_back >= 0) & (given_back <= 1)).all()
    assert (np.diff(given_back) >= 0).all()
    assert np.isnan(apply(calibration, np.array([np.nan]))[0])
    assert np.isfinite(held_out_confidence(confidence, right)).sum() == len(rows)
