"""Several annotators: what they agree on, how good each is, and where another label helps."""

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.domain.label_errors.consensus import CROWDLAB, consensus_of
from backend.domain.label_errors.crowd import Labels, aggregate, lost


def planted(
    n: int, accuracies: list[float], per_task: int, k: int = 3, seed: int = 0
) -> tuple[Labels, NDArray[np.int64]]:
    """Each task labeled by some of the annotators, who are right as often as planted."""
    random = np.random.default_rng(seed)
    truth, m = random.integers(0, k, n), len(accuracies)
    tasks = np.repeat(np.arange(n), per_task)
    annotators = np.concatenate([random.choice(m, per_task, replace=False) for _ in range(n)])
    right = random.random(tasks.size) < np.array(accuracies)[annotators]
    classes = np.where(right, truth[tasks], (truth[tasks] + random.integers(1, k, tasks.size)) % k)
    return Labels(tasks, annotators, classes, n, m, k), truth


def classifier(truth: NDArray[np.int64], k: int, accuracy: float, seed: int = 9) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    proba = np.full((truth.size, k), 0.3 / (k - 1))
    said = np.where(random.random(truth.size) < accuracy, truth, (truth + 1) % k)
    proba[np.arange(truth.size), said] = 0.7
    return proba


def test_one_good_annotator_outweighs_two_bad_ones() -> None:
    labels, truth = planted(300, [0.95, 0.45, 0.45, 0.45, 0.95], 3)
    found = consensus_of(labels)
    majority = labels.shares().argmax(axis=1)
    assert (found.classes == truth).mean() > (majority == truth).mean() + 0.05
    assert set(np.argsort(found.annotator_quality)[-2:].tolist()) == {0, 4}
    assert found.method == "one accuracy each"


def test_annotators_who_are_wrong_in_ways_of_their_own_get_confusion_matrices() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 200)
    m = 30
    tasks, annotators = np.repeat(np.arange(200), m), np.tile(np.arange(m), 200)
    # Half of them never see class 1 for sure, the others never class 0.
    sees = np.where(annotators % 2 == 0, [[0.95], [0.35]], [[0.35], [0.95]])[truth[tasks], np.arange(tasks.size)]
    classes = np.where(random.random(tasks.size) < sees, truth[tasks], 1 - truth[tasks])
    found = aggregate(Labels(tasks, annotators, classes, 200, m, 2))
    assert found.method == "confusion matrices"
    assert (found.proba.argmax(axis=1) == truth).mean() > 0.95


def yes_or_no(n: int, says: NDArray[np.float64], seed: int) -> tuple[Labels, NDArray[np.int64]]:
    """Tasks with five labels each; `says`: P(yes | truth) of each annotator, (m, 2)."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, n)
    tasks = np.repeat(np.arange(n), 5)
    annotators = np.concatenate([random.choice(len(says), 5, replace=False) for _ in range(n)])
    classes = (random.random(tasks.size) < says[annotators, truth[tasks]]).astype(np.int64)
    return Labels(tasks, annotators, classes, n, len(says), 2), truth


def test_people_who_say_yes_to_everything_do_not_make_everything_a_yes() -> None:
    says = np.array([[0.98, 0.98]] * 8 + [[0.3, 0.7]] * 16)
    rights, majorities = [], []
    for seed in range(3):
        labels, truth = yes_or_no(300, says, seed)
        found = aggregate(labels)
        assert found.method == "confusion matrices"
        assert 0.25 < (found.proba.argmax(axis=1) == 0).mean() < 0.75
        rights.append((found.proba.argmax(axis=1) == truth).mean())
        majorities.append((labels.shares().argmax(axis=1) == truth).mean())
    assert np.mean(rights) > np.mean(majorities) + 0.02


def test_mistakes_that_all_make_alike_are_no_reason_for_a_matrix_of_each() -> None:
    labels, truth = yes_or_no(400, np.array([[0.08, 0.68]] * 20), seed=0)
    found = aggregate(labels)
    assert found.method == "one accuracy each"
    assert (found.proba.argmax(axis=1) == truth).mean() > 0.88


def test_a_class_is_lost_if_people_who_tell_classes_apart_name_it_and_no_task_gets_it() -> None:
    # Annotators 0 and 1 name both classes, 2 says 1 to everything and 3 says 2 to everything.
    annotators = np.repeat(np.arange(4), 10)
    classes = np.array([*[0, 1] * 10, *[1] * 10, *[2] * 10])
    labels = Labels(np.tile(np.arange(10), 4), annotators, classes, 10, 4, 3)
    assert lost(labels, np.tile([0.0, 1.0, 0.0], (10, 1))).tolist() == [True, False, False]
    assert lost(labels, np.eye(3)[[0, 1] * 5]).tolist() == [False, False, False]
    # Nobody tells classes apart: nobody says what is lost.
    assert not lost(Labels(np.array([0, 1]), np.array([0, 1]), np.array([0, 1]), 2, 2, 2), np.eye(2)[[0, 0]]).any()


def test_a_class_that_many_people_name_is_not_lost_to_either_model() -> None:
    says = np.array([[0.98, 0.98]] * 12 + [[0.4, 0.6]] * 12)
    labels, _ = yes_or_no(300, says, seed=2)
    found = aggregate(labels)
    assert found.method == "majority vote"
    assert "would lose a class" in found.reason
    assert (found.proba.argmax(axis=1) == 0).mean() > 0.05


def test_with_a_classifier_crowdlab_decides_and_is_better_than_the_classifier() -> None:
    labels, truth = planted(200, [0.6, 0.7, 0.8, 0.85, 0.95], 3)
    proba = classifier(truth, 3, 0.75)
    found = consensus_of(labels, proba)
    assert found.method == CROWDLAB
    right = (found.classes == truth).mean()
    assert right > (proba.argmax(axis=1) == truth).mean()
    assert int(np.argmax(found.annotator_quality)) == 4
    wrong = found.classes != truth
    assert found.quality[wrong].mean() < found.quality[~wrong].mean()


@pytest.mark.parametrize("has_classifier", [True, False])
def test_a_task_whose_annotators_disagree_deserves_another_label_before_one_where_they_agree(
    has_classifier: bool,
) -> None:
    labels, truth = planted(60, [0.85] * 4, 3, k=2)
    counts = labels.counts
    proba = classifier(truth, 2, 0.9) if has_classifier else None
    scores = consensus_of(labels, proba).relabel_scores
    agree = counts.max(axis=1) == 3
    assert np.isfinite(scores).all()
    assert scores[~agree].mean() < scores[agree].mean()


def test_tasks_and_annotators_without_labels_are_left_open() -> None:
    labels = Labels(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 0]), 3, 3, 2)
    for proba in (None, np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]])):
        found = consensus_of(labels, proba)
        assert found.classes[2] == -1
        assert np.isnan(found.quality[2])
        assert np.isnan(found.annotator_quality[2])
        assert np.isfinite(found.annotator_quality[:2]).all()
        assert np.isfinite(found.relabel_scores).all()


@pytest.mark.parametrize("tasks", [[], [0], [0, 1], [0, 0]])
def test_one_annotator_or_nothing_at_all_is_no_crowd(tasks: list[int]) -> None:
    places = np.array(tasks, dtype=np.int64)
    labels = Labels(places, np.zeros_like(places), np.zeros_like(places), 2, 1, 2)
    found = consensus_of(labels, np.full((2, 2), 0.5))
    assert found.method == "majority vote"
    assert set(np.flatnonzero(found.classes == 0).tolist()) == set(tasks)


def test_probabilities_that_are_partly_nan_and_labels_out_of_range_are_refused() -> None:
    labels, truth = planted(20, [0.9, 0.9], 2)
    proba = classifier(truth, 3, 0.8)
    proba[0, 0] = np.nan
    with pytest.raises(ValueError, match="1 tasks are partly NaN"):
        consensus_of(labels, proba)
    with pytest.raises(ValueError, match="classes of labels must be 0 to 2"):
        consensus_of(Labels(labels.tasks, labels.annotators, labels.classes + 1, 20, 2, 3))
