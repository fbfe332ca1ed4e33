"""Stopping advice: right about curves whose truth is known, silent where there is too little."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.domain.reports.status import QuestionProgress, Verdict
from backend.domain.reports.version import Agreement, Gain, ProgressFigures
from backend.domain.stopping import (
    advise,
    agreement,
    expected_gain,
    paired_gain,
    progress_of,
    stability,
)

SIZES = np.array([15, 20, 26, 34, 44, 57, 74, 96, 125, 163, 212, 275, 400], dtype=np.int64)
STILL = tuple(Agreement(0.995, n - 10, n) for n in range(310, 401, 10))


def curve(error: Callable[[float], float], n_tasks: int, seed: int) -> NDArray[np.bool_]:
    """Whether each version, with the labels of SIZES, is right about each task; what is hard for one is for all."""
    random = np.random.default_rng(seed)
    hard = random.random(n_tasks) * 0.9
    return np.array([hard + random.random(n_tasks) * 0.1 > error(float(size)) for size in SIZES])


@pytest.mark.parametrize("floor", [0.02, 0.2])
def test_the_gain_of_the_next_hundred_labels_is_foretold(floor: float) -> None:
    def error(size: float) -> float:
        return floor + 1.5 / float(np.sqrt(size))

    truth = error(400) - error(500)
    found = [expected_gain(SIZES, curve(error, 300, seed), seed=seed) for seed in range(40)]
    gains = [item for item in found if item is not None]
    assert len(gains) == 40
    assert np.mean([item.interval[0] <= truth <= item.interval[1] for item in gains]) >= 0.85
    assert np.mean([item.gain for item in gains]) == pytest.approx(truth, abs=0.004)


def test_a_flat_curve_promises_little_and_a_small_sample_leaves_doubt() -> None:
    flat = np.zeros((len(SIZES), 400), dtype=np.bool_)
    flat[:, :300] = True
    large = expected_gain(SIZES, flat, seed=0)
    small = expected_gain(SIZES, flat[:, 280:310], seed=0)
    assert large is not None
    assert small is not None
    assert large.gain == small.gain == 0.0
    assert large.interval[1] < 0.01 < small.interval[1]


@pytest.mark.parametrize(
    ("sizes", "n_tasks"),
    [
        (SIZES[:2], 300),
        (SIZES, 19),
        (np.array([300, 320, 340, 360, 400]), 300),
        (np.array([20, 30, 40, 60, 80]), 300),
        (SIZES[:0], 300),
    ],
    ids=["two versions", "few tasks", "no doubling", "farther than there is", "nothing"],
)
def test_what_cant_be_told_isnt(sizes: NDArray[np.int64], n_tasks: int) -> None:
    assert expected_gain(sizes, np.ones((len(sizes), n_tasks), dtype=np.bool_), seed=0) is None


def test_a_gain_is_counted_on_the_same_tasks() -> None:
    before, now = np.zeros(100, dtype=np.bool_), np.zeros(100, dtype=np.bool_)
    before[:60], now[10:80] = True, True
    found = paired_gain(before, now)
    assert found.gain == pytest.approx(0.1)
    # Bonett & Price by hand: 21 and 11 of 102.
    assert found.interval == pytest.approx((0.0980 - 0.1070, 0.0980 + 0.1070), abs=2e-3)
    same = paired_gain(before, before)
    assert same.gain == 0.0
    assert same.interval[0] < 0 < same.interval[1]


def test_agreement_is_beyond_chance() -> None:
    left, right = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    assert agreement(left, left) == 1.0
    assert agreement(left, right) == pytest.approx(0.5)
    assert agreement(left[:2], left[:2]) == 0.0, "one class and no other: nothing was learned"


def test_stability_needs_three_versions_and_a_tenth_of_the_labels() -> None:
    def versions(*kappas: float, step: int, last: int = 400) -> list[Agreement]:
        numbers = range(last - step * (len(kappas) - 1), last + 1, step)
        return [Agreement(kappa, number - step, number) for kappa, number in zip(kappas, numbers, strict=True)]

    assert stability([]) is None
    assert stability(versions(1.0, 1.0, step=100)) is None
    assert stability(versions(0.5, 0.9, 0.96, 0.99, step=50)) == pytest.approx(0.95)
    assert stability(versions(1.0, 1.0, 1.0, step=1)) is None, "they had hardly anything to differ by"
    assert stability(versions(0.5, 0.9, 0.9, 1.0, step=10)) == pytest.approx(0.825)
    again = [*versions(0.9, 0.9, 0.9, step=50), Agreement(1.0, 400, 400)]
    assert stability(again) == pytest.approx(0.9), "a version that learned nothing new tells nothing"


def test_advice_goes_with_what_is_known() -> None:
    little, much = Gain(0.002, (0.0, 0.004)), Gain(0.03, (0.01, 0.05))
    flat, rising, unclear = Gain(0.001, (-0.01, 0.012)), Gain(0.04, (0.01, 0.07)), Gain(0.01, (-0.04, 0.06))

    def verdict(**known: object) -> Verdict:
        return advise([QuestionProgress("q", 100, **known)], n_labels=400, n_open=600, budget=0).verdict  # type: ignore[arg-type]

    assert verdict() is Verdict.UNKNOWN
    assert verdict(recent=flat, expected=little) is Verdict.STOP
    assert verdict(expected=little, agreements=STILL) is Verdict.STOP
    assert verdict(agreements=STILL) is Verdict.UNKNOWN, "rules alone are stable too"
    assert verdict(recent=flat) is Verdict.UNKNOWN
    assert verdict(recent=unclear, expected=Gain(0.02, (0.0, 0.05))) is Verdict.UNKNOWN
    assert verdict(expected=much) is Verdict.CONTINUE
    assert verdict(recent=rising, expected=little, agreements=STILL) is Verdict.CONTINUE
    moving = tuple(Agreement(0.9, n - 20, n) for n in (360, 380, 400))
    assert verdict(recent=flat, expected=little, agreements=moving) is Verdict.CONTINUE


def test_the_budget_and_the_last_task_end_it() -> None:
    open_question = [QuestionProgress("q", 100, expected=Gain(0.05, (0.02, 0.08)))]
    reached = advise(open_question, n_labels=500, n_open=3, budget=500)
    assert (reached.verdict, reached.reasons) == (Verdict.STOP, ("the budget of 500 labels is reached",))
    assert advise(open_question, n_labels=499, n_open=3, budget=500).verdict is Verdict.CONTINUE
    assert advise(open_question, n_labels=500, n_open=0, budget=0).verdict is Verdict.STOP


def test_one_question_that_still_learns_is_enough_to_go_on() -> None:
    done = QuestionProgress("done", 100, Gain(0.0, (-0.01, 0.01)), Gain(0.0, (0.0, 0.001)))
    learning = QuestionProgress("learning", 100, expected=Gain(0.05, (0.02, 0.08)))
    found = advise([done, learning], n_labels=500, n_open=3, budget=0)
    assert found.verdict is Verdict.CONTINUE
    assert all(reason.startswith("learning: ") for reason in found.reasons)
    assert advise([done, QuestionProgress("new")], n_labels=500, n_open=3, budget=0).verdict is Verdict.UNKNOWN
    assert advise([done], n_labels=500, n_open=3, budget=0).verdict is Verdict.STOP


def test_progress_is_that_of_the_newest_version_and_its_agreements_are_of_all() -> None:
    agreed, gain = Agreement(0.9, 10, 20), Gain(0.1, (0.0, 0.2))
    last = ProgressFigures(n=30, recent_gain=gain, agreement=agreed)
    found = progress_of("q", [ProgressFigures(), ProgressFigures(n=5), last])
    assert found == QuestionProgress("q", 30, gain, None, (agreed,))
    assert progress_of("q", []) == QuestionProgress("q")
