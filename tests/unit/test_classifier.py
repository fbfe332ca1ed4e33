import json

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from backend.domain.classifier import TRUSTED_TYPES, Classifier, Recipe, short_classes, train_classifier
from backend.domain.classifier.candidates import Candidate, View
from backend.domain.classifier.choice import Material, RecipeChoice, choose_recipe, folds
from backend.domain.codec import from_json, to_json
from backend.domain.features import FeatureExtractor
from tests.unit.planted import only_first, texts_about

TRUTH = np.random.default_rng(0).integers(0, 3, 600)
DATA = texts_about(TRUTH, seed=1, clear=1.0)
FEATURES = FeatureExtractor().fit(DATA).transform(DATA)
NOTHING = np.full((600, 3), np.nan)
UNLABELED = np.full(600, -1)


def weak_labels(labels: NDArray[np.int64], probability: float = 0.8) -> NDArray[np.float64]:
    """Posteriors that give each task's label this probability."""
    weak = np.full((labels.size, 3), (1 - probability) / 2)
    weak[np.arange(labels.size), labels] = probability
    return weak


def trained(gold: NDArray[np.int64], weak: NDArray[np.float64], seed: int = 0) -> Classifier:
    model = train_classifier(FEATURES, gold, weak, seed=seed)
    assert model is not None
    return model


def accuracy(model: Classifier, truth: NDArray[np.int64] = TRUTH) -> float:
    return float((model.predict_proba(FEATURES).argmax(axis=1) == truth)[300:].mean())


def test_learns_from_human_labels() -> None:
    assert accuracy(trained(only_first(TRUTH, 200), NOTHING)) > 0.9


def test_learns_from_the_label_model_alone() -> None:
    weak = weak_labels(TRUTH)
    weak[300:] = np.nan
    assert accuracy(trained(UNLABELED, weak)) > 0.9


def test_weak_labels_help_while_human_labels_are_few_and_fade_later() -> None:
    few = only_first(TRUTH, 12)
    assert accuracy(trained(few, weak_labels(TRUTH))) > accuracy(trained(few, NOTHING)) + 0.1
    contrary = weak_labels((TRUTH + 1) % 3)
    contrary[300:] = np.nan
    few_against, many_against = only_first(TRUTH, 12), only_first(TRUTH, 280)
    assert accuracy(trained(few_against, contrary)) < 0.2
    assert accuracy(trained(many_against, contrary)) > 0.9


def test_a_human_label_replaces_the_weak_one() -> None:
    contrary = weak_labels((TRUTH + 1) % 3)
    contrary[300:] = np.nan
    assert accuracy(trained(only_first(TRUTH, 300), contrary)) == accuracy(trained(only_first(TRUTH, 300), NOTHING))


@pytest.mark.parametrize("labels", [[], [1], [1, 1, 1]])
def test_one_class_or_none_is_no_classifier(labels: list[int]) -> None:
    gold = UNLABELED.copy()
    gold[: len(labels)] = labels
    assert train_classifier(FEATURES, gold, NOTHING, seed=0) is None


def test_classes_never_seen_are_rare_not_impossible() -> None:
    model = train_classifier(FEATURES, np.where(TRUTH == 1, -1, only_first(TRUTH, 300)), NOTHING, seed=0)
    assert model is not None
    proba = model.predict_proba(FEATURES)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert ((proba[:, 1] > 0) & (proba[:, 1] < 1e-5)).all()


def test_no_features_gives_the_shares_of_the_classes() -> None:
    gold = np.array([0] * 30 + [2] * 10)
    model = train_classifier(csr_matrix((40, 1)), gold, np.full((40, 3), np.nan), seed=0)
    assert model is not None
    np.testing.assert_allclose(model.predict_proba(csr_matrix((1, 1)))[0], [0.75, 0, 0.25], atol=0.01)
    assert model.predict_proba(csr_matrix((0, 1))).shape == (0, 3)


def test_same_seed_same_classifier_when_weak_labels_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.domain.classifier.MAX_WEAK", 100)
    one, same, other = (trained(UNLABELED, weak_labels(TRUTH), seed).predict_proba(FEATURES) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_survives_skops_with_only_the_listed_types() -> None:
    model = trained(only_first(TRUTH, 100), NOTHING)
    stored = skops.io.dumps({"sentiment": model})
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    again = skops.io.loads(stored, trusted=list(TRUSTED_TYPES))["sentiment"]
    np.testing.assert_array_equal(again.predict_proba(FEATURES), model.predict_proba(FEATURES))


def test_a_class_with_fewer_than_three_labels_is_not_predicted() -> None:
    gold = np.where(TRUTH == 1, -1, only_first(TRUTH, 300))
    rare = np.flatnonzero(TRUTH[:300] == 1)
    gold[rare[:2]] = 1
    proba = trained(gold, NOTHING).predict_proba(FEATURES)
    assert not (proba.argmax(axis=1) == 1).any()
    assert (proba[:, 1] > 0).all()
    assert short_classes(gold, 3) == [1]
    gold[rare[2]] = 1
    assert (trained(gold, NOTHING).predict_proba(FEATURES).argmax(axis=1) == 1).any()
    assert short_classes(gold, 3) == []


def test_a_rare_class_is_answered() -> None:
    gold = only_first(TRUTH, 300)
    gold[np.flatnonzero((gold == 1) & (np.cumsum(gold == 1) > 6))] = -1
    model = trained(gold, NOTHING)
    of_rare = FEATURES[300:][TRUTH[300:] == 1]
    assert (model.predict_proba(of_rare).argmax(axis=1) == 1).mean() > 0.8


def test_labels_that_count_less_teach_less() -> None:
    gold = only_first(TRUTH, 300)
    gold[:150] = (TRUTH[:150] + 1) % 3
    weights = np.where(np.arange(600) < 150, 0.1, 1.0)
    doubted = train_classifier(FEATURES, gold, NOTHING, seed=0, weights=weights)
    assert doubted is not None
    assert accuracy(doubted) > accuracy(trained(gold, NOTHING)) + 0.2


def test_smoothed_labels_give_less_certain_answers() -> None:
    gold = only_first(TRUTH, 300)
    smooth = train_classifier(FEATURES, gold, NOTHING, seed=0, recipe=Recipe(smoothing=0.2))
    assert smooth is not None
    certain = trained(gold, NOTHING).predict_proba(FEATURES).max(axis=1).mean()
    assert smooth.predict_proba(FEATURES).max(axis=1).mean() < certain


def chosen(
    features: csr_matrix,
    weak: NDArray[np.float64],
    *,
    is_table: bool = False,
    n_labels: int = 150,
    budget_s: float = 20.0,
) -> RecipeChoice:
    gold = only_first(TRUTH, n_labels)
    tasks = [bytes([row % 251]) for row in range(600)]
    parts = folds(tasks, gold)
    return choose_recipe(Material(features, is_table), gold, [weak] * 5, parts, 3, budget_s=budget_s)


HARD_DATA = texts_about(TRUTH, seed=1, clear=0.5)
HARD = FeatureExtractor().fit(HARD_DATA).transform(HARD_DATA)


def with_vectors(*, meaning: bool) -> csr_matrix:
    """Behind the features of texts, vectors that tell the classes apart, or that mean nothing."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(3, 20)) if meaning else np.zeros((3, 20))
    vectors = centres[TRUTH] + random.normal(size=(600, 20))
    return csr_matrix(hstack([HARD, csr_matrix(vectors.astype(np.float32) * 0.3)], format="csr"))


@pytest.mark.parametrize("candidate", [Candidate.LOGISTIC, Candidate.BAYES])
def test_vectors_that_mean_something_are_learned_from(candidate: Candidate) -> None:
    gold = only_first(TRUTH, 30)
    recipe = Recipe(candidate)
    model = train_classifier(with_vectors(meaning=True), gold, NOTHING, seed=0, recipe=recipe, n_vectors=20)
    without = train_classifier(HARD, gold, NOTHING, seed=0, recipe=recipe)
    assert model is not None
    assert without is not None
    right, right_without = (
        (one.predict_proba(seen).argmax(axis=1) == TRUTH)[300:].mean()
        for one, seen in ((model, with_vectors(meaning=True)), (without, HARD))
    )
    assert right > right_without + 0.1


def test_vectors_that_mean_nothing_are_left_out_where_labels_tell() -> None:
    gold = only_first(TRUTH, 200)
    parts = folds([bytes([row % 251]) for row in range(600)], gold)
    material = Material(with_vectors(meaning=False), n_vectors=20)
    choice = choose_recipe(material, gold, [NOTHING] * 5, parts, 3, budget_s=60.0)
    assert choice.recipe.view is View.WITHOUT_VECTORS
    assert choice.n_vectors == 20
    assert min(choice.losses, key=lambda name: choice.losses[name]).endswith("without vectors")


def test_a_view_of_some_columns_answers_on_all() -> None:
    material = Material(with_vectors(meaning=True), n_vectors=20)
    for view, width in ((View.WITHOUT_VECTORS, HARD.shape[1]), (View.VECTORS_ALONE, 20)):
        seen = material.seen(view)
        assert seen.shape[1] == width
        model = train_classifier(seen, only_first(TRUTH, 200), NOTHING, seed=0)
        assert model is not None
        among = model.among(material.columns(view), material.features.shape[1])
        assert np.allclose(among.scores(material.features), model.scores(seen), atol=1e-5)


def test_few_labels_and_votes_call_for_naive_bayes() -> None:
    assert chosen(FEATURES, weak_labels(TRUTH), n_labels=20).recipe.candidate is Candidate.BAYES
    assert chosen(FEATURES, NOTHING, n_labels=20).recipe.candidate is Candidate.LOGISTIC
    # It needs counts, and embeddings are none.
    assert chosen(-1 * FEATURES, weak_labels(TRUTH), n_labels=20).recipe.candidate is Candidate.LOGISTIC


def test_naive_bayes_bears_votes_that_are_wrong_in_the_same_way() -> None:
    # A source takes each third task of one class for another one.
    said = np.where((TRUTH == 0) & (np.arange(600) % 3 == 0), 1, TRUTH)
    weak = weak_labels(said)
    bayes = train_classifier(FEATURES, UNLABELED, weak, seed=0, recipe=Recipe(Candidate.BAYES))
    linear = train_classifier(FEATURES, UNLABELED, weak, seed=0, recipe=Recipe(Candidate.LOGISTIC))
    assert bayes is not None
    assert linear is not None
    assert accuracy(bayes) >= accuracy(linear)
    assert accuracy(bayes) > 0.9


def test_what_leads_with_few_labels_is_not_chosen_for_many() -> None:
    losses = chosen(FEATURES, NOTHING, n_labels=600).losses
    assert str(Candidate.BAYES) in losses
    some = chosen(FEATURES, NOTHING, n_labels=600, budget_s=0.1)
    assert 50 <= int(some.reason.split()[3]) < 300
    assert set(some.losses) == set(losses) - {str(Candidate.BAYES)}


def test_weak_labels_that_are_wrong_get_no_weight() -> None:
    gold = only_first(TRUTH, 150)
    contrary = weak_labels((TRUTH + 1) % 3, 0.95)
    contrary[gold >= 0] = np.nan
    assert chosen(FEATURES, contrary).recipe.trust == 0.0


def test_trees_are_chosen_for_a_table_that_lines_cannot_part() -> None:
    random = np.random.default_rng(0)
    place = random.uniform(-1, 1, (600, 2))
    # Three rings around the middle.
    place *= ((1 + TRUTH) / np.linalg.norm(place, axis=1))[:, None]
    features = csr_matrix(place.astype(np.float32))
    choice = chosen(features, NOTHING, is_table=True)
    assert choice.recipe.candidate is Candidate.BOOSTING
    model = train_classifier(features, only_first(TRUTH, 150), NOTHING, seed=0, recipe=choice.recipe)
    stored = skops.io.dumps({"sentiment": model})
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    again = skops.io.loads(stored, trusted=list(TRUSTED_TYPES))["sentiment"]
    assert (again.predict_proba(features).argmax(axis=1) == TRUTH)[150:].mean() > 0.9


def test_a_choice_is_kept_until_sizes_have_doubled() -> None:
    choice = chosen(FEATURES, NOTHING)
    assert from_json(RecipeChoice, json.loads(json.dumps(to_json(choice)))) == choice
    assert not choice.is_due(299, 600, 0)
    assert choice.is_due(300, 600, 0)
    assert choice.is_due(150, 1200, 0)
    assert choice.is_due(150, 600, 128), "embeddings came"


def test_no_time_to_compare_is_no_comparison() -> None:
    gold = only_first(TRUTH, 150)
    parts = folds([bytes([row % 251]) for row in range(600)], gold)
    choice = choose_recipe(Material(FEATURES), gold, [NOTHING] * 5, parts, 3, budget_s=0.0)
    assert choice.recipe == Recipe()
    assert "more than 0 s" in choice.reason
