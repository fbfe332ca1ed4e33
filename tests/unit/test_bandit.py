"""What taught most gets more, and chance doesn't decide."""

import numpy as np
import pytest

from backend.domain.priorities.bandit import RANDOM_SHARE, reward, shares
from backend.domain.priorities.strategy import Strategy
from backend.domain.reports.version import Round

ARMS = {"margin": 0.5, "representative": 0.5}


def rounds(n: int, effects: dict[str, float], noise: float, seed: int = 0) -> list[Round]:
    """Versions in which each strategy adds its effect, in the share of the tasks that it chose."""
    random = np.random.default_rng(seed)
    history = []
    for turn in range(n):
        share = float(random.uniform(0.1, 0.8))
        given = {"margin": share, "representative": 0.9 - share, "random": 0.1}
        gain = 0.1 + sum(given[name] * effect for name, effect in effects.items()) + random.normal(0, noise)
        n_labels = 50 + 10 * turn
        history.append(Round(given, gain / n_labels, n_labels))
    return history


def mean_shares(history: list[Round]) -> dict[str, float]:
    """Over many versions: each draws anew."""
    drawn = [shares(history, ARMS, seed=seed) for seed in range(40)]
    return {name: float(np.mean([item[name] for item in drawn])) for name in drawn[0]}


def test_nothing_measured_changes_nothing() -> None:
    each = (1 - RANDOM_SHARE) / 2
    assert shares([], ARMS, seed=3) == pytest.approx({"margin": each, "representative": each, "random": RANDOM_SHARE})
    assert shares(rounds(1, {"margin": 5.0}, 0.0), ARMS, seed=3) == shares([], ARMS, seed=3)


@pytest.mark.parametrize("best", ["margin", "representative"])
def test_what_taught_most_gets_most(best: str) -> None:
    given = mean_shares(rounds(20, {best: 0.4}, 0.05))
    assert given[best] > 0.6


def test_lucky_versions_decide_little() -> None:
    by_luck = [mean_shares(rounds(3, {}, 0.2, seed))["margin"] for seed in range(10)]
    assert 0.3 < np.mean(by_luck) < 0.6
    assert max(by_luck) < 0.85


def test_a_share_is_random_whatever_was_measured() -> None:
    for history in ([], rounds(30, {"margin": 2.0}, 0.01)):
        given = shares(history, seed=0)
        assert given[Strategy.RANDOM] == RANDOM_SHARE
        assert sum(given.values()) == pytest.approx(1)


def test_the_same_history_gives_the_same_shares_and_its_order_doesnt_matter() -> None:
    history = rounds(12, {"margin": 0.1}, 0.1)
    assert shares(history, ARMS, seed=7) == shares(history, ARMS, seed=7)
    assert shares(history[::-1], ARMS, seed=7) == pytest.approx(shares(history, ARMS, seed=7))


def test_reward_is_the_fall_of_log_loss_for_each_label() -> None:
    truth = {"sentiment": np.array([0] * 20 + [1] * 20 + [-1])}
    before = {"sentiment": np.full((41, 2), 0.5)}
    after = {"sentiment": np.where(np.arange(41)[:, None] < 20, [0.8, 0.2], [0.2, 0.8])}
    assert reward(before, after, truth, 10) == pytest.approx(np.log(0.8 / 0.5) / 10)
    assert reward(after, before, truth, 10) == pytest.approx(-np.log(0.8 / 0.5) / 10)


def test_no_reward_is_made_up_from_too_little() -> None:
    few = {"sentiment": np.array([0] * 19 + [-1] * 30)}
    known, unknown = {"sentiment": np.full((49, 2), 0.5)}, {"sentiment": np.full((49, 2), np.nan)}
    enough = {"sentiment": np.zeros(49, dtype=np.int64)}
    assert reward(known, known, few, 10) is None
    assert reward(unknown, known, enough, 10) is None
    assert reward(known, known, enough, 0) is None
    assert reward({"sentiment": np.full((49, 3), 1 / 3)}, known, enough, 10) is None, "the labels changed"
    assert reward({}, known, enough, 10) is None
    assert reward(known, known, enough, 10) == 0
