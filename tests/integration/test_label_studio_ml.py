"""The plug-in, through label-studio-ml's own server (1.0.9) and through the 2.x interface."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import structlog
from label_studio_ml.api import init_app

from backend.adapters.redis.queue import DUE, RedisQueue, request_member
from backend.adapters.rules.tried import TriedRules
from backend.adapters.sql.label_studios import mark_of_address
from backend.entrypoints import label_studio_ml as plugin
from backend.entrypoints.label_studio_ml import PrelabelModel
from backend.errors import BadRequest
from backend.ports import FORCED, Job, ProjectRecord
from backend.settings import Settings

URL = "http://localhost:1"
KEY = f"7.1767225600-{mark_of_address(URL)}"
CONFIG = """<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text">
<Choice value="Positive"/><Choice value="Negative"/><Choice value="Neutral"/></Choices></View>"""
TASKS = [
    {"id": 1, "project": 7, "data": {"text": "Wonderful, moving, brilliant film.", "rating": 9.1}},
    {"id": 2, "project": 7, "data": {}},
    {"id": 3, "project": 7, "data": {"text": "Boring and badly acted.", "rating": 2.0}},
]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped rules, tried out."""
    store = tmp_path_factory.mktemp("tried") / "rules"
    TriedRules(Settings().lf_rules_dir, store).try_out([])
    return store


@pytest.fixture
def queue(clean_redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: Path) -> RedisQueue:
    """The plug-in's surroundings: settings in the environment, and a project that was seen before."""
    for name, value in {
        "MODEL_DIR": str(tmp_path),
        "REDIS_URL": clean_redis_url,
        "LABEL_STUDIO_URL": URL,
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "AUDIT_SHARE": "0",
    }.items():
        monkeypatch.setenv(name, value)
    plugin._app.cache_clear()
    plugin._app().database.save_project(ProjectRecord(KEY, 7))
    shutil.copytree(tried, tmp_path / "rules")
    return RedisQueue(clean_redis_url, 60)


def requests(queue: RedisQueue) -> set[str]:
    return {str(member, "utf-8") for member in queue.redis.zrange(DUE, 0, -1) if isinstance(member, bytes)}


def check_predictions(found: list[dict[str, Any]]) -> None:
    labels = [[label for item in entry["result"] for label in item["value"]["choices"]] for entry in found]
    assert labels == [["Positive"], [], ["Negative"]]
    assert [entry["model_version"] for entry in found] == ["v0"] * 3
    assert found[1]["score"] == 0.0


def test_label_studio_mls_own_server_serves_it(queue: RedisQueue, tmp_path: Path) -> None:
    server = init_app(PrelabelModel, model_dir=str(tmp_path / "ml"))
    client = server.test_client()
    uid = "7.1767225600"
    assert client.get("/health").json["status"] == "UP"
    setup = {"project": uid, "schema": CONFIG, "hostname": "", "access_token": ""}
    assert client.post("/setup", json=setup).status_code == 200
    body = {"tasks": TASKS, "project": uid, "label_config": CONFIG, "params": {"context": None}}
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    check_predictions(answer.json["results"])


def test_events_of_the_old_server_reach_our_workers(queue: RedisQueue) -> None:
    model = PrelabelModel(label_config=CONFIG, train_output={})
    data = {"action": "ANNOTATION_CREATED", "project": {"id": 7}}
    output = model.process_event("ANNOTATION_CREATED", data, "1", {"workdir": "/tmp"})
    assert requests(queue) == {request_member(Job.RECONCILE, KEY)}
    assert json.dumps(output), "the old server stores it as JSON"
    assert model.fit((), event="ANNOTATION_CREATED", data=data) == {"job": f"reconcile:{KEY}"}
    assert queue.request_status(Job.RECONCILE, KEY) == "queued"


class TwoX(PrelabelModel):
    """The plug-in as 2.x builds it: with a project's uid, without train_output."""

    def __init__(self, project_id: str, label_config: str) -> None:
        self.project_id = project_id
        self.label_config = label_config


def test_the_2x_interface_predicts_with_a_context(queue: RedisQueue) -> None:
    model = TwoX("7.1767225600", CONFIG)
    without_project = [{"id": task["id"], "data": task["data"]} for task in TASKS]
    check_predictions(model.predict(without_project, {"result": []}))


def test_the_2x_interface_fits_on_start_training(queue: RedisQueue) -> None:
    model = TwoX("7.1767225600", CONFIG)
    said = model.fit("START_TRAINING", {"action": "START_TRAINING", "project": {"id": 7}})
    assert said == {"job": f"train:{KEY}"}
    assert requests(queue) == {request_member(Job.TRAIN, KEY, FORCED)}


def test_its_log_lines_show_no_secrets(
    queue: RedisQueue, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "sesame-open-0123456789"
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", secret)
    plugin._app.cache_clear()
    TwoX("7.1767225600", CONFIG).predict(TASKS)
    structlog.get_logger().warning("Label Studio refused", error=f"Token {secret}")
    said = "".join(capfd.readouterr())
    assert "Label Studio refused" in said
    assert secret not in said


def test_an_event_without_a_project_is_explained(queue: RedisQueue) -> None:
    with pytest.raises(BadRequest, match=r"project\.id"):
        TwoX("7.1767225600", CONFIG).fit("START_TRAINING", {})


def test_what_it_thinks_of_an_audit_task_is_withheld(queue: RedisQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_SHARE", "1")
    plugin._app.cache_clear()
    done = [task | {"is_labeled": True} for task in TASKS]
    found = TwoX("7.1767225600", CONFIG).predict([*TASKS, *done])
    assert [entry["result"] for entry in found[:3]] == [[], [], []]
    check_predictions(found[3:])
