import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from backend.domain.label_model.base import LabelModel
from backend.domain.label_model.choose import METHODS, choose, from_dict
from backend.domain.label_model.dawid_skene import DawidSkene
from backend.domain.label_model.majority import MajorityVote
from backend.domain.label_model.propensity import PropensityVote
from backend.domain.label_model.weighted import PRIOR_ACCURACY, WeightedVote
from backend.domain.questions.forms import Votes
from tests.fuzz.effort import effort
from tests.unit.planted import only_first, planted_votes

LEARNING = [WeightedVote, PropensityVote, DawidSkene]


def unknown(votes: Votes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.full(len(votes), -1, dtype=np.int64)


def votes_of(*rows: list[int]) -> Votes:
    return np.array(rows, dtype=np.int16)


@pytest.mark.parametrize("model", METHODS)
def test_clear_majorities_win_and_tasks_without_votes_have_no_answer(
    model: type[LabelModel],
) -> None:
    votes = votes_of([0, 0, 1], [2, 2, 2], [-1, -1, -1], [-1, 1, -1])
    proba = model().fit(votes, 3, unknown(votes)).predict_proba(votes)
    assert proba.shape == (4, 3)
    assert proba[[0, 1, 3]].argmax(axis=1).tolist() == [0, 2, 1]
    np.testing.assert_allclose(proba[[0, 1, 3]].sum(axis=1), 1)
    assert np.isnan(proba[2]).all()


def test_majority_vote_gives_vote_shares() -> None:
    votes = votes_of([0, 0, 1, -1])
    assert MajorityVote().fit(votes, 2, unknown(votes)).predict_proba(votes)[0].tolist() == pytest.approx(
        [2 / 3, 1 / 3]
    )


@pytest.mark.parametrize("n_classes", [2, 4])
def test_planted_accuracies_are_recovered_without_any_label(n_classes: int) -> None:
    truth = np.random.default_rng(0).integers(0, n_classes, 6000)
    planted = [0.95, 0.85, 0.8, 0.75, 0.65]
    votes = planted_votes(truth, planted, [0.7] * 5, n_classes, seed=1)
    model = WeightedVote().fit(votes, n_classes, unknown(votes))
    np.testing.assert_allclose(model.accuracies, planted, atol=0.04)


def test_weighing_beats_majority_vote_when_sources_differ() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 4000)
    votes = planted_votes(truth, [0.95, 0.6, 0.6, 0.6, 0.55], [0.9] * 5, 2, seed=1)
    covered = (votes >= 0).any(axis=1)

    def accuracy(model: MajorityVote | WeightedVote) -> float:
        return float((model.predict_proba(votes).argmax(axis=1) == truth)[covered].mean())

    weighted, majority = WeightedVote().fit(votes, 2, unknown(votes)), MajorityVote().fit(votes, 2, unknown(votes))
    assert accuracy(weighted) > accuracy(majority) + 0.05


def test_posteriors_are_calibrated_on_independent_sources() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 6000)
    votes = planted_votes(truth, [0.9, 0.8, 0.7, 0.6], [0.5] * 4, 3, seed=1)
    proba = WeightedVote().fit(votes, 3, unknown(votes)).predict_proba(votes)
    covered = ~np.isnan(proba[:, 0])
    confidence, right = proba[covered].max(axis=1), proba[covered].argmax(axis=1) == truth[covered]
    for low, high in [(0.5, 0.75), (0.75, 0.9), (0.9, 1.01)]:
        among = (confidence >= low) & (confidence < high)
        assert right[among].mean() == pytest.approx(confidence[among].mean(), abs=0.05)


def test_human_labels_overrule_a_majority_of_bad_sources() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 600)
    good = planted_votes(truth, [0.95], [1.0], 2, seed=1)
    # Three copies of one source that guesses: they agree with each other, and are wrong together.
    bad = planted_votes(truth, [0.45], [1.0], 2, seed=2)
    votes = np.hstack([good, bad, bad, bad])
    before = WeightedVote().fit(votes, 2, unknown(votes))
    after = WeightedVote().fit(votes, 2, only_first(truth, 60))
    assert (before.predict_proba(votes).argmax(axis=1) == truth).mean() < 0.5
    assert (after.predict_proba(votes).argmax(axis=1) == truth).mean() > 0.9
    assert after.accuracies[0] > 0.85
    assert (after.accuracies[1:] < 0.6).all()


def test_only_human_labels_can_make_a_source_worse_than_chance() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 1000)
    votes = planted_votes(truth, [0.9, 0.9, 0.1], [1.0] * 3, 2, seed=1)
    assert WeightedVote().fit(votes, 2, unknown(votes)).accuracies[2] > 0.5
    assert WeightedVote().fit(votes, 2, only_first(truth, 50)).accuracies[2] < 0.35


def test_sources_that_only_ever_say_yes_are_believed_but_not_proven_by_agreeing() -> None:
    votes = votes_of(*[[1, -1]] * 50, *[[1, 1]] * 50, *[[-1, -1]] * 50)
    model = WeightedVote().fit(votes, 2, unknown(votes))
    proba = model.predict_proba(votes)
    assert proba[0, 1] == pytest.approx(PRIOR_ACCURACY)
    assert proba[0, 1] < proba[50, 1] < 0.9
    assert np.isnan(proba[100]).all()


def test_a_yes_that_people_mostly_reject_becomes_a_no() -> None:
    votes = votes_of(*[[1, -1]] * 100, *[[-1, 1]] * 100)
    gold = unknown(votes)
    gold[:30] = 0
    gold[100:130] = 1
    proba = WeightedVote().fit(votes, 2, gold).predict_proba(votes)
    assert proba[99, 1] < 0.35
    assert proba[199, 1] > 0.7


def test_common_classes_win_ties_once_people_showed_which_they_are() -> None:
    truth = (np.random.default_rng(0).random(2000) < 0.15).astype(np.int64)
    votes = planted_votes(truth, [0.7, 0.7], [1.0, 1.0], 2, seed=1)
    tie = votes_of([0, 1])
    assert WeightedVote().fit(votes, 2, unknown(votes)).predict_proba(tie)[0] == pytest.approx([0.5, 0.5], abs=0.01)
    balance = WeightedVote().fit(votes, 2, only_first(truth, 400)).class_balance
    assert balance[0] > 0.7


def test_rare_class_of_one_sided_sources_survives_human_labels() -> None:
    """Spam rules vote spam only, on few tasks: that most tasks are ham must not turn their votes around."""
    random = np.random.default_rng(0)
    truth = (random.random(3000) < 0.2).astype(np.int64)
    votes = np.full((3000, 6), -1, dtype=np.int16)
    for column in range(6):
        label = column % 2
        fires = np.where(truth == label, 0.3, 0.03 if label else 0.1)
        votes[random.random(3000) < fires, column] = label
    gold = only_first(truth, 300)
    proba = WeightedVote().fit(votes, 2, gold).predict_proba(votes)
    spam = (votes == 1).any(axis=1) & (votes != 0).all(axis=1)
    assert truth[spam].mean() > 0.6
    assert (proba[spam].argmax(axis=1) == 1).all()


@pytest.mark.parametrize("model", METHODS)
@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (4, 0), (4, 1)])
def test_nothing_to_learn_from(model: type[LabelModel], n: int, m: int) -> None:
    votes = np.full((n, m), -1, dtype=np.int16)
    proba = model().fit(votes, 3, unknown(votes)).predict_proba(votes)
    assert proba.shape == (n, 3)
    assert np.isnan(proba).all()


@pytest.mark.parametrize("model", METHODS)
def test_a_question_with_one_label_is_certain_where_someone_votes(model: type[LabelModel]) -> None:
    votes = votes_of([0], [-1])
    proba = model().fit(votes, 1, np.array([0, -1])).predict_proba(votes)
    assert proba[0, 0] == 1
    assert np.isnan(proba[1, 0])


@pytest.mark.parametrize("model", METHODS)
def test_other_columns_than_fitted_are_refused(model: type[LabelModel]) -> None:
    fitted = model().fit(votes_of([0, 1]), 2, np.array([-1]))
    with pytest.raises(ValueError, match="fitted on 2 sources"):
        fitted.predict_proba(votes_of([0, 1, 1]))


@pytest.mark.parametrize("model", METHODS)
def test_survives_json(model: type[LabelModel]) -> None:
    truth = np.random.default_rng(0).integers(0, 3, 200)
    votes = planted_votes(truth, [0.9, 0.6], [0.8, 0.8], 3, seed=1)
    fitted = model().fit(votes, 3, only_first(truth, 20))
    again = from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert type(again) is model
    np.testing.assert_array_equal(again.predict_proba(votes), fitted.predict_proba(votes))


def test_models_stored_before_there_was_a_choice_are_weighted_votes() -> None:
    again = from_dict({"accuracies": [0.9, 0.6], "class_balance": [0.5, 0.5]})
    assert again.predict_proba(votes_of([0, 1]))[0, 0] == pytest.approx(6 / 7)
    with pytest.raises(ValueError, match="unknown label model"):
        from_dict({"method": "tarot"})


@effort(200)
@given(st.data(), st.sampled_from(METHODS), st.integers(1, 4), st.integers(0, 5), st.integers(0, 12))
def test_covered_rows_always_get_a_distribution(
    data: st.DataObject, method: type[LabelModel], k: int, m: int, n: int
) -> None:
    votes = data.draw(arrays(np.int16, (n, m), elements=st.integers(-1, k - 1)))
    gold = data.draw(arrays(np.int64, n, elements=st.integers(-1, k - 1)))
    model = method().fit(votes, k, gold)
    proba = model.predict_proba(votes)
    covered = (votes >= 0).any(axis=1)
    assert np.isfinite(proba[covered]).all()
    assert np.isnan(proba[~covered]).all()
    np.testing.assert_allclose(proba[covered].sum(axis=1), 1)
    assert ((model.accuracies > 0) & (model.accuracies <= 1)).all()
    assert model.class_balance.sum() == pytest.approx(1)


def right(model: LabelModel, votes: Votes, truth: NDArray[np.int64]) -> float:
    return float((model.predict_proba(votes).argmax(axis=1) == truth)[(votes >= 0).any(axis=1)].mean())


def test_a_rule_that_confuses_two_classes_is_understood() -> None:
    """It fires on 0 and 1 alike and votes 0: with the others' help a 1 it fires on is still a 1."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 6000)
    votes = planted_votes(truth, [0.8, 0.8, 0.75], [0.6] * 3, 3, seed=1)
    confused = np.where((truth < 2) & (random.random(6000) < 0.9), 0, -1).astype(np.int16)
    votes = np.column_stack([votes, confused])
    weighted, propensity = (method().fit(votes, 3, unknown(votes)) for method in (WeightedVote, PropensityVote))
    assert right(propensity, votes, truth) > right(weighted, votes, truth) + 0.01


def test_two_sources_count_the_same_because_their_agreement_says_nothing() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 2000)
    votes = planted_votes(truth, [0.95, 0.6], [0.9, 0.9], 2, seed=1)
    alone = PropensityVote().fit(votes, 2, unknown(votes))
    assert not alone.judged.any()
    assert alone.predict_proba(votes_of([0, 1]))[0].tolist() == pytest.approx([0.5, 0.5])
    taught = PropensityVote().fit(votes, 2, only_first(truth, 100))
    assert taught.judged.all()
    assert taught.predict_proba(votes_of([0, 1]))[0, 0] > 0.6


def test_copies_share_one_vote() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 3000)
    votes = planted_votes(truth, [0.85, 0.8, 0.8, 0.6], [0.9] * 4, 2, seed=1)
    once = PropensityVote().fit(votes, 2, unknown(votes))
    copied = np.hstack([votes, votes[:, 3:], votes[:, 3:], votes[:, 3:], votes[:, 3:]])
    again = PropensityVote().fit(copied, 2, unknown(copied))
    assert right(again, copied, truth) > right(once, votes, truth) - 0.02
    assert right(MajorityVote().fit(copied, 2, unknown(copied)), copied, truth) < right(again, copied, truth) - 0.1


def test_classes_without_any_source_are_possible_but_not_preferred() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 3000)
    votes = planted_votes(truth, [0.9, 0.8, 0.8], [0.7] * 3, 3, seed=1)
    proba = PropensityVote().fit(votes, 5, unknown(votes)).predict_proba(votes)
    covered = np.isfinite(proba[:, 0])
    assert (proba[covered].argmax(axis=1) < 3).mean() > 0.98
    assert (proba[covered][:, 3:] > 0).all()


@pytest.mark.parametrize("model", LEARNING)
def test_human_labels_show_a_source_that_is_worse_than_chance(model: type[LabelModel]) -> None:
    truth = np.random.default_rng(0).integers(0, 2, 2000)
    votes = planted_votes(truth, [0.85, 0.8, 0.1], [1.0] * 3, 2, seed=1)
    fitted = model().fit(votes, 2, only_first(truth, 400))
    assert fitted.accuracies[2] < 0.3
    assert right(fitted, votes, truth) > 0.85


@pytest.mark.parametrize("model", LEARNING)
def test_a_warm_start_ends_where_a_cold_one_does(model: type[LabelModel]) -> None:
    truth = np.random.default_rng(0).integers(0, 3, 3000)
    votes = planted_votes(truth, [0.9, 0.8, 0.7, 0.6], [0.6] * 4, 3, seed=1)
    before = model().fit(votes[:2500], 3, unknown(votes[:2500]))
    cold, warm = model().fit(votes, 3, unknown(votes)), model().fit(votes, 3, unknown(votes), start=before)
    np.testing.assert_allclose(warm.predict_proba(votes), cold.predict_proba(votes), atol=0.01)
    elsewhere = model().fit(votes[:, :2], 3, unknown(votes), start=before)
    np.testing.assert_array_equal(elsewhere.accuracies, model().fit(votes[:, :2], 3, unknown(votes)).accuracies)


def test_without_labels_the_default_is_used_and_says_so() -> None:
    votes = votes_of([0, 1], [1, 1])
    choice = choose(votes, 2, unknown(votes))
    assert choice.method is PropensityVote
    assert "0 human labels" in choice.reason
    assert choice.losses == {}


def test_a_simpler_method_that_does_as_well_is_used_and_says_so() -> None:
    """Independent sources with one accuracy each are just what the weighted vote assumes."""
    truth = np.random.default_rng(0).integers(0, 2, 600)
    votes = planted_votes(truth, [0.95, 0.8, 0.6, 0.5], [1.0] * 4, 2, seed=1)
    choice = choose(votes, 2, only_first(truth, 400))
    assert choice.method is WeightedVote
    assert "simpler" in choice.reason
    assert choice.losses["weighted_vote"] <= choice.losses["propensity_vote"]
    assert choice.recorded().method == "weighted_vote"


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_a_rare_class_is_named_though_never_naming_it_is_right_more_often(seed: int) -> None:
    """Three rules for each of two classes, one of them 8 % of the tasks."""
    random = np.random.default_rng(seed)
    truth = (random.random(3000) < 0.08).astype(np.int64)
    votes = np.full((truth.size, 6), -1, dtype=np.int16)
    for rule in range(3):
        votes[random.random(truth.size) < np.array([0.1, 0.4])[truth], rule] = 1
    for rule in range(3, 6):
        votes[random.random(truth.size) < np.array([0.5, 0.2])[truth], rule] = 0
    voted = np.flatnonzero((votes >= 0).any(axis=1))
    gold = unknown(votes)
    labeled = np.random.default_rng(seed).choice(voted, 100, replace=False)
    gold[labeled] = truth[labeled]
    answers = choose(votes, 2, gold).fit(votes, 2, gold).predict_proba(votes)[voted].argmax(axis=1)
    assert (answers == 1).mean() > 0.05
    assert f1_score(truth[voted], answers, average="macro") > 0.65


@pytest.mark.parametrize("n_labels", [50, 100])
def test_a_few_labels_do_not_talk_rules_out_of_a_rare_class(n_labels: int) -> None:
    """A good rule for a class of 2 % of the tasks, which is hardly ever among the labels, and three poor ones for the
    other: the class is found without labels, and with them."""
    random = np.random.default_rng(0)
    truth = (random.random(4000) < 0.02).astype(np.int64)
    votes = np.full((truth.size, 4), -1, dtype=np.int16)
    votes[random.random(truth.size) < np.array([0.001, 0.8])[truth], 0] = 1
    for rule in range(1, 4):
        votes[random.random(truth.size) < 0.4, rule] = 0
    voted = np.flatnonzero((votes >= 0).any(axis=1))

    def macro_f1(gold: NDArray[np.int64]) -> float:
        answers = choose(votes, 2, gold).fit(votes, 2, gold).predict_proba(votes)[voted].argmax(axis=1)
        return float(f1_score(truth[voted], answers, average="macro"))

    without = macro_f1(unknown(votes))
    assert without > 0.9
    for seed in range(5):
        gold = unknown(votes)
        labeled = np.random.default_rng(seed).choice(voted, n_labels, replace=False)
        gold[labeled] = truth[labeled]
        assert macro_f1(gold) > without - 0.04


def test_arithmetic_of_weights() -> None:
    """p = .80 for one class and .90 for the other: 4/13; both for the same: 36/37. WeightedVote says the same."""
    model = from_dict({"method": "weighted_vote", "accuracies": [0.8, 0.9], "class_balance": [0.5, 0.5]})
    against, together = model.predict_proba(votes_of([1, 0], [1, 1]))[:, 1]
    assert against == pytest.approx(4 / 13)
    assert together == pytest.approx(36 / 37)
    assert 1 / (1 + np.exp(np.log(0.9 / 0.1) - np.log(0.8 / 0.2))) == pytest.approx(4 / 13)


def llm_among_rules(accuracy: float, seed: int = 0) -> tuple[Votes, NDArray[np.int64]]:
    """Twelve weak rules for one class each, that hit what they don't mean, and an LLM that answers all tasks, last."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, 2000)
    rules = [
        np.where(random.random(2000) < np.where(truth == place % 2, 0.3, 0.2), place % 2, -1) for place in range(12)
    ]
    llm = np.where(random.random(2000) < accuracy, truth, 1 - truth)
    return np.column_stack([*rules, llm]).astype(np.int16), truth


ONLY_LAST = np.arange(13) == 12


@pytest.mark.parametrize("n_labels", [0, 20, 100])
def test_an_llm_that_people_validated_is_not_outvoted_by_weak_rules(n_labels: int) -> None:
    votes, truth = llm_among_rules(0.82)
    fitted = PropensityVote().fit(votes, 2, only_first(truth, n_labels), validated=ONLY_LAST)
    assert right(fitted, votes, truth) > (votes[:, -1] == truth).mean() - 0.005


@pytest.mark.parametrize("model", LEARNING)
def test_labels_take_an_llms_trust_away(model: type[LabelModel]) -> None:
    votes, truth = llm_among_rules(0.55)
    before = model().fit(votes, 2, unknown(votes), validated=ONLY_LAST)
    after = model().fit(votes, 2, only_first(truth, 200), validated=ONLY_LAST)
    assert after.accuracies[-1] < min(0.7, before.accuracies[-1])
    assert right(after, votes, truth) > (votes[:, -1] == truth).mean() + 0.02


def test_the_choice_of_a_label_model_knows_who_is_validated() -> None:
    votes, truth = llm_among_rules(0.82)
    for n_labels in (0, 20, 100):
        gold = only_first(truth, n_labels)
        fitted = choose(votes, 2, gold, validated=ONLY_LAST).fit(votes, 2, gold)
        assert right(fitted, votes, truth) > (votes[:, -1] == truth).mean() - 0.005
