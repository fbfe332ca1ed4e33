"""The protocol, request by request, with a real Redis and database behind it."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from backend.adapters.redis.queue import DUE, request_member
from backend.adapters.rules.tried import TriedRules
from backend.adapters.sql.label_studios import mark_of_address
from backend.bootstrap import App, webhook_secret
from backend.entrypoints.web.app import create_app
from backend.ports import FORCED, Job, ProjectRecord, VersionStatus
from backend.settings import Settings

URL = "http://localhost:1"
UID = "7.1767225600"
PROJECT = {"id": 7, "title": "x", "created_at": "2026-01-01T00:00:00.000000Z", "label_config": "<View/>"}
KEY = f"{UID}-{mark_of_address(URL)}"
CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="sentiment" toName="text"><Choice value="Positive"/><Choice value="Negative"/></Choices>
<Choices name="topics" toName="text" choice="multiple"><Choice value="plot"/><Choice value="cast"/></Choices>
<Rating name="stars" toName="text" maxRating="3"/>
<Taxonomy name="kind" toName="text"><Choice value="Film"><Choice value="Drama"/></Choice></Taxonomy>
<Labels name="entities" toName="text"><Label value="PER"/></Labels></View>"""
RULES = '''
from backend.domain.rules import labeling_function

@labeling_function(question="sentiment", labels=["Positive"])
def praises(task):
    """good"""
    return "Positive" if "good" in (task.text or "") else None

@labeling_function(question="topics", labels=["plot", "cast"])
def names_topics(task):
    """plot, cast"""
    return [topic for topic in ("plot", "cast") if topic in (task.text or "")]

@labeling_function(question="stars")
def stars(task):
    """stars"""
    return "3" if "good" in (task.text or "") else None

@labeling_function(question="kind")
def drama(task):
    """drama"""
    return "Film / Drama" if "drama" in (task.text or "") else None

@labeling_function(question="sentiment")
def broken(task):
    """raises"""
    return "Positive" if task.rating / 0 else None
'''
EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("ANNOTATION_CREATED", {"annotation": {"id": 1, "result": []}, "task": {"id": 1}}),
    ("ANNOTATIONS_CREATED", {"annotation": [{"id": 1}], "task": [{"id": 1}]}),
    ("ANNOTATION_UPDATED", {"annotation": {"id": 1}, "task": {"id": 1}}),
    ("ANNOTATIONS_DELETED", {"annotations": [{"id": 1}]}),
    ("TASKS_CREATED", {"tasks": [{"id": 1}]}),
    ("TASKS_DELETED", {"tasks": [{"id": 1}]}),
    ("PROJECT_UPDATED", {}),
]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a worker leaves in MODEL_DIR once it has tried the rules out."""
    folder = tmp_path_factory.mktemp("tried")
    (folder / "rules").mkdir()
    (folder / "rules" / "film.py").write_text(RULES)
    TriedRules(folder / "rules", folder / "store").try_out([])
    return folder / "store"


def settings(folder: Path, redis_url: str, rules: Path, tried: Path, **more: str) -> Settings:
    (rules / "film.py").write_text(RULES)
    shutil.copytree(tried, folder / "models" / "rules", dirs_exist_ok=True)
    values = {
        "MODEL_DIR": str(folder / "models"),
        "REDIS_URL": redis_url,
        "LABEL_STUDIO_URL": URL,
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "LF_RULES_DIR": str(rules),
        "AUDIT_SHARE": "0",
    }
    return Settings.model_validate(values | more)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    return folder


@pytest.fixture
def web(tmp_path: Path, clean_redis_url: str, rules: Path, tried: Path) -> Iterator[TestClient]:
    with TestClient(create_app(settings(tmp_path, clean_redis_url, rules, tried)), "http://localhost") as client:
        yield client


@pytest.fixture
def locked(tmp_path: Path, clean_redis_url: str, rules: Path, tried: Path) -> Iterator[TestClient]:
    """The same with basic auth."""
    auth = {"BASIC_AUTH_USER": "team", "BASIC_AUTH_PASS": "hunter2"}
    with TestClient(
        create_app(settings(tmp_path, clean_redis_url, rules, tried, **auth)), "http://localhost"
    ) as client:
        yield client


def due(redis_url: str) -> dict[str, float]:
    """What was asked for -> in how many seconds."""
    found = cast("list[tuple[bytes, float]]", Redis.from_url(redis_url).zrange(DUE, 0, -1, withscores=True))
    return {member.decode(): score - time.time() for member, score in found}


def predict(client: TestClient, texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tasks = [{"id": place, "data": data, "annotations": [], "predictions": []} for place, data in enumerate(texts)]
    params = {"login": None, "password": None, "context": None}
    body = {"tasks": tasks, "project": UID, "label_config": CONFIG, "params": params}
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_says_up(web: TestClient, path: str) -> None:
    assert web.get(path).json()["status"] == "UP"


def test_setup_answers_the_version_that_predict_answers(web: TestClient) -> None:
    body = {"project": UID, "schema": CONFIG, "hostname": "http://x", "access_token": "t", "extra_params": None}
    version = web.post("/setup", json=body).json()["model_version"]
    assert version == "v0"
    assert predict(web, [{"text": "good"}])[0]["model_version"] == version


def test_setup_of_a_new_project_asks_for_a_look_at_it(web: TestClient, clean_redis_url: str) -> None:
    web.post("/setup", json={"project": UID, "schema": CONFIG})
    assert set(due(clean_redis_url)) == {request_member(Job.RECONCILE, KEY)}


def test_health_and_setup_answer_while_redis_database_and_label_studio_are_away(
    tmp_path: Path, rules: Path, tried: Path
) -> None:
    database = {"DATABASE_URL": "postgresql://x:y@127.0.0.1:1/none"}
    away = settings(tmp_path, f"unix://{tmp_path}/none.sock", rules, tried, **database)
    client = TestClient(create_app(away), "http://localhost", raise_server_exceptions=False)
    with client:
        assert client.get("/health").status_code == 200
        started = time.monotonic()
        answer = client.post("/setup", json={"project": UID, "schema": CONFIG})
        assert (answer.status_code, answer.json()) == (200, {"model_version": "v0"})
        assert time.monotonic() - started < 3


def test_events_are_taken_while_another_process_keeps_the_database_locked(
    tmp_path: Path, clean_redis_url: str, rules: Path, tried: Path
) -> None:
    on_sqlite = settings(tmp_path, clean_redis_url, rules, tried)
    api = create_app(on_sqlite)
    with sqlite3.connect(on_sqlite.model_dir / "prelabel.sqlite3", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with TestClient(api, "http://localhost") as client, ThreadPoolExecutor() as pool:
            try:
                bodies = [{"action": action, "project": PROJECT} for action in ("TASKS_CREATED", "START_TRAINING")]
                asked = [pool.submit(client.post, "/webhook", json=body) for body in bodies]
                asked += [pool.submit(client.get, "/health")]
                suggested = pool.submit(predict, client, [{"text": "good"}])
                # It waits thirty seconds for the lock if it waits at all.
                for answer in asked:
                    answer.result(timeout=15)
                suggested.result(timeout=15)
            finally:
                other.execute("ROLLBACK")
    assert set(due(clean_redis_url)) == {request_member(Job.RECONCILE, KEY), request_member(Job.TRAIN, KEY, FORCED)}


def test_a_label_studio_that_moved_is_known_from_the_first_request_on(
    tmp_path: Path, clean_redis_url: str, rules: Path, tried: Path
) -> None:
    api = create_app(settings(tmp_path, clean_redis_url, rules, tried))
    app: App = api.state.app
    app.mark.settle("0a0a0a0a")
    with TestClient(api, "http://localhost") as client:
        client.post("/setup", json={"project": UID, "schema": CONFIG})
    assert set(due(clean_redis_url)) == {request_member(Job.RECONCILE, f"{UID}-0a0a0a0a")}


def test_predict_answers_every_kind_of_question_in_order(web: TestClient) -> None:
    first, second, third = predict(web, [{"text": "good plot and cast, a drama"}, {}, {"text": "cast"}])
    assert [(item["from_name"], item["to_name"], item["type"], item["value"]) for item in first["result"]] == [
        ("sentiment", "text", "choices", {"choices": ["Positive"]}),
        ("topics", "text", "choices", {"choices": ["plot", "cast"]}),
        ("stars", "text", "rating", {"rating": 3}),
        ("kind", "text", "taxonomy", {"taxonomy": [["Film", "Drama"]]}),
    ]
    assert (second["result"], second["score"]) == ([], 0)
    assert [item["from_name"] for item in third["result"]] == ["topics"]
    assert all(0 <= item["score"] <= 1 for item in (first, second, third))


def test_predict_withholds_what_it_thinks_of_audit_tasks_that_want_a_label(
    tmp_path: Path, clean_redis_url: str, rules: Path, tried: Path
) -> None:
    tasks = [{"id": 1, "data": {"text": "good"}, "is_labeled": done} for done in (False, True)]
    body = {"tasks": tasks, "project": UID, "label_config": CONFIG}
    with TestClient(
        create_app(settings(tmp_path, clean_redis_url, rules, tried, AUDIT_SHARE="1")), "http://localhost"
    ) as client:
        withheld, answered = client.post("/predict", json=body).json()["results"]
    assert (withheld["result"], withheld["score"]) == ([], 0.0)
    assert answered["result"]


def test_predict_gives_one_result_for_each_task(web: TestClient) -> None:
    assert predict(web, []) == []
    assert len(predict(web, [{"text": "good"}] * 257)) == 257


def test_predict_never_waits_longer_than_its_deadline(
    tmp_path: Path, clean_redis_url: str, rules: Path, tried: Path
) -> None:
    with TestClient(
        create_app(settings(tmp_path, clean_redis_url, rules, tried, PREDICT_DEADLINE_S="1")), "http://localhost"
    ) as client:
        # A rule that got slow only after it was tried out.
        (in_use,) = (tmp_path / "models" / "rules").glob("*/film.py")
        in_use.write_text(RULES.replace('"""good"""', "import time; time.sleep(30)"))
        started = time.monotonic()
        results = predict(client, [{"text": "good"}] * 3)
        assert time.monotonic() - started < 10
        assert [item["result"] for item in results] == [[], [], []]


def test_a_rule_that_raises_is_counted(web: TestClient) -> None:
    predict(web, [{"text": "good", "rating": 3}, {"text": "good", "rating": 1}])
    assert 'prelabel_rule_faults_total{rule="broken"} 2.0' in web.get("/metrics").text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tasks": [], "project": "../../etc", "label_config": CONFIG},
        {"tasks": [], "project": "7", "label_config": CONFIG},
        {"tasks": "none", "project": UID, "label_config": CONFIG},
        {"tasks": [{"data": []}], "project": UID, "label_config": CONFIG},
        {"tasks": [], "project": UID, "label_config": "<View>"},
    ],
)
def test_bad_input_is_explained(web: TestClient, body: dict[str, Any]) -> None:
    answer = web.post("/predict", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(("action", "payload"), EVENTS)
def test_every_event_asks_for_one_look(
    web: TestClient, clean_redis_url: str, action: str, payload: dict[str, Any]
) -> None:
    for _ in range(3):
        answer = web.post("/webhook", json={"action": action, "project": PROJECT, **payload})
        assert answer.status_code == 201
    assert set(due(clean_redis_url)) == {request_member(Job.RECONCILE, KEY)}
    assert due(clean_redis_url)[request_member(Job.RECONCILE, KEY)] < 2


def test_an_event_without_payload_asks_for_a_look_at_all_projects(web: TestClient, clean_redis_url: str) -> None:
    answer = web.post("/webhook", json={"action": "ANNOTATION_CREATED"})
    assert answer.status_code == 201
    assert set(due(clean_redis_url)) == {request_member(Job.RECONCILE, "all")}


def test_events_of_other_kinds_are_ignored(web: TestClient, clean_redis_url: str) -> None:
    answer = web.post("/webhook", json={"action": "REVIEW_CREATED", "project": PROJECT})
    assert (answer.status_code, answer.json()) == (201, {"status": "ignored"})
    assert not due(clean_redis_url)


def test_an_event_without_a_usable_project_is_explained(web: TestClient) -> None:
    for project in ({"id": 7}, {"created_at": "x"}, "7", "7.x", "../7.1", "7.1\n", "7." + "9" * 6000):
        answer = web.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": project})
        assert answer.status_code == 422
        assert "project" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/webhook", {"action": "START_TRAINING", "project": PROJECT}),
        ("/train", {"action": "START_TRAINING", "project": PROJECT}),
        ("/train", {"project": UID, "annotations": [], "label_config": CONFIG}),
    ],
)
def test_start_training_is_due_at_once_and_can_be_asked_about(
    web: TestClient, clean_redis_url: str, path: str, body: dict[str, Any]
) -> None:
    answer = web.post(path, json=body)
    assert answer.status_code == 201
    assert due(clean_redis_url)[request_member(Job.TRAIN, KEY, FORCED)] <= 0
    assert web.post("/job_status", json={"job": answer.json()["job"]}).json() == {"job_status": "queued"}


def test_a_job_nobody_knows_is_gone(web: TestClient) -> None:
    for job in ("nonsense", f"check:{KEY}"):
        assert web.post("/job_status", json={"job": job}).status_code == 410


def test_versions_of_nothing_are_none(web: TestClient) -> None:
    assert web.get("/versions").json() == {"versions": []}
    assert web.get("/versions", params={"project": UID}).json() == {"versions": []}


def test_versions_of_several_projects_are_never_mixed(web: TestClient) -> None:
    database = web.app.state.app.database  # type: ignore[attr-defined]
    for key, status in ((KEY, VersionStatus.LIVE), (f"8.1-{mark_of_address(URL)}", VersionStatus.LIVE)):
        database.save_project(ProjectRecord(key, 7))
        database.save_version(replace(database.new_version(key, above=4), status=status))
        database.new_version(key)  # still in training
    assert web.get("/versions").status_code == 404
    assert web.get("/versions", params={"project": UID}).json() == {"versions": ["v5"]}


def test_metrics_are_served_while_a_version_cant_be_read(web: TestClient, tmp_path: Path) -> None:
    web.app.state.app.database.save_project(ProjectRecord(KEY, 7))  # type: ignore[attr-defined]
    settings = web.app.state.app.settings  # type: ignore[attr-defined]
    (settings.model_dir / "projects" / KEY / "current").mkdir(parents=True)
    answer = web.get("/metrics")
    assert answer.status_code == 200
    assert f'prelabel_version{{project="{KEY}"}} NaN' in answer.text


def test_a_task_whose_data_is_null_is_answered(web: TestClient) -> None:
    body = {"tasks": [{"id": 1, "data": None}], "project": UID, "label_config": CONFIG}
    answer = web.post("/predict", json=body)
    assert (answer.status_code, len(answer.json()["results"])) == (200, 1)


def test_the_openapi_page_lists_the_protocol(web: TestClient) -> None:
    assert {"/", "/health", "/setup", "/predict", "/webhook", "/train", "/versions", "/job_status", "/metrics"} <= set(
        web.get("/openapi.json").json()["paths"]
    )
    assert web.get("/docs").status_code == 200


def test_basic_auth_guards_all_but_health(locked: TestClient) -> None:
    assert locked.get("/health").status_code == 200
    for method, path in (("GET", "/metrics"), ("GET", "/versions"), ("POST", "/setup"), ("POST", "/predict")):
        assert locked.request(method, path, json={}).status_code == 401
        assert locked.request(method, path, json={}, auth=("team", "wrong")).status_code == 401
    body = {"project": UID, "schema": CONFIG}
    assert locked.post("/setup", json=body, auth=("team", "hunter2")).status_code == 200


def test_webhooks_carry_the_secret_and_start_training_basic_auth(locked: TestClient, tmp_path: Path) -> None:
    event = {"action": "ANNOTATION_CREATED", "project": PROJECT}
    secret = webhook_secret(tmp_path / "models")
    assert locked.post("/webhook", json=event).status_code == 401
    assert locked.post("/webhook", json=event, headers={"X-Webhook-Secret": "guess"}).status_code == 401
    assert locked.post("/webhook", json=event, headers={"X-Webhook-Secret": secret}).status_code == 201
    training = {"action": "START_TRAINING", "project": PROJECT}
    assert locked.post("/webhook", json=training, auth=("team", "hunter2")).status_code == 201


def test_a_wrong_secret_is_refused_even_without_basic_auth(web: TestClient) -> None:
    event = {"action": "ANNOTATION_CREATED", "project": PROJECT}
    assert web.post("/webhook", json=event, headers={"X-Webhook-Secret": "guess"}).status_code == 401


def test_secrets_stay_out_of_reprs(tmp_path: Path, clean_redis_url: str, rules: Path, tried: Path) -> None:
    shown = repr(settings(tmp_path, clean_redis_url, rules, tried, BASIC_AUTH_USER="team", BASIC_AUTH_PASS="hunter2"))
    assert "hunter2" not in shown
    assert "0" * 40 not in shown


def test_a_project_is_bound_to_its_rules_by_its_extra_parameters(
    tmp_path: Path, clean_redis_url: str, rules: Path, tried: Path
) -> None:
    own = settings(tmp_path, clean_redis_url, rules, tried)
    (own.model_dir / "projects" / KEY).mkdir(parents=True)
    (rules / "others").mkdir()
    (rules / "others" / "never.py").write_text(RULES.replace('"good" in', '"awful" in'))
    with TestClient(create_app(own), "http://localhost") as client:
        client.app.state.app.rules.try_out([])  # type: ignore[attr-defined]
        for text in ("awful", "good"):
            for params in ('{"rules": "others"}', '{"rules": "../x"}', "not json", '{"colour": "red"}'):
                body = {"project": UID, "schema": CONFIG, "extra_params": params}
                assert client.post("/setup", json=body).status_code == 200
            (result,) = predict(client, [{"text": text, "rating": 1}])
            sentiment = [item for item in result["result"] if item["from_name"] == "sentiment"]
            assert bool(sentiment) is (text == "awful")
        (own.model_dir / "projects" / KEY / "settings.json").unlink()
        (result,) = predict(client, [{"text": "good", "rating": 1}])
        assert "sentiment" not in {item["from_name"] for item in result["result"]}, "the database has them, too"
        client.post("/setup", json={"project": UID, "schema": CONFIG})
        (result,) = predict(client, [{"text": "good", "rating": 1}])
        assert "sentiment" in {item["from_name"] for item in result["result"]}
