"""What a job works on is read, masked and hashed once."""

import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.adapters.sql.database import SqlDatabase
from backend.domain.tasks import MirroredTask, content_hash
from backend.ports.embeddings import EmbeddingPorts, ToEmbed
from backend.workflows.check.search import check
from backend.workflows.llm.view import contents_of
from backend.workflows.try_rules import sample_of
from tests.unit.house import House, nothing, reviews


class CountingMirror:
    """The mirror; it counts how often all tasks are read from it, and how many by their ids."""

    def __init__(self, database: SqlDatabase, counts: Counter[str]) -> None:
        self._database, self._counts = database, counts

    def tasks(self, key: str, among: Collection[int] | None = None) -> list[MirroredTask]:
        found = self._database.tasks(key, among)
        self._counts.update({"whole": 1} if among is None else {"by id": len(found)})
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


class Lengths:
    """Embeds texts by their length, and keeps what it embedded."""

    name, is_local, takes_images = "lengths", True, False

    def __init__(self) -> None:
        self.kept: dict[str, NDArray[np.float32]] = {}

    def quick_characters(self) -> int:
        return 0

    def embed(self, contents: Sequence[ToEmbed]) -> NDArray[np.float32]:
        return np.array([[len(item.text), 1.0] for item in contents], dtype=np.float32)

    def vectors(self, model: str, contents: Collection[str]) -> dict[str, NDArray[np.float32]]:  # noqa: ARG002
        return {name: self.kept[name] for name in contents if name in self.kept}

    def save_vectors(self, model: str, vectors: Mapping[str, NDArray[np.float32]]) -> None:  # noqa: ARG002
        self.kept |= vectors


@pytest.fixture
def counts(house: House, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often tasks were read, their contents masked, and hashed."""
    counts: Counter[str] = Counter()

    def masked(*inputs: Any) -> Any:
        found = contents_of(*inputs)
        counts["masked"] += len(found)
        return found

    def hashed(data: Any) -> bytes:
        counts["hashed"] += 1
        return content_hash(data)

    for name, module in list(sys.modules.items()):
        if name.startswith("backend.") and getattr(module, "content_hash", None) is content_hash:
            monkeypatch.setattr(module, "content_hash", hashed)
    monkeypatch.setattr("backend.workflows.llm.contents.contents_of", masked)
    lengths, database = Lengths(), house.deps.database
    assert isinstance(database, SqlDatabase)
    mirror: Any = CountingMirror(database, counts)
    house.deps = replace(house.deps, database=mirror, embeddings=EmbeddingPorts(lengths, lengths, str))
    house.annotate(house.task_ids[:20])
    house.reconcile()
    counts.clear()
    return counts


def test_a_training_reads_masks_and_hashes_each_task_once(house: House, counts: Counter[str]) -> None:
    house.learn()
    assert counts == {"whole": 1, "masked": 40, "hashed": 40}
    counts.clear()
    house.annotate(house.task_ids[20:30])
    house.learn()
    assert (counts["whole"], counts["masked"], counts["hashed"]) == (1, 40, 40)


def test_a_check_does_too(house: House, counts: Counter[str]) -> None:
    house.learn()
    counts.clear()
    check(house.deps, house.key, nothing)
    assert house.deps.database.suspects(house.key) == []
    assert counts == {"whole": 1, "masked": 40, "hashed": 40}


def test_new_tasks_alone_are_read_for_their_suggestions(house: House, counts: Counter[str]) -> None:
    house.learn()
    counts.clear()
    house.label_studio.add_tasks(house.project, reviews(43)[40:])
    house.reconcile()
    assert counts == {"by id": 3, "masked": 3}


def test_rules_are_tried_out_on_a_sample_that_alone_is_read(house: House, counts: Counter[str]) -> None:
    house.label_studio.add_tasks(house.project, reviews(300)[40:])
    house.reconcile()
    counts.clear()
    (record,) = house.deps.database.projects()
    sample = sample_of(house.deps, record)
    assert counts == {"by id": 200}
    every = [item.task.data["n"] for item in house.deps.database.tasks(house.key)]
    drawn = np.random.default_rng(0).permutation(len(every))[:200].tolist()
    assert [item["n"] for item in sample.tasks] == [every[place] for place in drawn]
