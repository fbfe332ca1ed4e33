"""Doctor: what it says of the LLM endpoint."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import SecretStr

from backend.adapters.embedding.endpoint import EndpointEmbedder
from backend.bootstrap import App
from backend.domain.llm.records import ModelPrice
from backend.domain.policy import LlmPolicy, Policy
from backend.domain.reports.version import ContentFigures, VersionMetrics
from backend.entrypoints.doctor.examine import (
    _examine_backend,
    _examine_connection,
    _examine_content,
    _examine_embeddings,
    _examine_llm,
    _examine_masks,
)
from backend.entrypoints.doctor.finding import Finding
from backend.ports import ProjectInfo
from tests.canary import server
from tests.llm_faults import BAD_KEY
from tests.llm_server import LlmServer
from tests.unit.house import House


def test_a_password_in_the_endpoints_address_is_not_shown() -> None:
    with LlmServer() as server:
        settings = SimpleNamespace(
            openai_base_url=server.base_url.replace("://", "://me:hidden@"),
            openai_api_key=SecretStr("sk-hidden"),
            llm_models=("m",),
            policy=Policy(),
        )
        parts = SimpleNamespace(prices=SimpleNamespace(of=lambda _: ModelPrice(0.0, 0.0)))
        app = cast("App", SimpleNamespace(settings=settings, deps=SimpleNamespace(llm=parts)))
        finding = _examine_llm(app)
    assert server.base_url in str(finding)
    assert "hidden" not in str(finding)


def test_doctor_asks_the_embedding_model() -> None:
    with LlmServer() as server:
        embedder = EndpointEmbedder(server.base_url, "", "small", takes_images=False, timeout_s=20, retries=0)
        parts = SimpleNamespace(embedder=embedder)
        app = cast("App", SimpleNamespace(deps=SimpleNamespace(embeddings=parts)))
        assert _examine_embeddings(app).detail == "small answers with 3 numbers for a text"
        server.embedding_faults.append(BAD_KEY)
        finding = _examine_embeddings(app)
    assert not finding.good
    assert "401" in finding.detail
    assert "EMBEDDING_API_KEY" in finding.fix
    without = cast("App", SimpleNamespace(deps=SimpleNamespace(embeddings=None)))
    assert _examine_embeddings(without).good


def test_doctor_says_of_how_many_tasks_nothing_can_be_read_and_what_is_left_out() -> None:
    def found(n_without_content: int, **left_out: str) -> list[Finding]:
        metrics = VersionMetrics(n_tasks=40, content=ContentFigures(n_without_content, left_out))
        versions = SimpleNamespace(current=lambda _: 3, metrics=lambda *_: metrics)
        app = cast("App", SimpleNamespace(key=str, versions=versions))
        return list(_examine_content(app, cast("ProjectInfo", SimpleNamespace(uid="1.2"))))

    (finding,) = found(40, image="location")
    assert not finding.good
    assert "40 of 40 tasks have nothing that can be read" in finding.detail
    assert "image (only addresses or file names)" in finding.detail
    assert "EMBEDDING_IMAGES" in finding.fix
    (finding,) = found(0, row="order")
    assert finding.good
    assert "row (they number the tasks in their order" in finding.detail


def test_a_backend_that_is_connected_under_a_name_it_does_not_answer_to_is_named() -> None:
    connected = SimpleNamespace(url="http://me.example:9090", error="421")
    label_studio = SimpleNamespace(connections=lambda _: [connected])
    settings = SimpleNamespace(public_url="http://localhost:9090", basic_auth_user="")
    app = cast("App", SimpleNamespace(settings=settings, label_studio=label_studio))
    info = cast("ProjectInfo", SimpleNamespace(id=1))
    finding = _examine_connection(app, info)
    assert not finding.good
    assert "BACKEND_URL=http://me.example:9090" in finding.fix
    settings.basic_auth_user = "team"
    assert "prelabel connect" in _examine_connection(app, info).fix


def test_a_backend_of_our_title_that_is_away_is_named_beside_ours(tmp_path: Path) -> None:
    ours = SimpleNamespace(url="http://localhost:9090", title="Prelabel", error="")
    other = SimpleNamespace(url="http://team-b:9191", title="Prelabel", error="refused")
    listed = [ours, other]
    label_studio = SimpleNamespace(connections=lambda _: listed, webhooks=lambda *_: [])
    settings = SimpleNamespace(public_url=ours.url, basic_auth_user="team", model_dir=tmp_path)
    app = cast("App", SimpleNamespace(settings=settings, label_studio=label_studio))
    finding = _examine_connection(app, cast("ProjectInfo", SimpleNamespace(id=1)))
    assert not finding.good
    assert "can't reach http://team-b:9191" in finding.detail
    assert finding.repair is None, "it may be somebody else's"
    other.error = ""
    assert _examine_connection(app, cast("ProjectInfo", SimpleNamespace(id=1))).good


def test_a_service_that_refuses_the_name_in_backend_url_is_told_apart_from_none() -> None:
    with server(421) as refusing:
        settings = SimpleNamespace(public_url=refusing.url, health_auth=False)
        finding = _examine_backend(cast("App", SimpleNamespace(settings=settings)))
    assert not finding.good
    assert f"BACKEND_URL={refusing.url}" in finding.fix


def test_doctor_names_a_mask_that_takes_too_long(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.domain.llm.content.LIMIT_S", 0.1)
    house.label_studio.add_tasks(house.project, [{"text": "a" * 80 + "b 1"}])
    house.reconcile()
    app = cast("App", SimpleNamespace(deps=house.deps, database=house.deps.database, key=lambda _: house.key))
    for masks, good, said in ((("number",), True, "quick enough"), (("(a|aa)+$",), False, "'(a|aa)+$'")):
        house.llm_policy = LlmPolicy(masks=masks)
        (finding,) = _examine_masks(app, house.fake.info)
        assert finding.good == good
        assert said in finding.detail
    assert "1 of 41 tasks aren't sent" in finding.detail
    assert "llm_masks" in finding.fix
