"""Strategies: which tasks each one chooses, held to modAL's routines where these can be run."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from modAL.density import information_density
from modAL.disagreement import KL_max_disagreement, consensus_entropy
from modAL.disagreement import vote_entropy as modal_vote_entropy
from modAL.models import ActiveLearner
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from backend.domain.features import FeatureExtractor
from backend.domain.frame import CLASSIFIER, LABEL_MODEL
from backend.domain.priorities.committee import disagreement, vote_entropy
from backend.domain.priorities.density import density, expected_error, sampled_density
from backend.domain.priorities.geometry import coordinates, places
from backend.domain.priorities.pool_state import PoolState
from backend.domain.priorities.queue import TaskQueue, choose_next
from backend.domain.priorities.strategy import RARE_CLASS, Strategy
from backend.domain.priorities.variance import PRIOR, information, variance_reduction
from backend.domain.questions import decisions
from backend.domain.votes import VoteMatrix
from tests.unit.planted import GENRE, SENTIMENT, frame_with, texts_about

CLASSES = 3


class Committee:
    """A committee to modAL, whose members know their answers."""

    classes_ = np.arange(CLASSES)

    def __init__(self, proba: NDArray[np.float64]) -> None:
        self.proba = proba

    def __len__(self) -> int:
        return int(self.proba.shape[1])

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def vote(self, _: object) -> NDArray[np.int64]:
        return np.asarray(self.proba.argmax(axis=2))

    def vote_proba(self, _: object) -> NDArray[np.float64]:
        return self.proba

    def predict_proba(self, _: object) -> NDArray[np.float64]:
        return np.asarray(self.proba.mean(axis=1))


def members(n: int, m: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet(np.ones(CLASSES), (n, m))


def test_committee_measures_are_modals_where_nobody_abstains() -> None:
    proba = members(200, 4)
    committee, rows = Committee(proba), np.zeros((200, 1))
    single = [proba[:, member] for member in range(4)]
    votes = proba[:, :3].argmax(axis=2).astype(np.int16)
    np.testing.assert_allclose(
        vote_entropy(votes, single[3:], CLASSES), modal_vote_entropy(committee, rows) / np.log(3), atol=1e-12
    )
    np.testing.assert_allclose(
        disagreement(single, "consensus_entropy"), consensus_entropy(committee, rows) / np.log(3), atol=1e-12
    )
    np.testing.assert_allclose(
        disagreement(single, "disagreement"), KL_max_disagreement(committee, rows) / np.log(4), atol=1e-12
    )


def test_those_who_abstain_have_no_say() -> None:
    votes = np.array([[0, 1, -1], [0, 0, -1], [2, -1, -1], [-1, -1, -1]], dtype=np.int16)
    np.testing.assert_allclose(vote_entropy(votes, [], CLASSES), [np.log(2) / np.log(3), 0, 0, 0], atol=1e-12)
    nothing = np.full(3, np.nan)
    one = np.array([[1.0, 0, 0], [1.0, 0, 0], nothing, nothing])
    other = np.array([[0, 1.0, 0], nothing, [0, 1.0, 0], nothing])
    np.testing.assert_allclose(disagreement([one, other], "disagreement"), [1, 0, 0, 0], atol=1e-9)


def test_variance_reduction_picks_what_lowers_the_summed_variance_of_the_pool_most() -> None:
    random = np.random.default_rng(5)
    space = (random.normal(size=(40, 6)) / 3).astype(np.float32)
    told, doubt = random.uniform(0.1, 0.25, 40), random.uniform(0.2, 1, 40)
    labeled, rows = np.arange(4), np.arange(4, 40)

    def summed(taught: Sequence[int]) -> float:
        precision = PRIOR * np.eye(6) + sum((told[row] * np.outer(space[row], space[row]) for row in taught), 0.0)
        variance = np.einsum("nd,de,ne->n", space[rows], np.linalg.inv(precision), space[rows])
        return float(told[rows] @ variance)

    picked: list[int] = []
    for _ in range(5):
        taught: list[int] = [*labeled.tolist(), *picked]
        gains = [-1.0 if row in taught else (summed(taught) - summed([*taught, row])) * doubt[row] for row in range(40)]
        picked.append(int(np.argmax(gains)))
    assert variance_reduction(space, told, doubt, rows, labeled, n=5, seed=0).tolist() == picked


def test_variance_reduction_of_nothing_and_of_all() -> None:
    space = np.eye(4, dtype=np.float32)
    told, nothing = information(np.full((4, 3), np.nan)), np.zeros(0, dtype=np.int64)
    np.testing.assert_allclose(told, 2 / 3)
    assert variance_reduction(space, told, np.ones(4), nothing, nothing, n=3, seed=0).size == 0
    everything = variance_reduction(space, told, np.ones(4), np.arange(4), nothing, n=9, seed=0)
    assert sorted(everything.tolist()) == [0, 1, 2, 3]


def test_variance_reduction_meets_each_kind_of_task_before_a_second_of_one() -> None:
    topic = np.repeat([0, 1, 2], [80, 25, 15])
    known = pool_of(texts_about(topic, seed=3), np.full((120, 3), np.nan))
    queue = choose_next(known, np.zeros(120), strategy=Strategy.VARIANCE, n=12, seed=0)
    assert set(topic[queue.order[:12]]) == {0, 1, 2}
    assert set(queue.reasons) == {"unsure, and its label makes many others surer"}


def test_density_is_modals_and_a_part_of_a_large_pool_tells_nearly_the_same() -> None:
    where = np.random.default_rng(1).normal(size=(800, 5)).astype(np.float32)
    exact = information_density(where)
    np.testing.assert_allclose(density(where[:300], seed=0), information_density(where[:300]), atol=1e-6)
    np.testing.assert_allclose(sampled_density(where, 800, seed=0), exact, atol=1e-5)
    assert np.corrcoef(sampled_density(where, 200, seed=0), exact)[0, 1] > 0.95
    assert density(where[:0], seed=0).shape == (0,)


def test_expected_error_is_modals(monkeypatch: pytest.MonkeyPatch) -> None:
    # modAL 0.4.2 names a type that NumPy no longer has.
    monkeypatch.setattr(np, "float", float, raising=False)
    monkeypatch.delitem(sys.modules, "modAL.expected_error", raising=False)
    from modAL.expected_error import expected_error_reduction

    random = np.random.default_rng(3)
    truth = random.integers(0, CLASSES, 24)
    where = (random.normal(size=(24, 4)) + 2 * np.eye(CLASSES, 4)[truth]).astype(np.float32)
    labeled, pool = np.arange(9), np.arange(9, 24)
    gold = np.where(np.arange(24) < 9, truth, -1)
    ours = expected_error(where, labeled, gold, pool, pool)
    learner = ActiveLearner(LogisticRegression(C=10.0, max_iter=200), X_training=where[:9], y_training=truth[:9])
    order, errors = expected_error_reduction(learner, where[9:], loss="binary", n_instances=15)
    by_modal = np.empty(15)
    by_modal[order] = errors
    np.testing.assert_allclose(ours * 14, by_modal, rtol=0.01)
    assert ours.argmin() == by_modal.argmin()


def pool_of(
    data: Sequence[Mapping[str, object]],
    posterior: NDArray[np.float64],
    gold: NDArray[np.int64] | None = None,
    *,
    votes: NDArray[np.int16] | None = None,
    is_open: NDArray[np.bool_] | None = None,
) -> PoolState:
    """What is known of tasks with the question SENTIMENT, whose posterior is the classifier's."""
    n, decision = len(data), decisions(SENTIMENT)[0]
    votes = np.empty((n, 0), dtype=np.int16) if votes is None else votes
    gold = np.full(n, -1) if gold is None else gold
    names = tuple(f"rule{column}" for column in range(votes.shape[1]))
    frame = frame_with(
        [SENTIMENT],
        votes={"sentiment": VoteMatrix(decision, names, votes)},
        gold={"sentiment": gold},
        posteriors={"sentiment": posterior},
        members={
            LABEL_MODEL: {"sentiment": np.full_like(posterior, np.nan)},
            CLASSIFIER: {"sentiment": posterior},
        },
    )
    is_open = gold < 0 if is_open is None else is_open
    return PoolState(frame, is_open, FeatureExtractor().fit(data).transform(data))


def chosen(known: PoolState, strategy: str = "auto", n: int = 10, **options: Any) -> TaskQueue:
    confidence = np.nan_to_num(known.frame.posteriors["sentiment"].max(axis=1))
    return choose_next(known, confidence, strategy=strategy, n=n, **({"seed": 0} | options))


TRUTH = np.arange(120) % CLASSES
DATA = texts_about(TRUTH, seed=0)
NOTHING = np.full((120, CLASSES), np.nan)


def sure(truth: NDArray[np.int64] = TRUTH, seed: int = 0) -> NDArray[np.float64]:
    """Posteriors of all degrees of confidence, the right class always the likeliest."""
    random = np.random.default_rng(seed)
    top = random.uniform(0.5, 0.99, len(truth))
    result = np.repeat(((1 - top) / 2)[:, None], CLASSES, axis=1)
    result[np.arange(len(truth)), truth] = top
    return result


def labeled(n: int, truth: NDArray[np.int64] = TRUTH) -> NDArray[np.int64]:
    return np.where(np.arange(len(truth)) < n, truth, -1)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("posterior", [NOTHING, sure()], ids=["nothing known", "trained"])
def test_every_strategy_orders_every_open_task_and_says_why(strategy: str, posterior: NDArray[np.float64]) -> None:
    known = pool_of(DATA, posterior, labeled(30) if np.isfinite(posterior).all() else None)
    queue = chosen(known, strategy)
    assert sorted(queue.order.tolist()) == known.open_rows.tolist()
    assert len(queue.chosen_by) == len(queue.reasons) == 10
    assert all(queue.reasons)
    if strategy != "auto":
        assert set(queue.chosen_by) == {strategy}
    assert chosen(known, strategy).order.tolist() == queue.order.tolist(), "the same again"


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("n", [0, 1, 7])
def test_every_strategy_copes_with_few_tasks(strategy: str, n: int) -> None:
    queue = chosen(pool_of(DATA[:n], sure()[:n]), strategy)
    assert sorted(queue.order.tolist()) == list(range(n))
    assert len(queue.reasons) == n


@pytest.mark.parametrize("strategy", list(Strategy))
def test_label_studio_s_ascending_scores_are_our_order(strategy: str) -> None:
    for posterior in (NOTHING, sure(), np.full((120, CLASSES), 1 / 3)):
        known = pool_of(DATA, posterior, labeled(30) if np.isfinite(posterior).all() else None)
        queue = chosen(known, strategy, n=50)
        scores = np.round(queue.scores, 6)
        assert (np.diff(scores[:51]) > 0).all(), "the served tasks are in order, and before all others"
        assert (np.diff(scores) >= 0).all()
        assert scores.min() >= 0
        confidence = np.nan_to_num(posterior.max(axis=1))[queue.order]
        assert (scores <= np.maximum(confidence, 0.001) + 1e-6).all(), "never surer than we are"
        np.testing.assert_allclose(scores[50:], np.maximum(confidence[50:], 0.001), atol=1e-6)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_near_duplicates_are_not_served_together(strategy: str) -> None:
    random = np.random.default_rng(5)
    words = [f"word{index}" for index in range(400)]
    texts = [" ".join(random.choice(words, 15)) for _ in range(80)]
    # Each text comes four times: as it is, and with a word at its end.
    data = [{"text": text + end} for text in texts for end in ("", "", " indeed", " though")]
    queue = chosen(pool_of(data, sure(np.arange(320) % 3), labeled(30, np.arange(320) % 3)), strategy, n=50)
    originals = queue.order[:50] // 4
    assert len(set(originals.tolist())) == 50


def test_where_all_tasks_are_alike_people_still_get_them() -> None:
    data = [{"text": "the very same text again"} for _ in range(40)]
    queue = chosen(pool_of(data, np.full((40, 3), 1 / 3)), "margin", n=20)
    assert len(queue.reasons) == 20
    assert len(set(queue.order.tolist())) == 40


def test_what_a_committee_is_asked_for_is_what_it_disagrees_about() -> None:
    votes = np.tile(np.array([[0, 0, -1]], dtype=np.int16), (120, 1))
    votes[40:45, 1] = 1
    posterior = np.tile([0.9, 0.05, 0.05], (120, 1))
    queue = chosen(pool_of(DATA, posterior, votes=votes), "vote_entropy", n=5)
    assert set(queue.order[:5].tolist()) == set(range(40, 45))
    assert set(queue.reasons) == {"the sources disagree"}


def test_cold_start_meets_every_topic_before_any_label() -> None:
    topics = ["rain wind cloud storm", "goal match team score", "oven flour sugar bake", "bank loan rate debt"]
    random = np.random.default_rng(0)
    # The first topic fills nine tenths of the project.
    topic = np.where(np.arange(300) < 270, 0, 1 + np.arange(300) % 3)
    data = [{"text": f"{topics[kind]} {random.integers(60)} {random.integers(60)}"} for kind in topic]
    seeds = range(5)
    met = [set(topic[chosen(pool_of(data, np.full((300, 3), np.nan)), n=12, seed=seed).order[:12]]) for seed in seeds]
    by_chance = [set(topic[np.random.default_rng(seed).permutation(300)[:12]]) for seed in seeds]

    assert sum(map(len, met)) > sum(map(len, by_chance))


def test_cold_start_balances_classes_by_what_rules_expect() -> None:
    rare = np.arange(300) >= 285
    data = texts_about(rare.astype(np.int64), seed=2)
    posterior = np.where(rare[:, None], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1])
    found = [np.count_nonzero(rare[chosen(pool_of(data, posterior), n=20, seed=seed).order[:20]]) for seed in range(3)]
    assert sum(found) >= 9, "by chance it would be three"


def test_auto_stays_with_representative_tasks_until_each_class_has_five_labels() -> None:
    few = np.where((TRUTH == 2) & (np.arange(120) > 12), -1, TRUTH)
    few = np.where(np.arange(120) < 24, few, -1)
    assert np.count_nonzero(few == 2) == 4
    strategies = set(chosen(pool_of(DATA, sure(), few), n=30).chosen_by)
    assert "representative" in strategies
    assert "margin" not in strategies
    enough = np.where(np.arange(120) < 30, TRUTH, -1)
    then = chosen(pool_of(DATA, sure(), enough), n=30).chosen_by
    assert then.count("variance") > 15
    assert "margin" in then
    assert "representative" not in then


def test_auto_does_not_wait_for_ever_for_a_class_nobody_has_met() -> None:
    truth = np.arange(120) % 2
    known = pool_of(DATA, sure(truth), labeled(31, truth))
    assert "margin" in chosen(known, n=30).chosen_by


def test_a_class_with_few_labels_is_asked_for_by_name() -> None:
    truth = np.where(np.arange(120) % 20 == 19, 2, np.arange(120) % 2)
    posterior = sure(truth)
    known = pool_of(texts_about(truth, seed=0), posterior, labeled(40, truth))
    queue = chosen(known, n=20)
    asked = [row for row, why in zip(queue.order, queue.reasons, strict=False) if why == "expected rare class: Neutral"]
    assert len(asked) >= 3
    assert queue.reasons[0] == "expected rare class: Neutral"
    assert {row for row in asked[:3]} & set(np.flatnonzero(truth == 2).tolist())
    assert queue.chosen_by.count(RARE_CLASS) == len(asked)


def test_an_easy_class_that_doubts_seldom_choose_is_not_rare() -> None:
    truth = np.arange(120) % 3
    gold = np.where((np.arange(120) < 60) & ((truth < 2) | (np.arange(120) < 18)), truth, -1)
    assert np.bincount(gold[gold >= 0]).tolist() == [20, 20, 6]
    assert RARE_CLASS not in chosen(pool_of(texts_about(truth, seed=0), sure(truth), gold), n=20).chosen_by


def test_some_tasks_are_always_random() -> None:
    for gold in (labeled(0), labeled(60)):
        posterior = sure() if (gold >= 0).any() else NOTHING
        assert chosen(pool_of(DATA, posterior, gold), n=40).chosen_by.count("random") >= 2


def test_questions_with_sets_of_labels_take_part() -> None:
    n = 60
    random = np.random.default_rng(0)
    keys = [decision.key for decision in decisions(GENRE)]
    posteriors = {key: np.column_stack([1 - p, p]) for key in keys for p in [random.random(n)]}
    gold = {key: np.where(np.arange(n) < 12, (np.arange(n) + shift) % 2, -1) for shift, key in enumerate(keys)}
    frame = frame_with(
        [GENRE],
        votes={item.key: VoteMatrix(item, (), np.empty((n, 0), dtype=np.int16)) for item in decisions(GENRE)},
        gold=gold,
        posteriors=posteriors,
        members={LABEL_MODEL: posteriors, CLASSIFIER: posteriors},
    )
    known = PoolState(frame, gold[keys[0]] < 0, csr_matrix(random.random((n, 8))))
    for strategy in Strategy:
        queue = choose_next(known, np.full(n, 0.5), strategy=strategy, n=15, seed=0)
        assert sorted(queue.order.tolist()) == list(range(12, n))


def test_places_of_alike_tasks_are_near() -> None:
    where = places(coordinates(FeatureExtractor().fit(DATA).transform(DATA), seed=0))
    lengths = np.linalg.norm(where, axis=1)
    assert ((np.abs(lengths - 1) < 1e-5) | (lengths == 0)).all()
    similar = where @ where.T
    same = TRUTH[:, None] == TRUTH[None]
    assert similar[same].mean() > similar[~same].mean()
