"""Any JSON may be a task's data: it is kept as it is, read as features, and answered by a trained version."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.label_studio.json import format_result, parse_task
from backend.adapters.sql.database import SqlDatabase
from backend.domain.features import FeatureExtractor
from backend.domain.llm.content import compile_masks, content_of
from backend.workflows.suggest import answer
from tests.fuzz.effort import effort
from tests.fuzz.strategies import any_json, changed_json, plain_values, task_data, texts
from tests.unit.house import CONFIG, House

tasks = st.lists(task_data, max_size=5)
TASK = {
    "id": 7,
    "data": {"text": "good"},
    "is_labeled": False,
    "updated_at": "2026-01-01T00:00:00.000000Z",
    "annotations": [
        {
            "id": 9,
            "completed_by": 1,
            "was_cancelled": False,
            "updated_at": "2026-01-01T00:00:00.000000Z",
            "lead_time": 3.5,
            "result": [
                {"from_name": "a", "type": "choices", "value": {"choices": ["x"]}, "origin": "prediction"},
                {"from_name": "b", "type": "rating", "value": {"rating": 3}, "origin": "manual"},
                {"from_name": "c", "type": "taxonomy", "value": {"taxonomy": [["x", "y"]]}},
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A project with a trained version."""
    made = House(tmp_path_factory.mktemp("house"))
    made.reconcile()
    made.annotate(made.task_ids[:24])
    made.learn()
    assert made.deps.versions.current(made.key) == 1
    return made


@effort(150)
@given(data=tasks)
def test_any_task_is_answered_by_a_trained_version(house: House, data: list[dict[str, object]]) -> None:
    given_ = answer(house.deps, house.key, CONFIG, data, 60.0)
    assert (given_.version, given_.problem, given_.late) == ("v1", "", 0)
    assert len(given_.suggestions) == len(data)
    for suggestion in given_.suggestions:
        assert 0 <= suggestion.score <= 1
        json.dumps(format_result(suggestion, given_.questions), allow_nan=False)


@effort(150)
@given(data=st.lists(task_data, min_size=1, max_size=8), others=tasks)
def test_any_tasks_can_be_learned_from(data: Sequence[dict[str, object]], others: list[dict[str, object]]) -> None:
    extractor = FeatureExtractor().fit(data)
    for rows in (data, others):
        features = extractor.transform(rows)
        assert features.shape == (len(rows), extractor.width)
        assert np.isfinite(features.data).all()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> SqlDatabase:
    folder: Path = tmp_path_factory.mktemp("database")
    return SqlDatabase(f"sqlite:///{folder}/db.sqlite3", lambda: 0.0)


@effort(120)
@given(item=changed_json({"data": TASK["data"], "annotations": TASK["annotations"]}))
def test_a_task_of_label_studio_is_kept_as_it_is(database: SqlDatabase, item: object) -> None:
    # What Label Studio itself makes is believed: ids, times, and that data are an object. People write the rest.
    if not isinstance(item, dict):
        return
    data = item.get("data") if isinstance(item.get("data"), dict) else {}
    given_ = item.get("annotations")
    annotations = given_ if isinstance(given_, list) else []
    own = TASK["annotations"][0]  # type: ignore[index]
    nested = [
        {**own, "id": place, **{name: entry[name] for name in ("result", "lead_time") if name in entry}}
        for place, entry in enumerate(annotations)
        if isinstance(entry, dict)
    ]
    parsed = parse_task({**TASK, "data": data, "annotations": nested})
    database.save_tasks("7.1-00000000", [parsed])
    (kept,) = database.tasks("7.1-00000000")
    assert same(kept.task.data, parsed.task.data)
    assert kept.annotations == parsed.annotations


def same(left: object, right: object) -> bool:
    """Whether two JSON values are equal, NaN with NaN."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left == right


@effort(150)
@given(data=st.dictionaries(texts, st.one_of(any_json, plain_values), max_size=5))
def test_what_is_sent_to_an_llm_can_be_sent(data: dict[str, object]) -> None:
    content = content_of(data, None, (), compile_masks([r"\d{3,}"]), image_fields=("image",))
    json.dumps({"fields": content.fields, "images": content.images}, ensure_ascii=False, allow_nan=False).encode()
    assert content.hash == content_of(data, None, (), compile_masks([r"\d{3,}"]), image_fields=("image",)).hash
