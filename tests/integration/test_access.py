"""Nobody gets in without the credentials, and nobody can send more than fits."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from backend.adapters.redis.queue import DUE
from backend.bootstrap import same_secret, webhook_secret
from backend.entrypoints.run.processes import answers
from backend.entrypoints.web.app import create_app
from backend.errors import ConfigurationError
from backend.settings import Settings
from tests.canary import server
from tests.conftest import free_port, wait_for

AUTH = {"BASIC_AUTH_USER": "team", "BASIC_AUTH_PASS": "hunter2"}
UID = "7.1767225600"
CONFIG = """<View><Text name="text" value="$text"/><Image name="image" value="$image"/>
<Choices name="sentiment" toName="text"><Choice value="Positive"/><Choice value="Negative"/></Choices></View>"""


def client(folder: Path, **more: str) -> TestClient:
    """A web service without Redis: what is refused never gets so far."""
    values = {
        "MODEL_DIR": str(folder / "models"),
        "REDIS_URL": f"unix://{folder}/none.sock",
        "LABEL_STUDIO_URL": "http://127.0.0.1:1",
        "LF_RULES_DIR": str(folder),
    }
    made = TestClient(
        create_app(Settings.model_validate(values | more)), "http://localhost", raise_server_exceptions=False
    )
    made.__enter__()
    return made


def routes(web: TestClient) -> list[tuple[str, str]]:
    paths = web.get("/openapi.json", auth=("team", "hunter2")).json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_every_route_wants_credentials_also_those_of_the_pages_and_of_no_page(tmp_path: Path) -> None:
    web = client(tmp_path, HEALTH_AUTH="true", **AUTH)
    found = routes(web)
    assert len(found) >= 9
    others = [("GET", "/docs"), ("GET", "/redoc"), ("GET", "/openapi.json"), ("GET", "/nothing"), ("OPTIONS", "/setup")]
    for method, path in found + others:
        assert web.request(method, path, json={}).status_code == 401, (method, path)
        for wrong in (("team", "wrong"), ("other", "hunter2"), ("", ""), ("team", "hunter2 ")):
            assert web.request(method, path, json={}, auth=wrong).status_code == 401, (method, path, wrong)
        assert web.request(method, path, json={}, auth=("team", "hunter2")).status_code != 401, (method, path)


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic dGVhbQ==", "Bearer dGVhbTpodW50ZXIy", "Basic /w=="])
def test_a_header_that_is_no_basic_auth_is_refused(tmp_path: Path, header: str) -> None:
    assert client(tmp_path, **AUTH).get("/versions", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize("health", [True, False])
@pytest.mark.parametrize("metrics", [True, False])
def test_health_and_metrics_are_opened_each_for_itself(tmp_path: Path, health: bool, metrics: bool) -> None:
    web = client(tmp_path, HEALTH_AUTH=str(health), METRICS_AUTH=str(metrics), **AUTH)
    assert web.get("/health").status_code == (401 if health else 200)
    assert (web.get("/metrics").status_code == 401) is metrics
    assert web.get("/versions").status_code == 401


def test_a_body_is_not_read_before_its_sender_is_known(tmp_path: Path) -> None:
    web = client(tmp_path, MAX_BODY_MB="1", **AUTH)
    assert web.post("/predict", content=b"x" * 3_000_000).status_code == 401
    assert web.post("/webhook", content=b"{", headers={"X-Webhook-Secret": "guess"}).status_code == 401
    secret = webhook_secret(tmp_path / "models")
    assert web.post("/webhook", content=b"{", headers={"X-Webhook-Secret": secret}).status_code == 422
    # The webhook's secret opens nothing else.
    assert web.post("/predict", json={}, headers={"X-Webhook-Secret": secret}).status_code == 401


@pytest.mark.parametrize("credentials", [{}, AUTH])
def test_without_credentials_only_this_machine_gets_through_and_the_log_says_why(
    tmp_path: Path, credentials: dict[str, str]
) -> None:
    outside = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    if not outside:
        pytest.skip("this machine has no other address than its own")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BASIC_AUTH")}
    own = {"BIND_HOST": "0.0.0.0", "PORT": str(port), "MODEL_DIR": str(tmp_path), "LABEL_STUDIO_URL": "http://x"}
    command = [sys.executable, "-m", "backend.entrypoints.cli.main", "web"]
    web = subprocess.Popen(command, env=environment | own | credentials, stderr=subprocess.PIPE, text=True)

    try:
        here = f"http://127.0.0.1:{port}/health"
        wait_for(lambda: web.poll() is not None or answers(here), 120, "the web service")
        assert answers(f"http://{outside[0]}:{port}/health") is bool(credentials)
    finally:
        web.terminate()
        said = web.communicate(timeout=60)[1]
    assert ("no credentials are set" in said) is not bool(credentials)
    assert "hunter2" not in said


def predict(tasks: list[dict[str, Any]], config: str = CONFIG) -> dict[str, Any]:
    return {"tasks": tasks, "project": UID, "label_config": config}


def test_a_body_that_is_too_large_is_refused_in_words_also_without_its_length(tmp_path: Path) -> None:
    web = client(tmp_path, MAX_BODY_MB="1")
    body = json.dumps(predict([{"id": 1, "data": {"text": "x" * 1_500_000}}])).encode()
    for content in (body, (body[start : start + 10_000] for start in range(0, len(body), 10_000))):
        answer = web.post("/predict", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert "MAX_BODY_MB" in answer.json()["detail"]


def test_too_many_tasks_are_refused_in_words(tmp_path: Path) -> None:
    web = client(tmp_path, MAX_TASKS_PER_REQUEST="10")
    tasks = [{"id": number, "data": {"text": "x"}} for number in range(11)]
    answer = web.post("/predict", json=predict(tasks))
    assert answer.status_code == 413
    assert "at most 10 at a time" in answer.json()["detail"]
    assert web.post("/predict", json=predict(tasks[:10])).status_code == 200


@pytest.mark.parametrize("depth", [70, 900, 100_000])
def test_a_body_that_is_nested_too_deeply_is_refused_in_words(tmp_path: Path, depth: int) -> None:
    body = '{"tasks": [{"id": 1, "data": {"text": ' + "[" * depth + "]" * depth + '}}], "project": "7.1"}'
    headers = {"Content-Type": "application/json"}
    for path in ("/predict", "/setup", "/webhook", "/train", "/job_status"):
        answer = client(tmp_path).post(path, content=body, headers=headers)
        assert answer.status_code == 422
        assert "MAX_JSON_DEPTH" in answer.json()["detail"]


def test_a_text_that_is_too_long_is_refused_in_words_and_not_repeated(tmp_path: Path) -> None:
    answer = client(tmp_path, MAX_TEXT_CHARS="1000").post(
        "/predict", json=predict([{"data": {"text": "tortoise" * 200}}])
    )
    assert answer.status_code == 422
    assert "MAX_TEXT_CHARS" in answer.json()["detail"]
    assert "tortoise" not in answer.text


def test_a_label_config_with_too_many_labels_is_refused_in_words(tmp_path: Path) -> None:
    answer = client(tmp_path, MAX_LABELS="1").post("/predict", json=predict([{"data": {"text": "x"}}]))
    assert answer.status_code == 422
    assert "MAX_LABELS" in answer.json()["detail"]


def test_what_is_no_json_is_refused_without_repeating_it(tmp_path: Path) -> None:
    for body in (b"tortoise", b'{"tortoise": ' + b"9" * 5000 + b"}", b"\xff\xfe"):
        answer = client(tmp_path).post("/predict", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert "tortoise" not in answer.text


def test_all_tasks_of_a_real_project_pass_at_once(tmp_path: Path) -> None:
    # As Label Studio's "Retrieve predictions" sends them: with annotations and predictions.
    long = {"text": "a film that nobody should miss " * 15, "image": "/data/upload/1/x.png"}
    old = [{"id": 1, "result": [{"value": {"choices": ["Positive"]}}], "score": 0.5}]
    tasks = [{"id": number, "data": long, "annotations": old, "predictions": old} for number in range(3000)]
    body = predict(tasks)
    assert len(json.dumps(body)) > 1_400_000
    answer = client(tmp_path, PREDICT_DEADLINE_S="120").post("/predict", json=body)
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 3000


def test_no_address_in_a_request_is_asked(tmp_path: Path) -> None:
    with server() as elsewhere:
        web = client(tmp_path)
        setup = {"project": UID, "schema": CONFIG, "hostname": elsewhere.url, "access_token": "t"}
        assert web.post("/setup", json=setup | {"extra_params": {"hostname": elsewhere.url}}).status_code == 200
        for url in (f"{elsewhere.url}/cat.png", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"):
            task = {"id": 1, "data": {"text": url, "image": url}}
            answer = web.post("/predict", json=predict([task]) | {"params": {"context": {"url": url}}})
            assert answer.status_code == 200
            assert "root:" not in answer.text
        config = f'<!DOCTYPE v [<!ENTITY x SYSTEM "{elsewhere.url}">]><View>&x;</View>'
        assert web.post("/predict", json=predict([], config)).status_code == 422
        event = {"action": "ANNOTATION_CREATED", "project": {"id": 7, "url": elsewhere.url}, "url": elsewhere.url}
        web.post("/webhook", json=event)
        time.sleep(0.2)
        assert elsewhere.requests == []


def event(web: TestClient, secret: bytes) -> int:
    # {: without JSON it is refused with 422, but only once its sender is known.
    return web.post("/webhook", content=b"{", headers={b"X-Webhook-Secret": secret}).status_code


@pytest.mark.parametrize("content", [b"", b" \n", b"abc", b"\0" * 43, b"\xff" * 43])
def test_what_is_left_of_a_secret_lets_nobody_in_and_is_an_error_at_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "models" / "webhook-secret"
    web = client(tmp_path, **AUTH)
    path.write_bytes(content)
    for guess in (content, b"", b" "):
        assert event(web, guess.replace(b"\n", b"")) == 401
    for credentials in (AUTH, {}):
        with pytest.raises(ConfigurationError, match=r"webhook-secret.*[Dd]elete it.*doctor PROJECT --fix"):
            client(tmp_path, **credentials)
    path.unlink()
    client(tmp_path, **AUTH)
    assert len(path.read_text()) == 43
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_secret_that_is_replaced_or_taken_away_while_the_service_runs_is_noticed(tmp_path: Path) -> None:
    web, path = client(tmp_path, **AUTH), tmp_path / "models" / "webhook-secret"
    old = path.read_bytes()
    assert event(web, old) == 422
    path.unlink()
    assert event(web, old) == 401
    new = webhook_secret(tmp_path / "models").encode()
    assert (event(web, old), event(web, new)) == (401, 422)
    path.write_bytes(old + b"\n")
    assert (event(web, old), event(web, new)) == (422, 401)


@pytest.mark.parametrize(("left", "right"), [("", ""), (" ", " "), ("\n", "\n"), ("a", ""), ("a", "a ")])
def test_secrets_that_are_empty_or_not_the_same_do_not_match(left: str, right: str) -> None:
    assert not same_secret(left, right)
    assert same_secret("a", "a")


HOSTS = {
    "localhost": True,
    "localhost:9090": True,
    "LocalHost.:9090": True,
    "127.0.0.1:9090": True,
    "[::1]:9090": True,
    "prelabel.example:9090": True,
    "PRELABEL.example": True,
    "evil.example": False,
    "localhost.evil.example": False,
    "localhost@evil.example": False,
    "127.0.0.1.evil.example": False,
    "host.docker.internal:9090": False,
    "192.168.1.5:9090": False,
    "[::1": False,
    "": False,
}


def test_without_credentials_only_our_own_names_are_answered(tmp_path: Path) -> None:
    web = client(tmp_path, BACKEND_URL="http://prelabel.example:9090")
    for host, fine in HOSTS.items():
        for path in ("/health", "/versions", "/docs", "/nothing"):
            answer = web.get(path, headers={"Host": host})
            assert (answer.status_code != 421) is fine, (host, path)
            assert fine or "BACKEND_URL" in answer.json()["detail"]
        assert (web.post("/predict", json=predict([]), headers={"Host": host}).status_code == 200) is fine, host
    named = client(tmp_path / "b", BACKEND_URL="http://host.docker.internal:9090")
    assert named.get("/health", headers={"Host": "host.docker.internal:9090"}).status_code == 200
    locked = client(tmp_path / "c", **AUTH)
    assert locked.get("/versions", auth=("team", "hunter2"), headers={"Host": "evil.example"}).status_code != 421


def test_projects_that_nobody_has_leave_nothing_behind(tmp_path: Path, clean_redis_url: str) -> None:
    web = client(tmp_path, REDIS_URL=clean_redis_url)
    for number in range(3):
        uid = f"{number}.1234567899"
        setup = {"project": uid, "schema": CONFIG, "extra_params": {"top_tasks": 3}}
        assert web.post("/setup", json=setup).status_code == 200
        assert web.post("/predict", json=predict([{"data": {"text": "x"}}]) | {"project": uid}).status_code == 200
        assert web.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": uid}).status_code == 201
        assert web.get(f"/versions?project={uid}").status_code == 200
    assert not (tmp_path / "models" / "projects").exists()
    # Requests, which a job ends, and what Redis forgets by itself.
    redis = Redis.from_url(clean_redis_url)
    assert [name for name in redis.scan_iter() if redis.ttl(name) < 0] == [DUE.encode()]
    assert "1234567899" not in web.get("/metrics").text
