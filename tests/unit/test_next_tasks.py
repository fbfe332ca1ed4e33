"""Which tasks Label Studio gets to serve next, by whom they were chosen, and what that taught."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from backend.domain.audit import is_audit
from backend.domain.priorities import Strategy
from backend.ports import Prediction
from backend.settings import Settings
from tests.unit.house import House, reviews


def current(house: House) -> list[Prediction]:
    return house.deps.versions.predictions(house.key, house.deps.versions.current(house.key))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_label_studio_serves_the_chosen_tasks_in_our_order_under_every_strategy(house: House, strategy: str) -> None:
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
    house.strategy = "auto"
    house.annotate(house.task_ids[:8])
    house.learn()
    for item in current(house):
        if item.chosen_by:
            assert item.score <= max(item.suggestion.score, 0.001) + 1e-6
        else:
            assert item.score == pytest.approx(max(item.suggestion.score, 0.001), abs=1e-6)


def test_a_new_task_stands_where_its_confidence_puts_it(house: House) -> None:
    house.strategy = "random"
    house.learn()
    house.label_studio.add_tasks(house.project, [{"text": "good", "n": 100, "rating": 9}])
    house.reconcile()
    (stored,) = house.fake.predictions[max(house.task_ids)]
    assert stored.prediction.score == pytest.approx(stored.prediction.suggestion.score, abs=1e-6)


def test_what_the_chosen_tasks_taught_is_in_the_next_versions_figures(house: House) -> None:
    house.strategy, house.top_tasks = "auto", 20
    house.label_studio.add_tasks(house.project, reviews(900)[40:])
    house.reconcile()
    audit = [task_id for task_id in house.task_ids if is_audit(house.key, task_id)]
    house.annotate(audit)
    house.learn()
    assert "taught" not in house.deps.versions.metrics(house.key, 1)
    chosen = current(house)[:20]
    house.annotate([item.task_id for item in chosen])
    house.learn()
    taught = house.deps.versions.metrics(house.key, 2)["taught"]
    assert taught["n_labels"] == len(audit)
    names = [item.chosen_by for item in chosen]
    assert taught["shares"] == {name: pytest.approx(names.count(name) / 20) for name in set(names)}
    assert isinstance(taught["reward"], float)
    house.learn()
    assert "taught" not in house.deps.versions.metrics(house.key, 3), "nothing new was labeled"


def test_versions_from_before_strategies_were_recorded_can_be_read(house: House) -> None:
    house.learn()
    path: Path = house.deps.versions.folder(house.key, 1) / "predictions.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["chosen_by", "reason"]), path)
    assert all(item.chosen_by == item.reason == "" for item in current(house))
    house.annotate(house.task_ids[:3])
    house.learn()
    assert house.deps.versions.current(house.key) == 2


def test_every_strategy_can_be_set_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().query_strategy == "auto"
    for strategy in Strategy:
        monkeypatch.setenv("QUERY_STRATEGY", strategy)
        assert Settings().query_strategy == strategy
        assert strategy in str(Settings.model_fields["query_strategy"].description)
    monkeypatch.setenv("QUERY_STRATEGY", "coin_toss")
    with pytest.raises(ValueError, match="least_confidence"):
        Settings()
