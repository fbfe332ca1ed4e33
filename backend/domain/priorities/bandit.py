"""The strategies that taught most: a bandit over strategies, rewarded by what audit tasks say of each new version."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.posterior import SMALLEST, is_known
from backend.domain.priorities.strategy import Strategy
from backend.domain.reports.version import Round

COLD_SHARES: Mapping[str, float] = {Strategy.REPRESENTATIVE: 0.5, Strategy.VARIANCE: 0.5}
"""What the strategies get while classes lack labels."""
PRIOR_SHARES: Mapping[str, float] = {Strategy.VARIANCE: 0.8, Strategy.MARGIN: 0.2}
"""What they get then, before anything was measured."""
RANDOM_SHARE = 0.05
"""Of all tasks, chosen at random whatever was measured: it shows where the strategies go wrong all together."""
DRAWS = 12
"""Draws from what is believed of the strategies. Few, so that shares differ from version to version, which is what
tells the strategies apart."""
SCALE = 0.1
"""How different strategies are believed to be: standard deviation of what a strategy adds to the reward times the
number of labels. A log-loss that falls by 0.1 while labels double is usual for text."""
MIN_AUDIT = 20
"""Labeled audit tasks below which no reward is measured: they would only tell chance."""


def shares(history: Sequence[Round], arms: Mapping[str, float] = PRIOR_SHARES, *, seed: int) -> dict[str, float]:
    """Share of the next tasks for each strategy, 0..1, together 1, `RANDOM_SHARE` of them at random.

    Thompson sampling (Thompson 1933) in a linear model: reward · labels = mean + Σ share of a strategy · its effect +
    noise. Effects are normal around 0; rewards are multiplied by the number of labels because the gain of a label falls
    about as 1 / labels. A strategy's share in `arms` grows with how often it has the largest effect in `DRAWS` draws.

    Args:
        history: one record per version, in any order.
        arms: strategy -> its share before anything was measured; not `RANDOM`.
        seed: of the draws.
    """
    names = list(arms)
    mean, covariance = _effects(history, names)
    draws = np.random.default_rng(seed).multivariate_normal(mean, covariance, DRAWS, method="eigh")
    wins = np.bincount(draws.argmax(axis=1), minlength=len(names))
    # Without any history all are alike, and draws would only be noise. None loses more than half of its share by what
    # was measured: log-loss also falls or rises because a strategy changes how frequent classes are among the labels.
    won = wins * len(names) / DRAWS if len(history) > 1 else np.ones(len(names))
    weights = np.array(list(arms.values())) * (1 + won)
    weights = weights / weights.sum() * (1 - RANDOM_SHARE)
    return {name: float(weight) for name, weight in zip(names, weights, strict=True)} | {Strategy.RANDOM: RANDOM_SHARE}


def _effects(history: Sequence[Round], names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (m,) and covariance (m, m) of what is believed of the strategies' effects: Bayesian linear regression."""
    prior = np.eye(len(names)) / SCALE**2
    if len(history) < 2:
        return np.zeros(len(names)), np.eye(len(names)) * SCALE**2
    given = np.array([[item.shares.get(name, 0.0) for name in names] for item in history])
    rewards = np.array([item.reward * max(1, item.n_labels) for item in history])
    given, rewards = given - given.mean(axis=0), rewards - rewards.mean()
    # Noise is at least what the strategies differ by: two lucky versions prove nothing.
    noise = max(float(rewards.var(ddof=1)), SCALE**2)
    covariance: NDArray[np.float64] = np.linalg.inv(prior + given.T @ given / noise)
    return covariance @ given.T @ rewards / noise, covariance


def reward(
    before: Mapping[str, NDArray[np.float64]],
    after: Mapping[str, NDArray[np.float64]],
    gold: Mapping[str, NDArray[np.int64]],
    n_new: int,
) -> float | None:
    """Fall of the log-loss from one version to the next, for each new label; None with too few audit tasks to tell.

    Args:
        before: the earlier version's posteriors (n, k) of the audit tasks, made without their own labels, by
            `Decision.key`; NaN rows where nothing was known are left out.
        after: the later version's, same rows.
        gold: int64 (n,), class index or -1 = unknown, by `Decision.key`.
        n_new: labels that the later version has and the earlier has not.
    """
    falls = []
    for key, truth in gold.items():
        if key not in before or key not in after or before[key].shape != after[key].shape:
            continue
        rows = np.flatnonzero((truth >= 0) & is_known(before[key]) & is_known(after[key]))
        old, new = before[key][rows, truth[rows]], after[key][rows, truth[rows]]
        falls.append(np.log(np.maximum(new, SMALLEST)) - np.log(np.maximum(old, SMALLEST)))
    measured = np.concatenate(falls) if falls else np.zeros(0)
    if n_new < 1 or max(map(len, falls), default=0) < MIN_AUDIT:
        return None
    return float(measured.mean()) / n_new
