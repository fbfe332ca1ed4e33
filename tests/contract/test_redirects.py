"""A Label Studio or LLM endpoint that sends us elsewhere is not followed: our keys are for the configured addresses."""

import pytest

from backend.adapters.embedding.endpoint import EndpointEmbedder
from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.adapters.media import Images
from backend.errors import BadRequest, LabelStudioError, LlmRefused
from backend.ports.embeddings import ToEmbed
from tests.canary import server
from tests.llm_fakes import MemoryOfEndpoints
from tests.llm_team import request

KEY = "1234567890abcdef1234567890abcdef12345678"
PERSONAL = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6NDA3MDkwODgwMH0."
    "c2lnbmF0dXJlLW9mLWEtdGVzdC10b2tlbi1vbmx5LWhlcmU"
)
STATUSES = [301, 302, 303, 307, 308]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("key", [KEY, PERSONAL])
def test_label_studio_is_not_followed_to_another_address(status: int, key: str) -> None:
    with server() as elsewhere, server(status, f"{elsewhere.url}/stolen?signed=secret") as studio:
        api = LabelStudioApi(studio.url, key)
        for call in (api.whoami, lambda: api.update_project(1, {}), lambda: api.remove_version(1, "v1")):
            with pytest.raises(LabelStudioError) as caught:
                call()
            assert "signed" not in str(caught.value)
        assert studio.requests
        assert elsewhere.requests == []


@pytest.mark.parametrize("status", STATUSES)
def test_an_llm_is_not_followed_to_another_address(status: int) -> None:
    with server() as elsewhere, server(status, f"{elsewhere.url}/v1/chat/completions") as llm:
        endpoint = OpenAiEndpoint(f"{llm.url}/v1", "sk-secret", MemoryOfEndpoints())
        with pytest.raises(LlmRefused, match="OPENAI_BASE_URL"):
            endpoint.ask([request()], lambda *_: None)
        assert len(llm.requests) == 1
        assert elsewhere.requests == []


@pytest.mark.parametrize("status", [302, 307])
def test_an_embedding_endpoint_is_not_followed_to_another_address(status: int) -> None:
    with server() as elsewhere, server(status, f"{elsewhere.url}/v1/embeddings") as endpoint:
        embedder = EndpointEmbedder(f"{endpoint.url}/v1", "sk-secret", "m", takes_images=False, timeout_s=20)
        with pytest.raises(LlmRefused, match="final address"):
            embedder.embed([ToEmbed("tortoise")])
        assert endpoint.requests
        assert elsewhere.requests == []


def test_an_image_in_a_cloud_storage_is_left_to_the_llm_and_not_fetched() -> None:
    with server() as storage, server(302, f"{storage.url}/cat.png?signed=1") as studio:
        images = Images(studio.url, LabelStudioApi(studio.url, KEY).download)
        assert images("/tasks/1/resolve/?fileuri=czM6Ly94") == f"{storage.url}/cat.png?signed=1"
        assert storage.requests == []


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "http://root:secret@127.0.0.1/", "/user/login/"],
)
def test_an_image_that_label_studio_sends_to_something_else_is_refused(target: str) -> None:
    with server(302, target) as studio:
        images = Images(studio.url, LabelStudioApi(studio.url, KEY).download)
        with pytest.raises(BadRequest) as caught:
            images("/data/upload/1/cat.png")
        assert "secret" not in str(caught.value)
        assert len(studio.requests) == 1


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/x.png", "http://[::1]:6379/", "https://x.example/a"],
)
def test_images_of_other_addresses_are_never_fetched_by_us(url: str) -> None:
    def fetch(path: str, _: int) -> tuple[bytes, str]:
        raise AssertionError(path)

    assert Images("http://127.0.0.1:1", fetch)(url) == url
