"""The Embedder port on an endpoint and on what is installed, the VectorStore port on SQLite and Postgres."""

from collections.abc import Iterator

import numpy as np
import pytest

from backend.adapters.embedding import builtin
from backend.adapters.embedding.builtin import BuiltinEmbedder
from backend.adapters.embedding.endpoint import EndpointEmbedder
from backend.adapters.embedding.local import LocalEmbedder
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.vectors import SqlVectors
from backend.errors import LlmRefused, LlmUnavailable
from backend.ports.embeddings import ToEmbed
from tests.conftest import wait_for
from tests.llm_faults import BAD_KEY, GARBAGE, LOADING, Fault
from tests.llm_server import LlmServer

KEY = "sk-secret-embedding-key"
LOADING_SHORTLY = LOADING.with_headers(retry_after="0")


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as running:
        running.embed = lambda text: [float(len(text)), 1.0]
        yield running


def embedder(server: LlmServer, *, images: bool = False, retries: int = 1) -> EndpointEmbedder:
    return EndpointEmbedder(server.base_url, KEY, "small", takes_images=images, timeout_s=20, retries=retries)


def test_vectors_come_in_the_order_of_the_contents(server: LlmServer) -> None:
    vectors = embedder(server).embed([ToEmbed("a"), ToEmbed("four"), ToEmbed("to")])
    assert vectors.tolist() == [[1, 1], [4, 1], [2, 1]]
    assert server.seen[0].body["model"] == "small"


def test_a_task_with_text_and_images_gets_the_mean_of_their_vectors(server: LlmServer) -> None:
    vectors = embedder(server, images=True).embed([ToEmbed("four", ("data:x",)), ToEmbed("", ("data:12345",))])
    assert vectors.tolist() == [[5, 1], [10, 1]]
    assert server.seen[0].body["input"] == [{"image": "data:x"}, {"text": "four"}, {"image": "data:12345"}]


def test_an_endpoint_that_comes_back_is_asked_again(server: LlmServer) -> None:
    server.embedding_faults.append(LOADING_SHORTLY)
    assert embedder(server).embed([ToEmbed("a")]).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (BAD_KEY, LlmRefused, "OPENAI_API_KEY"),
        (LOADING_SHORTLY, LlmUnavailable, "503"),
        (GARBAGE, LlmRefused, "embedding model"),
        (Fault(200, {"data": [{"index": 0, "embedding": []}]}), LlmRefused, "embedding model"),
        (Fault(200, {"data": [{"index": 0, "embedding": [1.0]}] * 2}), LlmRefused, "embedding model"),
    ],
)
def test_a_fault_says_what_to_do_and_holds_no_secret(
    server: LlmServer, fault: Fault, error: type[Exception], says: str
) -> None:
    server.embedding_faults.extend([fault] * 2)
    with pytest.raises(error, match=says) as failure:
        embedder(server).embed([ToEmbed("what the task says")])
    assert KEY not in repr(failure.value)
    assert "what the task says" not in repr(failure.value)
    assert failure.value.__context__ is None


def test_an_endpoint_that_is_off_is_named(server: LlmServer) -> None:
    gone = EndpointEmbedder("http://127.0.0.1:9", KEY, "small", takes_images=False, timeout_s=5, retries=0)
    with pytest.raises(LlmUnavailable, match=r"127\.0\.0\.1:9"):
        gone.embed([ToEmbed("a")])


def test_a_local_model_without_its_library_says_what_to_install() -> None:
    try:
        import sentence_transformers  # noqa: F401
    except ImportError:
        with pytest.raises(LlmRefused, match="pip install sentence-transformers"):
            LocalEmbedder("small", takes_images=False).embed([ToEmbed("a")])
    else:
        with pytest.raises(LlmRefused, match="EMBEDDING_MODEL"):
            LocalEmbedder("/no/such/model", takes_images=False).embed([ToEmbed("a")])


def test_kept_vectors_are_those_of_their_model(database_url: str, key: str) -> None:
    store = SqlVectors(Sql(database_url))
    store.save_vectors(key, {"a": np.array([0.25, -1.5], dtype=np.float32), "b": np.array([3.0], dtype=np.float32)})
    store.save_vectors(key, {"b": np.array([4.0], dtype=np.float32)})
    found = store.vectors(key, {"a", "b", "c"})
    assert {name: vector.tolist() for name, vector in found.items()} == {"a": [0.25, -1.5], "b": [4.0]}
    assert store.vectors(f"{key} other", {"a"}) == {}


def test_texts_that_mean_the_same_are_near_in_any_of_its_languages() -> None:
    said = [
        "The music of this film is beautiful.",
        "Die Musik dieses Films ist wunderschön.",
        "La musique de ce film est magnifique.",
        "My parcel has not arrived yet.",
        "Mein Paket ist noch nicht angekommen.",
        "Mon colis n'est pas encore arrivé.",
    ]
    vectors = BuiltinEmbedder().embed([ToEmbed(text) for text in said])
    assert vectors.shape == (6, 512)
    near = vectors @ vectors.T
    same = [near[one, other] for one in range(6) for other in range(one) if one // 3 == other // 3]
    others = [near[one, other] for one in range(3) for other in range(3, 6)]
    assert min(same) > max(others) + 0.2


def test_odd_texts_have_finite_vectors_and_empty_ones_none() -> None:
    vectors = BuiltinEmbedder().embed([ToEmbed("\ud800 half a character"), ToEmbed("\0" * 50), ToEmbed("")])
    assert np.isfinite(vectors[:2]).all()
    assert np.isnan(vectors[2]).all()


def test_other_weights_than_those_it_was_made_with_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(builtin.FILES, "sp.model", "0" * 64)
    embedder = BuiltinEmbedder()
    with pytest.raises(LlmRefused, match=r"sp\.model isn't the one"):
        embedder.embed([ToEmbed("a")])
    assert embedder.quick_characters() == 0


def test_a_text_is_quick_once_the_model_is_loaded_and_measured() -> None:
    embedder = BuiltinEmbedder()
    assert embedder.quick_characters() == 0
    wait_for(embedder.quick_characters, 60, "the model")
    assert embedder.quick_characters() > 10
