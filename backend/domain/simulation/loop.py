"""The loop: label a batch, train, measure, choose the next batch; with the project's own parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.features import FeatureExtractor
from backend.domain.metrics import is_right
from backend.domain.model import Features, ProjectModel, Trained, train
from backend.domain.next_tasks import evidence_of
from backend.domain.priorities import Evidence, choose_next
from backend.domain.priorities.geometry import places
from backend.domain.questions import Question, decisions
from backend.domain.simulation.llms import Desk, contradiction
from backend.domain.simulation.records import Gold, LabeledTasks, Plan, Point
from backend.domain.suggestions import Posteriors, confidences

CHOICE_S = 2.0
"""Seconds that comparing classifiers may take at each training: a simulation trains dozens of times."""


@dataclass(frozen=True)
class Stage:
    """A pool to label from and held-out tasks to measure on, with what is the same in all runs on them.

    The features are learned from the pool alone.
    """

    pool: LabeledTasks
    test: LabeledTasks

    @cached_property
    def features(self) -> Features:
        """Of the pool."""
        extractor = FeatureExtractor().fit(self.pool.data)
        return Features(extractor, extractor.transform(self.pool.data))

    @cached_property
    def test_features(self) -> csr_matrix:
        """Of the held-out tasks."""
        return self.features.extractor.transform(self.test.data)

    @cached_property
    def where(self) -> NDArray[np.float32]:
        """Where the pool's tasks lie, see `places`."""
        return places(self.features.matrix, seed=0)


@dataclass(frozen=True)
class _Located(Evidence):
    """Evidence about tasks of which it is known where they lie: computing that anew for each batch takes seconds."""

    located: NDArray[np.float32]

    @cached_property
    def where(self) -> NDArray[np.float32]:
        """Where tasks lie."""
        return self.located


def split(tasks: LabeledTasks, test_share: float, seed: int) -> Stage:
    """Hold a random share of the tasks out."""
    order = np.random.default_rng(seed).permutation(len(tasks.data))
    n_test = round(test_share * len(order))
    return Stage(tasks.rows(np.sort(order[n_test:])), tasks.rows(np.sort(order[:n_test])))


def replay(stage: Stage, plan: Plan, *, seed: int) -> Iterator[Point]:
    """Label a project as planned: a point of the learning curve after each training, the first without any label.

    Ends when the next batch would go beyond the labels or the money of the plan, or when all tasks are labeled. The
    same seed gives the same points.
    """
    pool = stage.pool
    random = np.random.default_rng(seed)
    desk = Desk(pool, stage.test, plan.llms, plan.gate_kappa)
    is_labeled = np.zeros(len(pool.data), dtype=np.bool_)
    previous: ProjectModel | None = None
    while True:
        n_labels = int(is_labeled.sum())
        gold = {key: np.where(is_labeled, said, -1) for key, said in pool.given.items()}
        votes, test_votes = desk.votes()
        trained = _train(stage, votes, gold, previous, int(random.integers(2**31)))
        previous = trained.model
        known = trained.model.posteriors_of(stage.test_features, test_votes)
        usd = n_labels * plan.usd_per_label + desk.usd
        yield Point(n_labels, desk.n_answers, usd, accuracy(pool.questions, known, stage.test.truth))
        n = _next_batch(plan, n_labels, len(pool.data), usd)
        if not n:
            return
        posteriors = trained.model.posteriors_of(stage.features.matrix, votes)
        chosen = _choose(stage, plan, trained.model, posteriors, votes, gold, ~is_labeled, n, random)
        is_labeled[chosen] = True
        gold = {key: np.where(is_labeled, said, -1) for key, said in pool.given.items()}
        if desk.is_due(gold):
            doubt = (1 - confidence(pool.questions, posteriors), 1 - confidence(pool.questions, known))
            desk.buy(gold, doubt, (contradiction(votes, posteriors), contradiction(test_votes, known)))


def full_accuracy(stage: Stage, plan: Plan, *, seed: int) -> float:
    """Accuracy (0..1) on the held-out tasks with all labels of the pool, and all answers of the plan's LLMs."""
    desk = Desk(stage.pool, stage.test, plan.llms, plan.gate_kappa)
    desk.buy_all()
    votes, test_votes = desk.votes()
    trained = _train(stage, votes, stage.pool.given, None, seed)
    known = trained.model.posteriors_of(stage.test_features, test_votes)
    return accuracy(stage.pool.questions, known, stage.test.truth)


def accuracy(questions: Sequence[Question], posteriors: Posteriors, truth: Gold) -> float:
    """Share of the tasks whose answer is right as a whole, mean over questions; no suggestion is a wrong one."""
    shares = []
    for question in questions:
        keys = [decision.key for decision in decisions(question)]
        rows = np.flatnonzero(np.all([truth[key] >= 0 for key in keys], axis=0))
        if rows.size:
            known = {key: posteriors[key][rows] for key in keys}
            shares.append(float(is_right(question, known, {key: truth[key][rows] for key in keys}).mean()))
    return float(np.mean(shares))


def confidence(questions: Sequence[Question], posteriors: Posteriors) -> NDArray[np.float64]:
    """Of each task's suggestion (n,), 0..1; the lowest of all questions, 0 where nothing is known."""
    of_questions = np.array([confidences(question, posteriors) for question in questions])
    known = ~np.isnan(of_questions).all(axis=0)
    lowest: NDArray[np.float64] = np.where(np.isnan(of_questions), np.inf, of_questions).min(axis=0)
    return np.where(known, lowest, 0.0)


def _train(stage: Stage, votes: Mapping, gold: Gold, previous: ProjectModel | None, seed: int) -> Trained:  # type: ignore[type-arg]
    return train(
        stage.pool.questions,
        stage.pool.data,
        votes,
        gold,
        seed=seed,
        previous=previous,
        features=stage.features,
        choice_s=CHOICE_S,
    )


def _choose(
    stage: Stage,
    plan: Plan,
    model: ProjectModel,
    posteriors: Mapping[str, NDArray[np.float64]],
    votes: Mapping,  # type: ignore[type-arg]
    gold: Gold,
    is_open: NDArray[np.bool_],
    n: int,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Rows of the tasks that are labeled next."""
    evidence = evidence_of(model, posteriors, votes, gold, is_open, stage.features.matrix)
    located = _Located(**{name: getattr(evidence, name) for name in Evidence.__dataclass_fields__}, located=stage.where)
    sure = confidence(stage.pool.questions, posteriors)
    queue = choose_next(located, sure, strategy=plan.strategy, n=n, seed=int(random.integers(2**31)))
    return queue.order[:n]


def _next_batch(plan: Plan, n_labels: int, n_tasks: int, usd: float) -> int:
    """How many are labeled next; 0 when labels, money or tasks are at their end."""
    n = max(plan.batch, int(plan.growth * n_labels))
    if plan.max_labels is not None:
        n = min(n, plan.max_labels - n_labels)
    if plan.budget_usd is not None and plan.usd_per_label > 0:
        n = min(n, int((plan.budget_usd - usd) / plan.usd_per_label + 1e-9))
    return max(0, min(n, n_tasks - n_labels))
