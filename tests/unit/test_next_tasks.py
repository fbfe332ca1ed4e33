"""Which tasks Label Studio gets to serve next, by whom they were chosen, and what that taught."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from backend.domain.audit.draw import is_audit
from backend.domain.classifier import Recipe
from backend.domain.classifier.choice import default_choice
from backend.domain.frame import CLASSIFIER
from backend.domain.model.project import described
from backend.domain.model.training import Trained
from backend.domain.next_tasks import pool_state_of
from backend.domain.priorities.relabels import Relabels
from backend.domain.priorities.strategy import Strategy
from backend.domain.reports.version import VersionMetrics
from backend.domain.votes import VoteMatrix
from backend.ports import Prediction
from backend.settings import Settings
from tests.unit.house import House, reviews
from tests.unit.planted import frame_with


def current(house: House) -> list[Prediction]:
    return house.deps.versions.predictions(house.key, house.deps.versions.current(house.key))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_label_studio_serves_the_chosen_tasks_in_our_order_under_every_strategy(
    house: House, strategy: Strategy
) -> None:
    house.strategy, house.top_tasks = strategy, 12
    house.annotate(house.task_ids[:8])
    house.learn()
    wanted = current(house)
    assert len(wanted) == 32
    assert all(item.chosen_by and item.reason and item.is_served for item in wanted[:12])
    assert all(item.chosen_by == item.reason == "" for item in wanted[12:])
    pushed = {task_id: items[-1].prediction.score for task_id, items in house.fake.predictions.items()}
    served = sorted(pushed, key=lambda task_id: pushed[task_id])
    assert served[:12] == [item.task_id for item in wanted[:12]]
    assert len({round(pushed[task_id], 6) for task_id in served[:12]}) == 12, "no two places are the same"


def test_a_score_never_says_more_than_the_confidence(house: House) -> None:
    house.strategy = Strategy.AUTO
    house.annotate(house.task_ids[:8])
    house.learn()
    for item in current(house):
        if item.chosen_by:
            assert item.score <= max(item.suggestion.score, 0.001) + 1e-6
        else:
            assert item.score == pytest.approx(max(item.suggestion.score, 0.001), abs=1e-6)


def test_a_new_task_stands_where_its_confidence_puts_it(house: House) -> None:
    house.strategy = Strategy.RANDOM
    house.learn()
    house.label_studio.add_tasks(house.project, [{"text": "good", "n": 100, "rating": 9}])
    house.reconcile()
    (stored,) = house.fake.predictions[max(house.task_ids)]
    assert stored.prediction.score == pytest.approx(stored.prediction.suggestion.score, abs=1e-6)


def test_what_the_chosen_tasks_taught_is_in_the_next_versions_figures(house: House) -> None:
    house.strategy, house.top_tasks = Strategy.AUTO, 20
    house.label_studio.add_tasks(house.project, reviews(900)[40:])
    house.reconcile()
    audit = [task_id for task_id in house.task_ids if is_audit(house.key, task_id)]
    house.annotate(audit)
    house.learn()
    assert house.deps.versions.metrics(house.key, 1).taught is None
    chosen = current(house)[:20]
    house.annotate([item.task_id for item in chosen])
    house.learn()
    taught = house.deps.versions.metrics(house.key, 2).taught
    assert taught is not None
    assert taught.n_labels == len(audit)
    names = [item.chosen_by for item in chosen]
    assert taught.shares == {name: pytest.approx(names.count(name) / 20) for name in set(names)}
    house.learn()
    assert house.deps.versions.metrics(house.key, 3).taught is None, "nothing new was labeled"


def test_versions_from_before_strategies_were_recorded_can_be_read(house: House) -> None:
    house.learn()
    path: Path = house.version_folder(1) / "predictions.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["chosen_by", "reason"]), path)
    assert all(item.chosen_by == item.reason == "" for item in current(house))
    house.annotate(house.task_ids[:3])
    house.learn()
    assert house.deps.versions.current(house.key) == 2


def test_every_strategy_can_be_set_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().policy.query_strategy == "auto"
    for strategy in Strategy:
        monkeypatch.setenv("QUERY_STRATEGY", strategy)
        assert Settings().policy.query_strategy == strategy
        assert strategy in str(Settings.model_fields["query_strategy"].description)
    monkeypatch.setenv("QUERY_STRATEGY", "coin_toss")
    with pytest.raises(ValueError, match="least_confidence"):
        Settings()


def half_labeled(house: House, doubted: list[int], agreed: list[int]) -> None:
    """Three annotations are wanted of each task: some have two that differ, some two that agree, many none."""
    house.fake.overlap = 3
    for task_id in doubted + agreed:
        right = house.gold(task_id)
        other = {"Positive": "Negative", "Negative": "Positive"}[right] if task_id in doubted else right
        house.label_studio.annotate(house.project, task_id, {"sentiment": (right,)}, annotator=1)
        house.label_studio.annotate(house.project, task_id, {"sentiment": (other,)}, annotator=2)


@pytest.mark.parametrize("strategy", [Strategy.AUTO, Strategy.MARGIN, Strategy.RANDOM])
@pytest.mark.parametrize("audit_share", [0.0, 0.2])
def test_tasks_that_lack_annotations_stand_among_the_unlabeled_by_what_another_one_teaches(
    house: House, strategy: Strategy, audit_share: float
) -> None:
    house.strategy, house.top_tasks, house.audit_share = strategy, 8, audit_share
    house.label_studio.add_tasks(house.project, reviews(80)[40:])
    house.reconcile()
    doubted = house.task_ids[:40:3]
    agreed = sorted(set(house.task_ids[:40]) - set(doubted))
    half_labeled(house, doubted, agreed)
    house.learn()
    wanted = [item for item in current(house) if not item.withheld]
    place = {item.task_id: rank for rank, item in enumerate(wanted)}
    of_doubted = [place[task_id] for task_id in doubted if task_id in place]
    of_agreed = [place[task_id] for task_id in agreed if task_id in place]
    assert np.mean(of_doubted) + 5 < np.mean(of_agreed), "who disagree are a better reason than who agree"
    assert max(of_agreed) > 40, "tasks without labels are among them"
    pushed = {task_id: items[-1].prediction.score for task_id, items in house.fake.predictions.items()}
    behind = [pushed[item.task_id] for item in wanted]
    assert behind == sorted(behind), "Label Studio keeps our order"
    assert all(item.score <= item.suggestion.score + 1e-6 or item.score == 0.001 for item in wanted)


def test_without_a_half_labeled_task_nothing_changes(house: House) -> None:
    house.annotate(house.task_ids[:10])
    house.learn()
    assert "another_opinion" not in {item.chosen_by for item in current(house)}


def test_when_every_task_has_a_label_the_queue_is_by_opinions_alone(house: House) -> None:
    house.fake.overlap = 2
    for task_id in house.task_ids:
        house.label_studio.annotate(house.project, task_id, {"sentiment": (house.gold(task_id),)}, annotator=1)
    wrong = house.task_ids[6]
    flipped = {"Positive": "Negative", "Negative": "Positive"}[house.gold(wrong)]
    house.label_studio.annotate(house.project, wrong, {"sentiment": (flipped,)}, annotator=1)
    house.learn()
    wanted = current(house)
    assert len(wanted) == 40
    assert {item.chosen_by for item in wanted if item.is_served} == {"another_opinion"}


def test_turns_are_shared_as_active_lab_says_and_a_begun_task_is_no_surer_than_unlabeled_ones_like_it() -> None:
    begun = np.array([True, True, False, False, False, True])
    scores = np.array([0.1, 0.9, 0.5, 0.3, np.nan, 0.4])
    confidence = np.array([0.99, 0.99, 0.8, 0.4, 0.0, 0.2])
    relabels, rows = Relabels(begun, scores), np.arange(6)
    assert relabels.in_order(rows, 0).tolist() == [4, 0, 3, 5, 2, 1]
    assert relabels.share(rows, 4, 0) == 0.5
    sure = relabels.as_sure(confidence, rows)
    assert sure[~begun].tolist() == confidence[~begun].tolist()
    assert sure[0] == pytest.approx(0.4 / 3)
    assert (sure[1], sure[5]) == (0.8, 0.2)
    only_begun = relabels.as_sure(confidence, rows[begun])
    assert only_begun[begun].tolist() == [0.1, 0.9, 0.2]


@pytest.mark.parametrize("trust", [0.0, 1.0])
def test_rules_that_teach_the_classifier_nothing_dont_say_what_is_worth_a_label(house: House, trust: float) -> None:
    house.annotate(house.task_ids[:8])
    house.learn()
    model = house.deps.versions.model(house.key, 1)
    ((key, part),) = model.decisions.items()
    choice = default_choice(np.full(40, -1, dtype=np.int64), 0, Recipe(trust=trust), "")
    model = replace(model, decisions={key: replace(part, choice=choice)})
    data = [house.fake.tasks[task_id].task.data for task_id in house.task_ids]
    votes = VoteMatrix(part.decision, part.sources, np.ones((len(data), len(part.sources)), dtype=np.int16))
    gold, features = np.full(len(data), -1, dtype=np.int64), model.extractor.transform(data)
    frame = described(frame_with(model.questions, votes={key: votes}, gold={key: gold}), data, features)
    together = model.posteriors_of(frame)
    state = pool_state_of(
        Trained(model, frame, VersionMetrics(), features), replace(frame, posteriors=together), gold < 0
    )
    alone = state.frame.members[CLASSIFIER]
    assert not np.allclose(alone[key], together[key])
    wanted = together if trust else alone
    np.testing.assert_array_equal(state.frame.posteriors[key], wanted[key])
