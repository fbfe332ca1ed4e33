"""Servers whose certificate nobody trusts: the error names the setting, and with it they answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from backend.adapters.embedding.endpoint import EndpointEmbedder
from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.llm.endpoint import OpenAiEndpoint
from backend.adapters.rules.models import HttpModel
from backend.errors import LabelStudioError, LlmRefused, RuleError
from backend.ports.embeddings import ToEmbed
from backend.settings import Settings
from tests.canary import Asked, server
from tests.llm_fakes import MemoryOfEndpoints
from tests.llm_team import request

KEY = "1234567890abcdef1234567890abcdef12345678"
CERTIFICATE = Path(__file__).parents[1] / "self_signed.pem"
SAID = "certificate that isn't trusted.*self-signed.*SSL_CERT_FILE"


@pytest.fixture
def https(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        # Set first, so that it is put back whatever the test leaves there.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with server(certificate=CERTIFICATE) as found:
        yield found


def test_a_certificate_that_nobody_trusts_is_named_with_the_setting(https: Asked) -> None:
    with pytest.raises(LabelStudioError, match=SAID):
        LabelStudioApi(https.url, KEY).set_webhook(1, None, "", "")
    with pytest.raises(LlmRefused, match=f"LLM endpoint.*{SAID}"):
        OpenAiEndpoint(f"{https.url}/v1", "sk-1", MemoryOfEndpoints()).ask([request()], lambda *_: None)
    embedder = EndpointEmbedder(f"{https.url}/v1", "", "m", takes_images=False, timeout_s=5, retries=0)
    with pytest.raises(LlmRefused, match=f"embedding endpoint.*{SAID}"):
        embedder.embed([ToEmbed("a word")])
    with pytest.raises(RuleError, match=SAID):
        list(HttpModel(https.url, 5).predict([{}]))
    assert https.requests == []


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_file_that_people_have_is_trusted(https: Asked, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, str(CERTIFICATE))
    Settings().trust_certificates()
    LabelStudioApi(https.url, KEY).update_project(1, {})
    assert https.requests


def test_http_behind_https_is_told_apart() -> None:
    with server() as plain, pytest.raises(LabelStudioError, match="http:// instead of https://"):
        LabelStudioApi(plain.url.replace("http:", "https:"), KEY).set_webhook(1, None, "", "")


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "empty.pem", tmp_path / "missing.pem"):
        with pytest.raises(ValidationError, match="no file with certificates"):
            Settings.model_validate({"SSL_CERT_FILE": str(path)})
