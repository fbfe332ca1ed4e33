"""What is wrong with tasks besides their labels."""

import warnings

import numpy as np
import pytest
from cleanlab.outlier import OutOfDistribution
from sklearn.neighbors import NearestNeighbors

from backend.domain.features import FeatureExtractor
from backend.domain.label_errors.data_issues import DataIssue, find_data_issues, nearness, rare_classes
from backend.domain.label_errors.neighbours import MAX_REFERENCE, nearest
from backend.domain.reports.check import IssueKind

SUBJECTS = ("the service", "our room", "this film", "the soup", "that actor", "her book", "the train", "a friend")
VERBS = ("was", "seemed", "looked", "became", "stayed")
ENDS = ("good in every way", "bad from start to end", "fine for the price", "dull and far too long", "new to all of us")
TEXTS = [f"{subject} {verb} {end}" for subject in SUBJECTS for verb in VERBS for end in ENDS]


def issues(texts: list[str], labels: list[int] | None = None) -> list[DataIssue]:
    data: list[dict[str, object]] = [{"text": text} for text in texts]
    given = np.zeros(len(texts), dtype=np.int64) if labels is None else np.array(labels)
    return find_data_issues(texts, FeatureExtractor().fit(data).transform(data), given)


def rows(found: list[DataIssue], kind: IssueKind) -> set[int]:
    return {item.row for item in found if item.kind is kind}


def test_near_duplicates_with_different_labels_come_first() -> None:
    texts = [*TEXTS, TEXTS[3].upper() + "!", TEXTS[9] + ".", " "]
    labels = [0] * len(TEXTS) + [1, 0, 0]
    found = issues(texts, labels)
    n = len(TEXTS)
    assert {found[0].row, found[1].row} == {3, n}
    assert found[0].kind is IssueKind.CONFLICTING_DUPLICATE
    assert {3, n} <= {found[0].row, *found[0].others}
    assert {9, n + 1} <= rows(found, IssueKind.DUPLICATE)


def test_empty_foreign_and_odd_texts_are_told_apart() -> None:
    odd = [
        "   ",
        "Сервис был очень хорош во всех отношениях",
        "Unser Zimmer wirkte leider ziemlich laut und winzig",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "?!?! 123 456 -- 789 $$$ 12 % 99 ##",
    ]
    found = issues(TEXTS + odd)
    n = len(TEXTS)
    assert rows(found, IssueKind.EMPTY) == {n}
    assert rows(found, IssueKind.FOREIGN) == {n + 1, n + 2}
    assert rows(found, IssueKind.ODD) == {n + 3, n + 4}


def test_ordinary_texts_have_no_issue_but_likeness() -> None:
    kinds = {item.kind for item in issues(TEXTS)}
    assert not kinds & {IssueKind.EMPTY, IssueKind.FOREIGN, IssueKind.ODD, IssueKind.CONFLICTING_DUPLICATE}


def test_a_task_unlike_all_others_is_an_outlier() -> None:
    random = np.random.default_rng(0)
    data: list[dict[str, object]] = [{"x": float(x), "y": 10.0 + float(y)} for x, y in random.normal(0, 0.3, (200, 2))]
    data.append({"x": -30.0, "y": -30.0})
    features = FeatureExtractor().fit(data).transform(data)
    found = find_data_issues([f"row {i}" for i in range(201)], features, np.zeros(201, dtype=np.int64))
    assert next(item.row for item in found if item.kind is IssueKind.OUTLIER) == 200


def test_nearness_is_cleanlab_s_score_also_of_rows_beside_a_sample() -> None:
    points = np.random.default_rng(0).normal(size=(400, 8))
    neighbours = NearestNeighbors(n_neighbors=10).fit(points)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = OutOfDistribution({"k": 10, "knn": neighbours}).fit_score(features=points, verbose=False)
    assert nearness(points, 0) == pytest.approx(theirs, abs=1e-9)
    # Each of these has a twin in the sample or beside it.
    many = np.tile(np.random.default_rng(1).normal(size=(MAX_REFERENCE, 2)), (2, 1))
    many[7] = 50.0
    scores = nearness(many, 0)
    assert int(scores.argmin()) == 7
    assert scores[7] < 0.01


def test_a_text_of_words_that_no_other_text_has_is_an_outlier() -> None:
    found = issues([*TEXTS, "quantum lattice zebra"])
    assert rows(found, IssueKind.OUTLIER) == {len(TEXTS)}


def test_few_tasks_are_searched_without_a_crash() -> None:
    for n in (0, 1, 2, 5):
        issues(TEXTS[:n])
    assert rows(issues(["same", "same"], [0, 1]), IssueKind.CONFLICTING_DUPLICATE) == {0, 1}


def test_a_class_with_hardly_any_labels_is_rare() -> None:
    labels = np.array([0] * 500 + [1] * 480 + [2] * 5 + [-1] * 100)
    assert list(rare_classes(labels, 3)) == [2]
    assert list(rare_classes(labels, 4)) == [3, 2]
    assert rare_classes(np.full(5, -1), 3) == {}


def test_a_task_that_is_no_text_is_not_called_empty() -> None:
    found = find_data_issues([*TEXTS, None], None, np.zeros(len(TEXTS) + 1, dtype=np.int64))
    assert len(TEXTS) not in {item.row for item in found}


def test_texts_about_the_same_matter_are_no_duplicates_and_a_changed_word_is_one() -> None:
    random = np.random.default_rng(0)
    words = [f"{start}{end}" for start in ("ka", "lo", "mi", "su", "te", "vo") for end in ("bra", "dil", "fon", "gus")]
    stories = [" ".join(random.choice(words, 25)) for _ in range(100)]
    copy = " ".join([*stories[7].split()[:-1], "zebra"])
    assert rows(issues([*stories, copy]), IssueKind.DUPLICATE) == {7, len(stories)}


def test_answers_to_any_question_may_be_at_odds() -> None:
    labels = np.array([[0, 1], [0, 2], [-1, 1], [0, 1]])
    found = find_data_issues(["same", "same", "other", "another"], None, labels)
    assert rows(found, IssueKind.CONFLICTING_DUPLICATE) == {0, 1}
    unknown = find_data_issues(["same", "same"], None, np.array([[0, -1], [0, 2]]))
    assert rows(unknown, IssueKind.CONFLICTING_DUPLICATE) == set()


def test_neighbours_are_the_nearest_whatever_their_number() -> None:
    points = np.random.default_rng(1).normal(0, 1, (3_000, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = nearest(points, np.arange(3_000))
    alike = points[:50] @ points.T
    alike[np.arange(50), np.arange(50)] = -1
    np.testing.assert_array_equal(found.rows[:50], np.argsort(-alike, axis=1)[:, : found.rows.shape[1]])
