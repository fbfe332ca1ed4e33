import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.domain.posterior import EXPONENTS, Exponents, fit_exponents, fit_ratios, rule_out, rule_out_held_out

NAN = np.full((1, 2), np.nan)


def rows(*values: float) -> NDArray[np.float64]:
    """Posteriors of two classes from the probability of class 1; None is NaN."""
    return np.array([[1 - value, value] for value in values])


def calibrated(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities of class 1 that are exactly right, and classes drawn with them."""
    random = np.random.default_rng(seed)
    p = random.uniform(0.02, 0.98, n)
    return p, (random.random(n) < p).astype(np.int64)


def log_loss(proba: NDArray[np.float64], gold: NDArray[np.int64]) -> float:
    return float(-np.log(proba[np.arange(gold.size), gold]).mean())


def test_agreement_adds_up_and_contradiction_cancels() -> None:
    combined = Exponents(1.0, 1.0).combine(rows(0.8, 0.8), rows(0.8, 0.2))
    np.testing.assert_allclose(combined[:, 1], [0.64 / (0.64 + 0.04), 0.5])


def test_whoever_knows_nothing_is_left_out() -> None:
    exponents = Exponents(1.0, 1.0, 1.0, 1.0)
    np.testing.assert_allclose(exponents.combine(NAN, rows(0.7)), rows(0.7))
    np.testing.assert_allclose(exponents.combine(rows(0.7), NAN), rows(0.7))
    assert np.isnan(exponents.combine(NAN, NAN)).all()


def test_no_tasks() -> None:
    empty = np.empty((0, 2))
    assert Exponents().combine(empty, empty).shape == (0, 2)
    assert fit_exponents(empty, empty, np.empty(0, dtype=np.int64)) == Exponents()


def test_a_certain_error_can_be_outvoted() -> None:
    assert Exponents(1.0, 4.0).combine(np.array([[1.0, 0.0]]), rows(0.999999))[0, 1] > 0.5


def test_without_labels_the_defaults_hold() -> None:
    proba = rows(*np.linspace(0.1, 0.9, 50))
    assert fit_exponents(proba, proba, np.full(50, -1)) == Exponents()


def test_a_few_labels_move_little_and_many_decide() -> None:
    p, gold = calibrated(600, seed=0)
    noise = rows(*np.random.default_rng(1).uniform(0.02, 0.98, 600))
    few = np.where(np.arange(600) < 5, gold, -1)
    exponents = fit_exponents(rows(*p), noise, few)
    assert (
        abs(exponents.label_model - Exponents().label_model) + abs(exponents.classifier - Exponents().classifier) <= 0.5
    )
    many = fit_exponents(rows(*p), noise, gold)
    assert many.label_model == 1.0
    assert many.classifier == 0.0
    other_way = fit_exponents(noise, rows(*p), gold)
    assert other_way.label_model == 0.0
    assert other_way.classifier == 1.0


@pytest.mark.parametrize("distortion", [0.5, 3.0])
def test_calibrates_overconfident_and_timid_posteriors(distortion: float) -> None:
    p, gold = calibrated(1000, seed=0)
    odds = (p / (1 - p)) ** distortion
    distorted = rows(*(odds / (1 + odds)))
    nothing = np.full((1000, 2), np.nan)
    for label_model, classifier in [(distorted, nothing), (nothing, distorted)]:
        exponents = fit_exponents(label_model, classifier, gold)
        assert log_loss(exponents.combine(label_model, classifier), gold) == pytest.approx(
            log_loss(rows(*p), gold), abs=0.02
        )


def test_each_situation_is_calibrated_by_its_own_labels() -> None:
    p, gold = calibrated(800, seed=0)
    odds = (p / (1 - p)) ** 3
    classifier = rows(*np.where(np.arange(800) < 400, p, odds / (1 + odds)))
    label_model = rows(*np.full(800, 0.5))
    label_model[400:] = np.nan
    exponents = fit_exponents(label_model, classifier, gold)
    assert exponents.classifier == pytest.approx(1.0, abs=0.25)
    assert exponents.classifier_alone == 0.25


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=10),
    st.sampled_from(EXPONENTS),
    st.sampled_from(EXPONENTS),
)
def test_always_a_distribution(pairs: list[tuple[float, float]], a: float, b: float) -> None:
    combined = Exponents(a, b).combine(rows(*(p for p, _ in pairs)), rows(*(q for _, q in pairs)))
    np.testing.assert_allclose(combined.sum(axis=1), 1)
    assert (combined >= 0).all()


def test_ruling_a_class_out_multiplies_its_odds() -> None:
    proba = np.array([[0.5, 0.3, 0.2]])
    left = rule_out(proba, np.array([[0, -1]], dtype=np.int16), np.array([0.2, 0.1]))
    assert left == pytest.approx(np.array([[0.1, 0.3, 0.2]]) / 0.6)
    twice = rule_out(proba, np.array([[0, 0]], dtype=np.int16), np.array([0.2, 0.1]))
    assert twice == pytest.approx(np.array([[0.01, 0.3, 0.2]]) / 0.51)


def test_ruling_out_changes_nothing_where_nothing_is_said_known_or_left() -> None:
    proba = np.array([[0.5, 0.3, 0.2], [np.nan] * 3, [1.0, 0.0, 0.0]])
    excluded = np.array([[-1], [0], [0]], dtype=np.int16)
    np.testing.assert_array_equal(rule_out(proba, excluded, np.array([0.0])), proba)


def test_sources_that_rule_out_are_believed_as_far_as_they_were_right() -> None:
    random = np.random.default_rng(0)
    n, k = 4000, 3
    gold = random.integers(0, k, n)
    proba = np.full((n, k), 1 / k)
    knowing = (gold + random.integers(1, k, n)) % k
    guessing = random.integers(0, k, n)
    excluded = np.stack([knowing, guessing, gold, np.full(n, -1)], axis=1).astype(np.int16)
    ratios = fit_ratios(proba, excluded, gold)
    assert ratios[0] < 0.01
    assert ratios[1] == pytest.approx(1.0, abs=0.1)
    assert ratios[2] == 1.0
    assert ratios[3] == 0.25
    truth = np.arange(n)
    assert rule_out(proba, excluded[:, :1], ratios[:1])[truth, gold] == pytest.approx(0.5, abs=0.01)


def test_no_label_has_a_say_in_how_far_a_vote_against_its_class_counts() -> None:
    random = np.random.default_rng(0)
    gold = np.where(np.arange(30) < 20, random.integers(0, 3, 30), -1)
    proba = random.dirichlet(np.ones(3), 30)
    excluded = random.integers(0, 3, (30, 2)).astype(np.int16)
    folds = np.array_split(np.arange(20), 5)
    ruled = rule_out_held_out(proba, excluded, gold, folds)
    assert not np.allclose(ruled, proba)
    for fold in folds:
        other = gold.copy()
        other[fold] = (gold[fold] + 1) % 3
        np.testing.assert_array_equal(rule_out_held_out(proba, excluded, other, folds)[fold], ruled[fold])


def test_where_a_validated_source_votes_the_label_model_leads() -> None:
    label_model, classifier = rows(0.7, 0.7), rows(0.25, 0.25)
    told = np.array([True, False])
    exponents = fit_exponents(label_model, classifier, np.array([-1, -1]), told)
    assert exponents.combine(label_model, classifier, told).argmax(axis=1).tolist() == [1, 0]
    assert fit_exponents(label_model, classifier, np.array([-1, -1]), np.zeros(2, dtype=np.bool_)) == Exponents()


def test_tasks_with_and_without_a_validated_source_are_combined_by_their_own_labels() -> None:
    p, gold = calibrated(800, seed=0)
    noise = np.random.default_rng(1).uniform(0.02, 0.98, 800)
    told = np.arange(800) < 400
    label_model, classifier = rows(*np.where(told, p, noise)), rows(*np.where(told, noise, p))
    exponents = fit_exponents(label_model, classifier, gold, told)
    assert (exponents.label_model, exponents.classifier) == (0.0, 1.0)
    assert exponents.validated == pytest.approx((1.0, 0.0), abs=0.25)
    assert log_loss(exponents.combine(label_model, classifier, told), gold) == pytest.approx(
        log_loss(rows(*p), gold), abs=0.02
    )


def test_a_flatter_classifier_keeps_its_part_of_the_say_beside_a_validated_source() -> None:
    assert Exponents(validated=(1.0, 0.5)).flattened(0.5) == Exponents(0.25, validated=(0.5, 0.5))
