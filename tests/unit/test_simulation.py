"""Simulation: what is spent, what is measured, and what may not be claimed."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from backend.domain.questions import Choices, decisions
from backend.domain.simulation.curves import band, costs, finals, mean_curve, reached
from backend.domain.simulation.loop import Stage, full_accuracy, replay, rounds, split, stage_of
from backend.domain.simulation.records import Curve, LabeledTasks, LlmUse, Plan, Point
from backend.domain.simulation.review import with_errors
from backend.domain.votes import VoteMatrix
from backend.errors import BadRequest
from backend.workflows.simulate import prepare

QUESTION = Choices("topic", "text", ("tea", "rain"))
(DECISION,) = decisions(QUESTION)
WORDS = (("kettle", "leaf", "cup", "milk"), ("cloud", "storm", "wet", "drops"))
N = 160


def planted(llm_right: float = 0.9) -> LabeledTasks:
    """Tasks whose words tell the class, a rule that is right where it votes, and an LLM with errors."""
    random = np.random.default_rng(5)
    truth = random.integers(0, 2, N)
    texts = [" ".join([*random.choice(WORDS[label], 3), f"word{random.integers(40)}"]) for label in truth]
    rule = np.where(random.random(N) < 0.3, truth, -1).astype(np.int16)[:, None]
    llm = np.where(random.random(N) < llm_right, truth, 1 - truth).astype(np.int16)[:, None]
    return LabeledTasks(
        questions=[QUESTION],
        data=[{"text": text} for text in texts],
        votes={DECISION.key: VoteMatrix(DECISION, ("rule",), rule)},
        answers={DECISION.key: VoteMatrix(DECISION, ("llm",), llm)},
        truth={DECISION.key: truth},
        given={DECISION.key: truth},
    )


def ready(tasks: LabeledTasks) -> Stage:
    return stage_of(*split(tasks, 0.3, 0))


def curve(accuracies: Sequence[float], full: float = 1.0, seed: int = 0) -> Curve:
    points = [Point(10 * place, 0, 3.0 * place, accuracy) for place, accuracy in enumerate(accuracies)]
    return Curve("auto", seed, points, full)


def test_what_labels_cost_and_how_many_there_are() -> None:
    points = list(replay(ready(planted()), Plan("auto", batch=20, growth=0, usd_per_label=0.5, max_labels=25), seed=1))
    assert [point.n_labels for point in points] == [0, 20, 25]
    assert [point.usd for point in points] == [0.0, 10.0, 12.5]
    assert points[-1].accuracy > 0.9


def test_money_ends_a_run_before_it_is_overspent() -> None:
    points = list(replay(ready(planted()), Plan("auto", usd_per_label=0.3, budget_usd=4.0), seed=1))
    assert points[-1].usd <= 4.0
    assert points[-1].n_labels == 13


def test_the_same_seed_gives_the_same_curve_and_progress_is_known_before() -> None:
    stage, plan = ready(planted()), Plan("auto", max_labels=10)
    first, second = list(replay(stage, plan, seed=3)), list(replay(stage, plan, seed=3))
    assert first == second
    assert len(first) == rounds(plan, len(stage.pool.data))


def test_held_out_labels_are_only_measured_on() -> None:
    stage, plan = ready(planted()), Plan("auto", max_labels=10)
    swapped = replace(stage.test, truth={key: 1 - known for key, known in stage.test.truth.items()})
    ours = [point.accuracy for point in replay(stage, plan, seed=0)]
    theirs = [point.accuracy for point in replay(replace(stage, test=swapped), plan, seed=0) if point.n_labels]
    assert theirs == pytest.approx([1 - accuracy for accuracy in ours[1:]])


def test_by_hand_nothing_is_known_before_the_first_label() -> None:
    stage = ready(planted())
    by_hand = next(replay(stage, Plan("manual", manual=True), seed=0))
    with_rules = next(replay(stage, Plan("auto"), seed=0))
    assert by_hand.accuracy == 0.0
    assert with_rules.accuracy > 0.3


def test_an_llm_votes_once_people_agree_with_it_and_all_its_answers_are_paid_for() -> None:
    stage = ready(planted())
    plan = Plan("random", "random", batch=40, max_labels=60, usd_per_label=1.0, llms=[LlmUse("llm", 0.01)])
    points = list(replay(stage, plan, seed=0))
    asked = {point.n_labels: point.n_answers for point in points}
    assert asked[40] == 40
    assert asked[60] == N, "all tasks, the held-out ones too"
    assert points[-1].usd == pytest.approx(60 + 0.01 * N)


def test_an_llm_that_guesses_is_asked_about_its_sample_only() -> None:
    stage = ready(planted(llm_right=0.5))
    plan = Plan("random", "random", batch=60, usd_per_label=1.0, llms=[LlmUse("llm", 0.01)])
    points = list(replay(stage, plan, seed=0))
    assert points[-1].n_labels == len(stage.pool.data)
    assert points[-1].n_answers == 100


def test_a_share_of_the_tasks_is_asked_about() -> None:
    plan = Plan("random", "random", batch=60, max_labels=70, llms=[LlmUse("llm", 0.01, share=0.5)])
    points = list(replay(ready(planted()), plan, seed=0))
    assert points[-1].n_answers == 60 + round(0.5 * (N - 60))


def test_full_accuracy_is_that_of_all_labels() -> None:
    assert full_accuracy(ready(planted()), Plan("auto", llms=[LlmUse("llm", 0.0)]), seed=0) > 0.95


def test_a_lucky_point_does_not_count_as_reached() -> None:
    assert reached(curve([0.0, 0.96, 0.9, 0.95, 0.97]).points, 0.95) == Point(30, 0, 9.0, 0.95)
    assert reached(curve([0.0, 0.5, 0.6, 0.95]).points, 0.95) == Point(30, 0, 9.0, 0.95)


def test_rules_that_are_good_enough_alone_still_cost_a_first_batch() -> None:
    (cost,) = costs([curve([0.99, 0.99, 0.99])], [0.95])
    assert (cost.labels.middle, cost.usd.middle) == (10, 3.0)


def test_never_reached_is_said_and_not_extrapolated() -> None:
    curves = [curve([0, 0.95, 0.96], seed=0), curve([0, 0.9, 0.94], seed=1), curve([0, 0.1, 0.2], seed=2)]
    (cost,) = costs(curves, [0.95])
    assert (cost.labels.middle, cost.labels.low, cost.labels.high) == (None, 10, None)
    assert (cost.labels.n_reached, cost.labels.n_runs) == (1, 3)


def test_bands_are_medians_with_the_lowest_and_highest() -> None:
    found = band([30.0, 10.0, 20.0, 60.0])
    assert (found.low, found.middle, found.high) == (10, 25, 60)


def test_the_mean_curve_has_only_what_all_runs_have() -> None:
    points = mean_curve([curve([0.2, 0.6, 0.8]), curve([0.4, 0.8], seed=1)])
    assert [(point.n_labels, point.n_runs) for point in points] == [(0, 2), (10, 2)]
    assert [points[1].low, points[1].accuracy, points[1].high] == pytest.approx([0.6, 0.7, 0.8])


def test_runs_with_points_at_other_labels_have_a_mean_curve_all_the_same() -> None:
    other = Curve("auto", 1, [Point(0, 0, 0.0, 0.4), Point(8, 0, 2.0, 0.6), Point(8, 0, 2.0, 0.8)], 1.0)
    points = mean_curve([curve([0.2, 0.6]), other])
    assert [point.n_labels for point in points] == [0, 8]
    assert points[1].accuracy == pytest.approx((0.2 + 0.8 * 0.4 + 0.8) / 2)


def test_annotators_are_wrong_about_the_share_that_was_planted() -> None:
    truth = {DECISION.key: np.arange(2_000) % 2}
    given = with_errors([QUESTION], truth, 0.1, np.random.default_rng(0))
    assert (given[DECISION.key] != truth[DECISION.key]).mean() == pytest.approx(0.1, abs=0.02)
    genre = Choices("genre", "text", ("a", "b", "c"), multiple=True)
    sets = {item.key: np.array([int(place < 2)] * 500) for place, item in enumerate(decisions(genre))}
    found = np.column_stack(list(with_errors([genre], sets, 1.0, np.random.default_rng(0)).values()))
    assert (found.sum(axis=1) == 2).all()
    assert (found[:, 2] == 1).all(), "one label was left out and another one chosen"


def test_full_accuracy_is_that_of_labels_without_errors() -> None:
    stage = ready(planted())
    assert full_accuracy(stage, Plan("nothing", label_noise=0.4), seed=0) == full_accuracy(stage, Plan("x"), seed=0)


def test_asking_again_costs_labels_and_removes_errors() -> None:
    stage = ready(planted())
    plan = Plan("relabel", "random", batch=60, usd_per_label=0.5, label_noise=0.2, after_finding="relabel")
    points = list(replay(stage, plan, seed=0))
    n_pool = len(stage.pool.data)
    assert points[0].n_again == 0
    assert points[-1].n_again > 5
    assert points[-1].n_labels == n_pool + points[-1].n_again
    assert points[-1].usd == pytest.approx(0.5 * points[-1].n_labels)
    nothing = list(replay(stage, replace(plan, after_finding="nothing"), seed=0))
    assert {point.n_again for point in nothing} == {0}
    assert nothing[-1].n_labels == n_pool
    assert points[-1].accuracy >= nothing[-1].accuracy


def test_labels_given_again_count_among_those_that_may_be_given() -> None:
    plan = Plan("relabel", "random", batch=60, max_labels=70, label_noise=0.3, after_finding="relabel")
    points = list(replay(ready(planted()), plan, seed=0))
    assert points[-1].n_labels <= 70
    assert points[-1].n_again > 0


@pytest.mark.parametrize("action", ["exclude", "downweight"])
def test_suspects_that_nobody_is_asked_about_cost_nothing(action: str) -> None:
    stage = ready(planted())
    plan = Plan(action, "random", batch=60, label_noise=0.2, after_finding=action)
    points = list(replay(stage, plan, seed=0))
    nothing = list(replay(stage, replace(plan, after_finding="nothing"), seed=0))
    assert points[-1].n_labels == nothing[-1].n_labels == len(stage.pool.data)
    # It is trained once more when the last labels were searched.
    assert len(points) == len(nothing) + 1
    assert points[-1].accuracy >= nothing[-1].accuracy - 0.05
    (final,) = finals([Curve(action, 0, points, 1.0)])
    assert (final.accuracy.middle, final.again.middle) == (points[-1].accuracy, 0)


def test_each_rare_label_is_in_the_pool_and_held_out_and_a_single_task_is_in_the_pool() -> None:
    sizes = [4] * 50 + [1, 2] + [100]
    truth = np.repeat(np.arange(len(sizes)), sizes)
    question = Choices("topic", "text", tuple(str(place) for place in range(len(sizes))))
    pool, test = split(LabeledTasks([question], [{}] * truth.size, {}, {}, {"topic": truth}, {"topic": truth}), 0.3, 1)
    pooled, held_out = (np.bincount(part.truth["topic"], minlength=len(sizes)) for part in (pool, test))
    assert (pooled > 0).all()
    assert (held_out[:50] > 0).all()
    assert len(test.data) == round(0.3 * truth.size)


@pytest.mark.parametrize("n_single", [0, 1, 30, 300])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_labels_with_a_single_task_take_no_test_tasks_from_other_rare_labels(n_single: int, share: float) -> None:
    sizes = [30, 30, *[1] * n_single, *[3] * 10, *[7] * 4]
    truth = np.repeat(np.arange(len(sizes)), sizes)
    question = Choices("topic", "text", tuple(str(number) for number in range(len(sizes))))
    tasks = LabeledTasks([question], [{}] * truth.size, {}, {}, {"topic": truth}, {"topic": truth})
    for seed in range(5):
        pool, test = split(tasks, share, seed)
        n_held_out = np.bincount(test.truth["topic"], minlength=len(sizes))
        assert len(pool.data) + len(test.data) == truth.size
        assert all(n <= math.ceil(share * size) for n, size in zip(n_held_out[2:], sizes[2:], strict=True))
        assert math.floor(60 * share) <= n_held_out[:2].sum() <= math.ceil(60 * share)


def test_rare_labels_of_sets_are_in_both_parts() -> None:
    question = Choices("topic", "text", ("all", "few"), multiple=True)
    few = np.zeros(200, dtype=np.int64)
    few[:4] = 1
    truth = {"topic=all": np.ones(200, dtype=np.int64), "topic=few": few}
    for seed in range(5):
        pool, test = split(LabeledTasks([question], [{}] * 200, {}, {}, truth, truth), 0.3, seed)
        assert pool.truth["topic=few"].sum() == 3
        assert test.truth["topic=few"].sum() == 1


def test_a_share_of_no_accuracy_is_never_reached() -> None:
    (cost, *_) = costs([curve([0.0, 0.0, 0.0], full=0.0)])
    assert cost.labels.middle is None


def test_what_cannot_be_measured_is_said() -> None:
    def about(n_labels: int, n_tasks: int) -> tuple[str, ...]:
        labels = [str(place) for place in range(n_labels)] * n_tasks
        question = Choices("topic", "text", tuple(sorted(set(labels))))
        data = [{"text": f"word{label} of {place}"} for place, label in enumerate(labels)]
        return prepare([question], data, [[{"topic": (label,)}] for label in labels], [], {}).notes

    with pytest.raises(
        BadRequest, match=r"150 of 150 labels of 'topic' have no more than 3 tasks.*Nothing can be measured"
    ):
        about(150, 3)
    assert about(15, 4) == ()


def test_annotators_who_differ_are_counted() -> None:
    answers = [[{"topic": ("tea",)}, {"topic": (label,)}] for label in ["tea"] * 40 + ["rain"] * 3]
    answers += [[{"topic": (label,)} for label in ("rain", "tea", "rain")] for _ in range(5)]
    found = prepare([QUESTION], [{"text": "x"}] * len(answers), answers, [], {})
    assert "Annotators differ in 'topic' on 8 of 48 tasks: the majority counts; 3 tasks have none" in found.notes[0]
    assert len(found.tasks.data) == 45
