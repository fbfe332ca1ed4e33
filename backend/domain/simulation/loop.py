"""The loop: label a batch, train, measure, choose the next batch; with the project's own parts."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.features import FeatureExtractor
from backend.domain.frame import Frame, frame_of
from backend.domain.metrics import is_right
from backend.domain.model.project import ProjectModel, described
from backend.domain.model.training import Features, Known, Trained, TrainingSettings, train
from backend.domain.next_tasks import pool_state_of
from backend.domain.priorities.geometry import coordinates
from backend.domain.priorities.pool_state import PoolState
from backend.domain.priorities.queue import choose_next
from backend.domain.priorities.strategy import Strategy
from backend.domain.questions import decisions
from backend.domain.simulation.llms import Desk, contradiction
from backend.domain.simulation.records import NOTHING, Gold, LabeledTasks, Plan, Point
from backend.domain.simulation.review import Review
from backend.domain.votes import VoteMatrix

CHOICE_S = 2.0
"""Seconds that comparing classifiers may take at each training: a simulation trains dozens of times."""


FREQUENT = 20
"""Tasks of a label from which chance alone puts enough of them into both parts."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A pool to label from and held-out tasks to measure on, with what is the same in all runs on them.

    features: of the pool, which alone they are learned from; test_features: (n_test, d) of the held-out tasks. space:
    float32, the space that they lie in, see `coordinates`.
    """

    pool: LabeledTasks
    test: LabeledTasks
    features: Features
    test_features: csr_matrix
    space: NDArray[np.float32]

    def without_votes(self) -> "Stage":
        """The same tasks without rules and LLMs."""
        return replace(self, pool=self.pool.without_votes(), test=self.test.without_votes())


def stage_of(pool: LabeledTasks, test: LabeledTasks) -> Stage:
    """Prepare a pool and held-out tasks; takes seconds for thousands of texts."""
    extractor = FeatureExtractor().fit(pool.data, [pair for question in pool.questions for pair in question.compared])
    features = Features(extractor, extractor.transform(pool.data))
    return Stage(pool, test, features, extractor.transform(test.data), coordinates(features.matrix, seed=0))


@dataclass(frozen=True)
class _Located(PoolState):
    """The state of a pool of which it is known where they lie: computing that anew for each batch takes seconds."""

    located: NDArray[np.float32]

    @cached_property
    def space(self) -> NDArray[np.float32]:
        """What they lie in."""
        return self.located


def split(tasks: LabeledTasks, test_share: float, seed: int) -> tuple[LabeledTasks, LabeledTasks]:
    """A pool, and a random share of the tasks (0..1) that is held out: of each rare label its own share, so that it is
    in both parts, but never all of its tasks: what isn't in the pool can't be learned.

    Less is held out as a whole where many labels have a single task: other labels don't stand in for these.
    """
    order = np.random.default_rng(seed).permutation(len(tasks.data))
    strata = _rare_labels(tasks)[order]
    by_label = np.argsort(strata, kind="stable")
    groups = np.split(order[by_label], np.flatnonzero(np.diff(strata[by_label])) + 1)
    held_out: list[NDArray[np.int64]] = []
    n_seen = n_taken = 0
    # The frequent ones last: what rounding leaves over is least to them.
    for rows in sorted(groups, key=len):
        n_seen += rows.size
        n = min(round(test_share * n_seen) - n_taken, math.ceil(test_share * rows.size), rows.size - 1)
        n_taken += n
        held_out.append(rows[:n])
    is_test = np.zeros(len(order), dtype=np.bool_)
    is_test[np.concatenate(held_out)] = True
    return tasks.rows(np.flatnonzero(~is_test)), tasks.rows(np.flatnonzero(is_test))


def _rare_labels(tasks: LabeledTasks) -> NDArray[np.int64]:
    """The rarest label of each task (n,), over all questions, as a number; -1 where all its labels are frequent."""
    n = len(tasks.data)
    rarest, fewest, offset = np.full(n, -1, dtype=np.int64), np.full(n, FREQUENT, dtype=np.int64), 0
    for decision in (item for question in tasks.questions for item in decisions(question)):
        known, k = tasks.truth[decision.key], len(decision.classes)
        # Of a set of labels, those count that were chosen.
        has = known >= (decision.label is not None)
        counts = np.bincount(known[has], minlength=k)
        rows = np.flatnonzero(has)
        rows = rows[counts[known[rows]] < fewest[rows]]
        rarest[rows], fewest[rows] = offset + known[rows], counts[known[rows]]
        offset += k
    return rarest


def rounds(plan: Plan, n_tasks: int) -> int:
    """Points of a learning curve that ends with labels or tasks; money, or labels given again, may end it earlier."""
    n_labels, count = 0, 1
    while n := next_batch(plan, n_labels, n_tasks - n_labels, n_labels * plan.usd_per_label):
        n_labels, count = n_labels + n, count + 1
    return count + (plan.after_finding != NOTHING)


def replay(stage: Stage, plan: Plan, *, seed: int) -> Iterator[Point]:
    """Label a project as planned: a point of the learning curve after each training, the first without any label.

    With LLMs, tasks are random until these are validated: on tasks that a strategy chose they would look worse than
    they are. Ends when the next batch would go beyond the labels or the money of the plan, or when all tasks are
    labeled. The same seed gives the same points.

    Where something is done with wrong labels, they are looked for after some of the trainings, and a last time when no
    more labels come; then it trains once more.
    """
    stage = stage.without_votes() if plan.manual else stage
    pool = stage.pool
    random = np.random.default_rng(seed)
    desk = Desk(pool, stage.test, () if plan.manual else plan.llms, plan.gate_kappa)
    is_labeled = np.zeros(len(pool.data), dtype=np.bool_)
    review = Review(pool, plan, seed=seed)
    previous: ProjectModel | None = None
    while True:
        gold = review.gold(is_labeled)
        votes, test_votes = desk.votes()
        trained = _train(stage, votes, gold, previous, int(random.integers(2**31)), review.weights())
        previous, n_labels = trained.model, int(is_labeled.sum()) + review.n_again
        known = _tested(stage, trained.model, test_votes)
        usd = n_labels * plan.usd_per_label + desk.usd
        yield Point(n_labels, desk.n_answers, usd, accuracy(known), review.n_again)
        n_open = int((~is_labeled).sum())
        n = next_batch(plan, n_labels, n_open, usd)
        if review.is_due(int(is_labeled.sum()), is_last=not n):
            review.look(trained, is_labeled, _affordable(plan, n_labels, usd))
            spent = int(is_labeled.sum()) + review.n_again - n_labels
            n = next_batch(plan, n_labels + spent, n_open, usd + spent * plan.usd_per_label)
            if not n:
                # What was found changes what is learned.
                continue
        if not n:
            return
        ours = replace(trained.frame, posteriors=trained.model.posteriors_of(trained.frame))
        strategy = Strategy.RANDOM if desk.is_validating else plan.strategy
        state = pool_state_of(trained, ours, ~is_labeled)
        chosen = _choose(stage, strategy, state, confidence(ours), n, random)
        is_labeled[chosen] = True
        gold = {key: np.where(is_labeled, said, -1) for key, said in review.given.items()}
        if desk.validate(gold):
            doubt = (1 - confidence(ours), 1 - confidence(known))
            desk.buy(gold, doubt, (contradiction(ours), contradiction(known)))


def full_accuracy(stage: Stage, plan: Plan, *, seed: int) -> float:
    """Accuracy (0..1) on the held-out tasks with all labels of the pool, none of them wrong, and all answers of the
    plan's LLMs."""
    stage = stage.without_votes() if plan.manual else stage
    desk = Desk(stage.pool, stage.test, () if plan.manual else plan.llms, plan.gate_kappa)
    desk.buy_all()
    votes, test_votes = desk.votes()
    trained = _train(stage, votes, stage.pool.truth, None, seed)
    return accuracy(_tested(stage, trained.model, test_votes))


def _tested(stage: Stage, model: ProjectModel, votes: Mapping[str, VoteMatrix]) -> Frame:
    """What a model says of the held-out tasks, and what people said."""
    test = stage.test
    frame = frame_of(test.questions, test.data, votes=votes, gold=test.truth)
    return replace(frame, posteriors=model.posteriors_of(described(frame, test.data, stage.test_features)))


def accuracy(frame: Frame) -> float:
    """Share of the tasks whose answer is right as a whole, mean over questions; no suggestion is a wrong one.

    frame: posteriors and gold.
    """
    shares = []
    for question in frame.questions:
        tasks = np.flatnonzero(frame.labeled(question))
        if tasks.size:
            shares.append(float(is_right(question, frame.judged(question, tasks, frame.posteriors)).mean()))
    return float(np.mean(shares))


def confidence(frame: Frame) -> NDArray[np.float64]:
    """Confidence of each task's suggestion, float64 (n_tasks,), 0..1; the lowest of all questions, 0 where nothing is
    known."""
    of_questions = np.array(
        [
            question.certainty(frame.units[question.name], question.form.confidences(frame.posteriors))
            for question in frame.questions
        ]
    )
    known = ~np.isnan(of_questions).all(axis=0)
    lowest: NDArray[np.float64] = np.where(np.isnan(of_questions), np.inf, of_questions).min(axis=0)
    return np.where(known, lowest, 0.0)


def _train(
    stage: Stage,
    votes: Mapping[str, VoteMatrix],
    gold: Gold,
    previous: ProjectModel | None,
    seed: int,
    weights: Mapping[str, NDArray[np.float64]] | None = None,
) -> Trained:
    pool, known = stage.pool, Known(stage.features, previous=previous)
    frame = replace(frame_of(pool.questions, pool.data, votes=votes, gold=gold), weights=weights or {})
    return train(frame, pool.data, known, TrainingSettings(choice_s=CHOICE_S), seed=seed)


def _choose(
    stage: Stage,
    strategy: str,
    state: PoolState,
    sure: NDArray[np.float64],
    n: int,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Rows of the tasks that are labeled next."""
    located = _Located(**{name: getattr(state, name) for name in PoolState.__dataclass_fields__}, located=stage.space)
    queue = choose_next(located, sure, strategy=strategy, n=n, seed=int(random.integers(2**31)))
    return queue.order[:n]


def next_batch(plan: Plan, n_labels: int, n_open: int, usd: float) -> int:
    """How many of the open tasks are labeled next; 0 when labels, money or tasks are at their end."""
    return min(max(plan.batch, int(plan.growth * n_labels)), n_open, _affordable(plan, n_labels, usd))


def _affordable(plan: Plan, n_labels: int, usd: float) -> int:
    """How many more labels the plan allows, 0 or more."""
    n = 2**62 if plan.max_labels is None else plan.max_labels - n_labels
    if plan.budget_usd is not None and plan.usd_per_label > 0:
        n = min(n, int((plan.budget_usd - usd) / plan.usd_per_label + 1e-9))
    return max(0, n)
