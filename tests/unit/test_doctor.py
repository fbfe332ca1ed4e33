"""Doctor: what it says of the LLM endpoint."""

from types import SimpleNamespace
from typing import cast

from pydantic import SecretStr

from backend.bootstrap import App
from backend.domain.llm.records import ModelPrice
from backend.entrypoints.doctor import _examine_llm
from tests.llm_server import LlmServer


def test_a_password_in_the_endpoints_address_is_not_shown() -> None:
    with LlmServer() as server:
        settings = SimpleNamespace(
            openai_base_url=server.base_url.replace("://", "://me:hidden@"),
            openai_api_key=SecretStr("sk-hidden"),
            llm_models=("m",),
            llm_policy="sample",
        )
        parts = SimpleNamespace(prices=SimpleNamespace(of=lambda _: ModelPrice(0.0, 0.0)))
        app = cast("App", SimpleNamespace(settings=settings, deps=SimpleNamespace(llm=parts)))
        finding = _examine_llm(app)
    assert server.base_url in str(finding)
    assert "hidden" not in str(finding)
