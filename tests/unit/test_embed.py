"""Embeddings: what a model of meaning knows of words that nobody labeled helps; each content is embedded once."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.adapters.embedding.endpoint import EndpointEmbedder
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.vectors import SqlVectors
from backend.ports.embeddings import EmbeddingPorts
from backend.workflows.check.search import check
from backend.workflows.embed import vectors_of
from backend.workflows.llm.contents import Contents
from backend.workflows.suggest import answer
from tests.llm_faults import BAD_KEY
from tests.llm_server import LlmServer
from tests.unit.house import CONFIG, House, nothing

GLAD = ("lovely", "superb", "moving", "brilliant", "charming", "witty", "gripping", "radiant")
SAD = ("dreadful", "clumsy", "tedious", "hollow", "grating", "bland", "sloppy", "dismal")
IMAGES = """<View><Image name="image" value="$image"/><Choices name="sentiment" toName="image">
<Choice value="Positive"/><Choice value="Negative"/></Choices></View>"""


def meaning(text: str) -> list[float]:
    """An embedding that knows which words are glad."""
    return [float(any(word in text for word in GLAD)), float(any(word in text for word in SAD)), 0.1]


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as running:
        running.embed = meaning
        yield running


@pytest.fixture
def embedding(house: House, server: LlmServer, tmp_path: Path) -> House:
    """A project whose tasks share no word that tells; the first half of the words is labeled."""
    use(house, server, tmp_path)
    (tmp_path / "rules" / "film.py").unlink()
    return house


def use(house: House, server: LlmServer, folder: Path, model: str = "meanings", *, images: bool = False) -> None:
    embedder = EndpointEmbedder(server.base_url, "key", model, takes_images=images, timeout_s=20, retries=0)
    store = SqlVectors(Sql(f"sqlite:///{folder}/db.sqlite3"))
    house.deps = replace(house.deps, embeddings=EmbeddingPorts(embedder, store, lambda url: f"data:{url}"))


def add(house: House, *, field: str = "text", ending: str = "") -> tuple[list[int], list[int]]:
    """Tasks of words to be labeled, and of words that nobody labels."""
    rows: list[dict[str, object]] = []
    for number in range(64):
        words = SAD if number % 2 else GLAD
        rows.append({field: f"{words[number // 2 % 4 + (4 if number >= 32 else 0)]}{number}{ending}", "n": number})
    before = set(house.task_ids)
    house.label_studio.add_tasks(house.project, rows)
    new = [task_id for task_id in house.task_ids if task_id not in before]
    return new[:32], new[32:]


def right(house: House, task_ids: list[int]) -> float:
    return sum(house.shown(task_id) == [house.gold(task_id)] for task_id in task_ids) / len(task_ids)


def requests(server: LlmServer) -> list[Any]:
    return [item.body for item in server.seen if item.path == "/v1/embeddings"]


def metrics(house: House) -> dict[str, Any]:
    number = house.deps.versions.current(house.key)
    path = house.version_folder(number) / "metrics.json"
    about: dict[str, Any] = json.loads(path.read_text())["embeddings"]
    return about


def test_words_that_nobody_labeled_are_understood(embedding: House) -> None:
    labeled, others = add(embedding)
    embedding.annotate(labeled)
    embedding.learn()
    assert right(embedding, others) > 0.9
    assert metrics(embedding)["model"] == "meanings"
    assert metrics(embedding)["n_tasks"] == len(embedding.task_ids)


def test_without_embeddings_they_are_not(embedding: House) -> None:
    # What the test above would show anyway proves nothing.
    embedding.deps = replace(embedding.deps, embeddings=None)
    labeled, others = add(embedding)
    embedding.annotate(labeled)
    embedding.learn()
    assert right(embedding, others) < 0.9


def test_each_content_is_embedded_once(embedding: House, server: LlmServer) -> None:
    labeled, others = add(embedding)
    embedding.annotate(labeled)
    embedding.learn()
    sent = [text for body in requests(server) for text in body["input"]]
    assert len(sent) == len(set(sent)) == len(embedding.task_ids)
    embedding.annotate(others[:4])
    embedding.learn()
    answer(embedding.deps, embedding.key, CONFIG, [embedding.fake.tasks[others[0]].task.data], 20)
    assert len([text for body in requests(server) for text in body["input"]]) == len(sent)


def test_an_annotator_never_waits_for_the_endpoint(embedding: House, server: LlmServer) -> None:
    labeled, _ = add(embedding)
    embedding.annotate(labeled)
    embedding.learn()
    before = len(requests(server))
    answers = answer(embedding.deps, embedding.key, CONFIG, [{"text": "a radiant film"}], 20)
    assert len(requests(server)) == before
    assert answers.suggestions[0].answers["sentiment"]


def test_a_new_text_is_embedded_for_an_annotator_where_that_takes_milliseconds(
    house: House, server: LlmServer, tmp_path: Path
) -> None:
    class Quick(EndpointEmbedder):
        def quick_characters(self) -> int:
            return 20

    embedder = Quick(server.base_url, "key", "meanings", takes_images=False, timeout_s=20, retries=0)
    store = SqlVectors(Sql(f"sqlite:///{tmp_path}/db.sqlite3"))
    house.deps = replace(house.deps, embeddings=EmbeddingPorts(embedder, store, str))
    (tmp_path / "rules" / "film.py").unlink()
    labeled, _ = add(house)
    house.annotate(labeled)
    house.learn()
    before = len(requests(server))
    for word, label in (("radiant", "Positive"), ("dismal", "Negative")):
        found = answer(house.deps, house.key, CONFIG, [{"text": word}, {"text": f"{word} and much longer"}], 20)
        assert found.suggestions[0].answers["sentiment"] == (label,)
    assert [body["input"] for body in requests(server)[before:]] == [["radiant"], ["dismal"]]


def test_new_tasks_are_embedded_before_they_are_suggested(embedding: House) -> None:
    labeled, _ = add(embedding)
    embedding.annotate(labeled)
    embedding.learn()
    embedding.label_studio.add_tasks(embedding.project, [{"text": "radiant", "n": 0}, {"text": "dismal", "n": 1}])
    embedding.reconcile()
    assert right(embedding, embedding.task_ids[-2:]) == 1


def test_training_goes_on_when_the_endpoint_refuses_and_the_version_says_why(
    embedding: House, server: LlmServer
) -> None:
    server.embedding_faults.extend([BAD_KEY] * 10)
    labeled, others = add(embedding)
    embedding.annotate(labeled)
    embedding.learn()
    assert all(embedding.shown(task_id) for task_id in others)
    assert "401" in metrics(embedding)["problem"]
    server.embedding_faults.clear()
    embedding.learn()
    assert metrics(embedding)["problem"] == ""
    assert right(embedding, others) > 0.9


def test_another_embedding_model_is_news(embedding: House, server: LlmServer, tmp_path: Path) -> None:
    embedding.annotate(embedding.task_ids[:12])
    embedding.learn()
    embedding.reconcile()
    asked = len(embedding.queue.requests)
    use(embedding, server, tmp_path, "other meanings")
    embedding.reconcile()
    assert len(embedding.queue.requests) > asked


def test_nothing_leaves_a_project_that_forbids_it(embedding: House, server: LlmServer) -> None:
    embedding.llm_policy = replace(embedding.llm_policy, forbidden=True)
    add(embedding)
    embedding.learn()
    assert requests(server) == []


def test_what_is_masked_for_an_llm_is_masked_here_too(embedding: House, server: LlmServer) -> None:
    embedding.llm_policy = replace(embedding.llm_policy, masks=("radiant",))
    add(embedding)
    embedding.learn()
    assert requests(server)
    assert "radiant" not in json.dumps(requests(server))
    assert "[masked]" in json.dumps(requests(server))


def test_images_are_learned_from_by_embedding(house: House, server: LlmServer, tmp_path: Path) -> None:
    use(house, server, tmp_path, images=True)
    house.project = house.label_studio.add_project(IMAGES, [])
    house.key = f"{house.project}.1767225600-aaaaaaaa"
    labeled, others = add(house, field="image", ending=".png")
    house.annotate(labeled)
    house.learn()
    assert right(house, others) > 0.9
    assert {"image": f"data:{house.fake.tasks[labeled[0]].task.data['image']}"} in requests(server)[0]["input"]


def test_the_search_for_wrong_labels_knows_meanings_and_asks_for_none(embedding: House, server: LlmServer) -> None:
    labeled, others = add(embedding)
    wrong = (others[3], others[8])
    # Of the words of the others only one task each is labeled: what is wrong with it, meaning alone tells.
    embedding.annotate([*labeled, *others[:4], others[8]], wrong=wrong)
    embedding.learn()
    asked = len(requests(server))
    check(embedding.deps, embedding.key, nothing)
    tagged = {item.task_id for item in embedding.deps.database.suspects(embedding.key)}
    assert tagged >= set(wrong)
    assert len(requests(server)) == asked
    embedding.deps = replace(embedding.deps, embeddings=None)
    check(embedding.deps, embedding.key, nothing)


def test_images_of_the_same_meaning_are_near_duplicates(house: House, server: LlmServer, tmp_path: Path) -> None:
    use(house, server, tmp_path, images=True)
    house.project = house.label_studio.add_project(IMAGES, [])
    house.key = f"{house.project}.1767225600-aaaaaaaa"
    rows: list[dict[str, object]] = [{"image": f"{'ab'[number % 2]}{number}.png", "n": number} for number in range(40)]
    turns = np.random.default_rng(0).normal(0, 1, (40, 200))
    turns[7] = turns[5]
    server.embed = lambda text: turns[int(text.removeprefix("data:")[1:-4])].tolist()
    house.label_studio.add_tasks(house.project, rows)
    house.annotate(house.task_ids[:30])
    house.learn()
    check(house.deps, house.key, nothing)
    listed = house.deps.database.check_report(house.key).data_issues.listed
    pair = {house.task_ids[5], house.task_ids[7]}
    assert {item.task for item in listed if "duplicate" in item.kind} == pair


def test_a_vector_that_is_none_is_set_aside_and_said(house: House, server: LlmServer, tmp_path: Path) -> None:
    use(house, server, tmp_path)
    config = house.deps.parse_label_config(CONFIG)
    server.embed = lambda text: [float("nan") if "bad" in text else 1.0, 2.0]
    data = [{"text": "good"}, {"text": "bad"}, {"text": "fine"}]
    found = vectors_of(house.deps, house.key, Contents(house.deps, house.key, config, data), nothing)
    assert found is not None
    assert np.isnan(found.rows).all(axis=1).tolist() == [False, True, False]
    assert "1 of 3 tasks" in found.problem
