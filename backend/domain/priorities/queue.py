"""The queue: which tasks people label next, in which order, and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import CLASSIFIER, LABEL_MODEL, Frame
from backend.domain.priorities.bandit import COLD_SHARES, PRIOR_SHARES, RANDOM_SHARE, shares
from backend.domain.priorities.classes import ENOUGH, EXPECTED, Label, counts, is_cold, labels_of, rare_labels
from backend.domain.priorities.committee import disagreement, vote_entropy
from backend.domain.priorities.density import density, expected_error
from backend.domain.priorities.geometry import near_duplicates, representatives, spread
from backend.domain.priorities.pool_state import PoolState
from backend.domain.priorities.relabels import Relabels
from backend.domain.priorities.strategy import ANOTHER_OPINION, MEASURES, RARE_CLASS, Strategy
from backend.domain.priorities.uncertainty import combined, descending, uncertainty
from backend.domain.priorities.variance import variance_reduction
from backend.domain.questions import decisions
from backend.domain.reports.version import Round

WIDTH = 5
"""How far a task may come before its turn for the sake of diversity, see `spread`."""
RARE_SHARE = 0.1
"""Of the tasks that `auto` chooses, while some class is rare. (0.2 cost 2 points of accuracy on a set with six classes,
of which one is rare.)"""
LACKING_SHARE = 0.2
"""While some class that is expected has fewer than `ENOUGH` labels; the first task is one of its."""
SPARE = 3
"""Tasks that each strategy proposes for each one wanted: some are like one that another strategy chose."""
MAX_REPRESENTATIVES = 300
"""Tasks that k-means++ picks; more take long, and by then there is a new version."""
MAX_CANDIDATES = 50
"""Tasks for which the expected error is computed: those with the smallest margin."""
MAX_POOL = 500
"""Tasks that it is expected on."""
REASONS: Mapping[str, str] = {
    Strategy.LEAST_CONFIDENCE: "least sure of its label",
    Strategy.MARGIN: "two labels are nearly as likely",
    Strategy.ENTROPY: "many labels are possible",
    Strategy.VOTE_ENTROPY: "the sources disagree",
    Strategy.CONSENSUS_ENTROPY: "rules and classifier together are unsure",
    Strategy.DISAGREEMENT: "rules and classifier disagree",
    Strategy.EXPECTED_ERROR: "its label is expected to save most errors",
    Strategy.DENSITY: "unsure, and many others are like it",
    Strategy.VARIANCE: "unsure, and its label makes many others surer",
    Strategy.REPRESENTATIVE: "unlike anything labeled so far",
    Strategy.RANDOM: "random arm",
    ANOTHER_OPINION: "labeled, and another label teaches more than a first one elsewhere",
}


UNSURE_SPANS = "least sure of its spans, for its length"


@dataclass(frozen=True, slots=True)
class TaskQueue:
    """All open tasks in the order in which they are wanted.

    order: int64 (n_open,), rows. The first ones are served: their order is the strategy's; behind them the least
    sure come first. chosen_by, reasons: of the served ones: strategy, and why. scores: float64 (n_open,), in the same
    order, see `ascending`.
    """

    order: NDArray[np.int64]
    chosen_by: tuple[str, ...]
    reasons: tuple[str, ...]
    scores: NDArray[np.float64]


def choose_next(
    state: PoolState,
    confidence: NDArray[np.float64],
    *,
    strategy: str,
    n: int,
    seed: int,
    history: Iterable[Round] = (),
) -> TaskQueue:
    """Order the open tasks by what a label of them would teach.

    Args:
        state: what is known, about one question at least, or `doubts`.
        confidence: float64 (n_tasks,), 0..1, calibrated, of each task's suggestion; 0 where nothing is known. Of
            tasks that have labels already see `Relabels.as_sure`.
        strategy: one of `Strategy`.
        n: how many are served.
        seed: of all draws; another one for each version.
        history: what strategies brought so far, for `auto`.
    """
    if not state.open_rows.size:
        return TaskQueue(state.open_rows, (), (), np.zeros(0))
    if state.relabels is None:
        arms = _arms(state, Strategy(strategy), n, seed, tuple(history))
    else:
        arms = _arms_with_begun(state, state.relabels, Strategy(strategy), n, seed, tuple(history))
    served, chosen_by, reasons = _take_turns(arms, state, confidence, n)
    rest = np.setdiff1d(state.open_rows, served)
    rest = rest[descending(1 - confidence[rest], seed)]
    return TaskQueue(
        order=np.concatenate([served, rest]),
        chosen_by=tuple(chosen_by),
        reasons=tuple(reasons),
        scores=ascending(confidence[np.concatenate([served, rest])], len(served)),
    )


FLOOR = 1000
"""Millionths. Label Studio gets scores with six digits; up to 1000 served tasks have room below this."""


def ascending(confidence: NDArray[np.float64], n_served: int) -> NDArray[np.float64]:
    """Scores, float64 (n,), with which Label Studio, which serves the lowest first, keeps our order.

    Behind the served tasks a score is the confidence, but at least 0.001. A served task's is its confidence too, unless
    a task behind it has a lower score: then it is a millionth below that. So it never says more than we know: we are at
    least so sure.

    Predictions have no clusters, though Label Studio would take turns between them: it counts how many tasks of each an
    annotator has labeled, and counts 0 for tasks without one, so that one from far behind came after each round (seen
    on 1.23.2). That tasks which follow one another differ is up to the order.

    Args:
        confidence: (n,), 0..1, in our order; behind the served ones ascending.
        n_served: the first so many are served, at most 1000.
    """
    scores = np.maximum(np.round(confidence * 1e6).astype(np.int64), FLOOR)
    lowest = int(scores[n_served:].min(initial=10**6 + 1))
    for place in range(n_served - 1, -1, -1):
        lowest = min(int(scores[place]), lowest - 1)
        scores[place] = lowest
    return scores / 1e6


@dataclass(frozen=True, slots=True)
class _Arm:
    """What one strategy proposes: rows, the most wanted first, each with a reason. `first`: it has the first turn."""

    name: str
    share: float
    rows: NDArray[np.int64]
    reasons: Sequence[str]
    first: bool = False


def _arms(state: PoolState, strategy: Strategy, n: int, seed: int, history: Sequence[Round]) -> list[_Arm]:
    if state.doubts is not None:
        return _arms_by_doubts(state, state.doubts, strategy, n * SPARE, seed)
    if strategy is not Strategy.AUTO:
        return [_propose(state, strategy, 1.0, n * SPARE, seed)]
    if is_cold(state.questions, state.frame.gold):
        given = {name: share * (1 - RANDOM_SHARE) for name, share in COLD_SHARES.items()}
        given[Strategy.RANDOM] = RANDOM_SHARE
    else:
        given = shares(history, PRIOR_SHARES, seed=seed)
    arms = [
        _propose(state, name, share, int(np.ceil(n * share)) * SPARE, seed) for name, share in given.items() if share
    ]
    rare = _rare(state, int(np.ceil(n * LACKING_SHARE)) * SPARE, seed)
    if not rare.rows.size:
        return arms
    return [rare, *(replace(arm, share=arm.share * (1 - rare.share)) for arm in arms)]


def _arms_by_doubts(state: PoolState, doubts: NDArray[np.float64], strategy: Strategy, n: int, seed: int) -> list[_Arm]:
    """For spans: the tasks whose most probable marks are the least probable, and a random arm; or a random one only."""
    random = _propose(state, Strategy.RANDOM, RANDOM_SHARE, n, seed)
    if strategy is Strategy.RANDOM:
        return [replace(random, share=1.0)]
    rows = state.open_rows[descending(doubts[state.open_rows], seed)][:n]
    sure = _Arm(Strategy.LEAST_CONFIDENCE, 1 - RANDOM_SHARE, rows, [UNSURE_SPANS] * len(rows))
    return [sure, random]


def _arms_with_begun(
    state: PoolState, relabels: Relabels, strategy: Strategy, n: int, seed: int, history: Sequence[Round]
) -> list[_Arm]:
    """Strategies choose among tasks without labels; those with some have as many turns as ActiveLab gives them."""
    rows = state.open_rows
    share = relabels.share(rows, n, seed)
    fresh = replace(state, is_open=state.is_open & ~relabels.begun)
    arms = _arms(fresh, strategy, n, seed, history) if fresh.open_rows.size else []
    wanted = relabels.in_order(rows[relabels.begun[rows]], seed)[: n * SPARE]
    again = _Arm(ANOTHER_OPINION, share, wanted, [REASONS[ANOTHER_OPINION]] * len(wanted))
    return [again, *(replace(arm, share=arm.share * (1 - share)) for arm in arms)]


def _propose(state: PoolState, strategy: str, share: float, n: int, seed: int) -> _Arm:
    rows = state.open_rows
    if strategy == Strategy.RANDOM:
        drawn = np.random.default_rng(seed).permutation(rows)[:n]
        return _Arm(strategy, share, drawn, [REASONS[strategy]] * len(drawn))
    if strategy == Strategy.REPRESENTATIVE:
        labels = labels_of(state.questions)
        chosen, wanted = representatives(
            rows,
            state.labeled,
            state.where,
            state.expected(labels),
            counts(labels, state.frame.gold),
            n=min(n, MAX_REPRESENTATIVES),
            seed=seed,
        )
        return _Arm(strategy, share, chosen, _why_representative(state, labels, chosen, wanted))
    if strategy == Strategy.VARIANCE:
        doubt = _measured(state, Strategy.MARGIN)
        chosen = variance_reduction(state.space, state.told(), doubt, rows, state.labeled, n=n, seed=seed)
        return _Arm(strategy, share, chosen, [REASONS[strategy]] * len(chosen))
    utility = _utility(state, strategy, seed)
    # Equal ones (tasks with the same votes) by their margin.
    doubt = _measured(state, Strategy.MARGIN)
    ordered = rows[descending(utility[rows] + 1e-6 * doubt[rows], seed)]
    chosen = spread(ordered, utility, state.where, n=n, width=WIDTH)
    return _Arm(strategy, share, chosen, [REASONS[strategy]] * len(chosen))


def _why_representative(
    state: PoolState, labels: Sequence[Label], rows: NDArray[np.int64], wanted: NDArray[np.int64]
) -> list[str]:
    reasons = []
    for row, place in zip(rows, wanted, strict=True):
        if place >= 0 and _is_likely(state.frame, labels[place], int(row)):
            reasons.append(f"few labels yet, expected {labels[place].name}")
        else:
            reasons.append(REASONS[Strategy.REPRESENTATIVE])
    return reasons


def _is_likely(frame: Frame, label: Label, row: int) -> bool:
    """Whether a label is expected in a task."""
    units = frame.units[label.question].of_tasks(np.array([row]))
    return bool((frame.posteriors[label.key][units, label.column] > 0.5).any())


def _measured(state: PoolState, measure: str) -> NDArray[np.float64]:
    of_decisions = {key: uncertainty(value, measure) for key, value in state.frame.posteriors.items()}
    return combined(state.frame, of_decisions)


def _utility(state: PoolState, strategy: str, seed: int) -> NDArray[np.float64]:
    """What a strategy sees in each task (n_tasks,), 0..1."""
    if strategy in MEASURES:
        return _measured(state, strategy)
    if strategy == Strategy.DENSITY:
        like = density(state.where[state.open_rows], seed=seed)
        spanned = np.zeros(len(state.is_open))
        spanned[state.open_rows] = (like - like.min(initial=1.0)) / max(1e-9, np.ptp(like)) if like.size else like
        return _measured(state, Strategy.MARGIN) * (0.5 + 0.5 * spanned)
    if strategy == Strategy.EXPECTED_ERROR:
        return _saved_errors(state, seed)
    divided = [
        state.frame.units[question.name].most(_divided(state.frame, decision.key, strategy))
        for question in state.questions
        for decision in decisions(question)
    ]
    return np.asarray(np.max(divided, axis=0), dtype=np.float64) if divided else np.zeros(len(state.is_open))


def _divided(frame: Frame, key: str, strategy: str) -> NDArray[np.float64]:
    """How far a committee disagrees on a decision in each unit (n_units,), 0..1."""
    members = [frame.members[LABEL_MODEL][key], frame.members[CLASSIFIER][key]]
    if strategy != Strategy.VOTE_ENTROPY:
        return disagreement(members, strategy)
    matrix = frame.votes[key]
    return vote_entropy(matrix.votes, members[1:], len(matrix.decision.classes))


def _saved_errors(state: PoolState, seed: int) -> NDArray[np.float64]:
    """By how much less error is expected, among candidates; 0 for all other tasks."""
    random = np.random.default_rng(seed)
    rows = state.open_rows
    doubt = _measured(state, Strategy.MARGIN)
    pool = rows if len(rows) <= MAX_POOL else random.choice(rows, MAX_POOL, replace=False)
    asked = [(question, decision.key) for question in state.questions for decision in decisions(question)]
    candidates = rows[descending(doubt[rows], seed)][: MAX_CANDIDATES // max(1, len(asked)) + 1]
    saved = np.zeros(len(state.is_open))
    for question, key in asked:
        units, gold = state.frame.units[question.name], state.frame.gold[key]
        where, some = units.spread(state.where), units.of_tasks(candidates)
        errors = expected_error(where, np.flatnonzero(gold >= 0), gold, some, units.of_tasks(pool))
        span = max(1e-12, float(np.ptp(errors))) if errors.size else 1.0
        # Of several units, the one whose label saves most.
        most = units.part(candidates).most((errors.max(initial=0.0) - errors) / span)
        saved[candidates] += most / len(asked)
    return saved


def _rare(state: PoolState, n: int, seed: int) -> _Arm:
    """Tasks that may have one of the labels that lack examples, these in turn."""
    labels = labels_of(state.questions)
    rows = state.open_rows
    chance = state.expected(labels)
    given = counts(labels, state.frame.gold)
    doubt = _measured(state, Strategy.MARGIN)
    proposals: list[list[tuple[int, str]]] = []
    rare = rare_labels(labels, state.frame.gold, chance[rows].mean(axis=0))
    for place in rare:
        expected = rows[chance[rows, place] >= EXPECTED]
        # While there are hardly any, the likeliest; then those of them that still teach something.
        utility = chance[:, place] if given[place] < ENOUGH else chance[:, place] * doubt
        ordered = expected[descending(utility[expected], seed)]
        chosen = spread(ordered, utility, state.where, n=SPARE * (n // len(rare) + 1), width=WIDTH)
        proposals.append([(int(row), f"expected rare class: {labels[place].name}") for row in chosen])
    turns = [proposal[turn] for turn in range(n) for proposal in proposals if turn < len(proposal)][:n]
    unique = list(dict(reversed(turns)).items())[::-1]
    lacking = any(proposal and given[place] < ENOUGH for place, proposal in zip(rare, proposals, strict=True))
    return _Arm(
        RARE_CLASS,
        LACKING_SHARE if lacking else RARE_SHARE,
        np.array([row for row, _ in unique], dtype=np.int64),
        [why for _, why in unique],
        first=lacking,
    )


def _take_turns(
    arms: Sequence[_Arm], state: PoolState, confidence: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """Rows, strategies and reasons of the served tasks: each turn is of the arm that is farthest behind its share.

    A task that is nearly the same as one before it is left out, as long as there are others.
    """
    near = near_duplicates(state.features, np.unique(np.concatenate([arm.rows for arm in arms])))
    alike: set[int] = set()
    given = {arm.name: -1.0 if arm.first else 0.0 for arm in arms}
    proposals = {arm.name: iter(zip(arm.rows.tolist(), arm.reasons, strict=True)) for arm in arms}
    taken: dict[int, tuple[str, str]] = {}
    left_out: dict[int, tuple[str, str]] = {}
    n = min(n, len(state.open_rows))
    alive = [arm for arm in arms if arm.share > 0]
    while alive and len(taken) < n:
        arm = max(alive, key=lambda item: item.share * (len(taken) + 1) - given[item.name])
        for row, reason in proposals[arm.name]:
            if row in taken:
                continue
            if row not in alike:
                alike |= near[row]
                taken[row] = (arm.name, reason)
                given[arm.name] += 1
                break
            left_out.setdefault(row, (arm.name, reason))
        else:
            alive.remove(arm)
    if len(taken) < n:
        _fill(taken, left_out, state, confidence, n)
    rows = np.array(list(taken), dtype=np.int64)
    return rows, [name for name, _ in taken.values()], [reason for _, reason in taken.values()]


def _fill(
    taken: dict[int, tuple[str, str]],
    left_out: Mapping[int, tuple[str, str]],
    state: PoolState,
    confidence: NDArray[np.float64],
    n: int,
) -> None:
    """Take what is nearly the same as others after all, then the least sure tasks."""
    rows = state.open_rows
    by_doubt = rows[np.argsort(confidence[rows], kind="stable")][: 2 * n]
    least = Strategy.LEAST_CONFIDENCE
    for row, why in [*left_out.items(), *((int(row), (str(least), REASONS[least])) for row in by_doubt)]:
        if len(taken) >= n:
            return
        taken.setdefault(row, why)
