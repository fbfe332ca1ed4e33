"""What an operator sees: figures of all processes, readiness with reasons, and log lines that can be followed."""

import json
import multiprocessing
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from backend.adapters.redis.figures import Figures
from backend.adapters.redis.queue import RedisQueue
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.label_studios import mark_of_address
from backend.bootstrap import App, build
from backend.domain.tasks import Annotation, MirroredTask, Origin, Task
from backend.entrypoints.doctor.examine import examine
from backend.entrypoints.jobs import counted
from backend.entrypoints.web.app import create_app
from backend.errors import WrongDatabase
from backend.ports import Hold, Job, ProjectRecord, VersionStatus
from backend.settings import Settings
from tests.frozen.names import NAMES

URL = "http://127.0.0.1:1"
UID = "7.1767225600"
KEY = f"{UID}-{mark_of_address(URL)}"
OTHERS = f"{UID}-{mark_of_address('http://elsewhere:8080')}"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def web(tmp_path: Path, clean_redis_url: str) -> Iterator[TestClient]:
    values = {
        "MODEL_DIR": str(tmp_path / "models"),
        "REDIS_URL": clean_redis_url,
        "LABEL_STUDIO_URL": URL,
        "LF_RULES_DIR": str(tmp_path),
        "LLM_MODEL": "m",
    }
    with TestClient(create_app(Settings.model_validate(values)), "http://localhost") as client:
        yield client


def app_of(web: TestClient) -> App:
    found: App = web.app.state.app  # type: ignore[attr-defined]
    return found


def figures(web: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = web.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def note(number: int, origin: Origin | None) -> MirroredTask:
    origins = {} if origin is None else {"q": origin}
    annotation = Annotation(number, number, 1, {"q": ("A",)}, False, "2026-01-02", origins)
    return MirroredTask(Task(number, {"text": "x"}, is_open=False, updated_at="2026-01-02"), (annotation,))


def count_jobs(redis_url: str) -> None:
    counter = Figures(RedisQueue(redis_url, 60).redis)
    for _ in range(50):
        counter.count("jobs", job="train", outcome="done")
        counter.time("job", 2.0, job="train")


def test_what_several_workers_count_adds_up_in_the_web_service(web: TestClient, clean_redis_url: str) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=count_jobs, args=(clean_redis_url,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = figures(web)
    assert found["prelabel_jobs_total", (("job", "train"), ("outcome", "done"))] == 150
    assert found["prelabel_job_seconds_sum", (("job", "train"),)] == 300
    assert found["prelabel_job_seconds_bucket", (("job", "train"), ("le", "1.0"))] == 0
    assert found["prelabel_job_seconds_bucket", (("job", "train"), ("le", "5.0"))] == 150
    assert found["prelabel_job_seconds_count", (("job", "train"),)] == 150


def test_dashboards_of_before_find_their_figures(web: TestClient) -> None:
    families = {family.name for family in text_string_to_metric_families(web.get("/metrics").text)}
    assert set(NAMES["prometheus"]) <= families


def test_jobs_are_counted_by_their_outcome(web: TestClient) -> None:
    app = app_of(web)
    app.database.save_project(ProjectRecord(KEY, 7))
    with counted(app, Job.TRAIN, KEY, is_regular=False):
        pass
    with pytest.raises(RuntimeError, match="broken"), counted(app, Job.CHECK, KEY, is_regular=False):
        raise RuntimeError("broken")
    found = figures(web)
    assert found["prelabel_jobs_total", (("job", "train"), ("outcome", "done"))] == 1
    assert found["prelabel_jobs_total", (("job", "check"), ("outcome", "failed"))] == 1
    assert ("prelabel_training_seconds", (("project", KEY),)) in found


def test_annotations_that_no_event_told_of_are_counted(web: TestClient) -> None:
    app = app_of(web)
    for regular, n in ((True, 2), (False, 4), (True, 7), (True, 7)):
        with counted(app, Job.RECONCILE, KEY, is_regular=regular):
            app.database.save_tasks(KEY, [note(number, None) for number in range(n)])
    # The first look finds everything; an event's own finds what it told of.
    assert figures(web)["prelabel_reconcile_drift_total", (("project", KEY),)] == 3


def test_a_job_that_cant_be_counted_is_done_all_the_same(tmp_path: Path, web: TestClient) -> None:
    values = {"MODEL_DIR": str(tmp_path), "REDIS_URL": f"unix://{tmp_path}/none.sock", "LABEL_STUDIO_URL": URL}
    away = TestClient(create_app(Settings.model_validate(values)), "http://localhost")
    with counted(app_of(away), Job.TRAIN, KEY, is_regular=False):
        pass


def test_the_state_of_projects_is_shown(web: TestClient) -> None:
    app = app_of(web)
    app.database.save_project(ProjectRecord(KEY, 7))
    origins = [Origin.ACCEPTED, Origin.ACCEPTED, Origin.CHANGED, None]
    app.database.save_tasks(KEY, [note(number, origin) for number, origin in enumerate(origins)])
    app.database.new_version(KEY)
    found = figures(web)
    project = ("project", KEY)
    assert found["prelabel_tasks", (project,)] == 4
    assert found["prelabel_versions", (project, ("status", VersionStatus.TRAINING.value))] == 1
    assert found["prelabel_shown_suggestions", (("outcome", "accepted"), project, ("question", "q"))] == 2
    assert found["prelabel_shown_suggestions", (("outcome", "changed"), project, ("question", "q"))] == 1
    assert found["prelabel_llm_spent_usd", (project,)] == 0
    assert found["prelabel_llm_budget_usd", (project,)] == 1


def test_projects_of_another_label_studio_are_not_counted(web: TestClient) -> None:
    app = app_of(web)
    for key in (KEY, OTHERS):
        app.database.save_project(ProjectRecord(key, 7))
        app.database.new_version(key)
        app.database.save_hold(key, Hold(1, 0.0))
    found = figures(web)
    assert ("prelabel_tasks", (("project", KEY),)) in found
    assert not any(OTHERS in dict(labels).values() for _, labels in found)


def test_labels_that_wait_while_a_project_is_held_are_counted_without_reading_them(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(web)
    app.database.save_project(ProjectRecord(KEY, 7))
    app.database.save_tasks(KEY, [note(number, None) for number in range(4)])
    version = app.database.new_version(KEY)
    app.database.save_version(replace(version, status=VersionStatus.LIVE, seen_until="2026-01-01", n_labels=1))
    app.database.save_hold(KEY, Hold(1, 0.0))
    monkeypatch.setattr(SqlDatabase, "annotations", lambda *_: pytest.fail("all annotations were read"))
    found = figures(web)
    assert found["prelabel_held_new_labels", (("project", KEY),)] == 5


def test_the_age_of_the_queue_is_that_of_its_oldest_job(web: TestClient) -> None:
    assert figures(web)["prelabel_queue_age_seconds", ()] == 0
    app_of(web).queue.request(Job.TRAIN, KEY, delay_s=-100)
    app_of(web).queue.request(Job.CHECK, KEY, delay_s=100)
    assert 100 <= figures(web)["prelabel_queue_age_seconds", ()] < 300


def test_late_events_are_seen(web: TestClient) -> None:
    event = {"action": "ANNOTATION_UPDATED", "project": UID}
    changed = (datetime.now(UTC) - timedelta(seconds=100)).isoformat().replace("+00:00", "Z")
    for annotation in (
        {"updated_at": changed},
        {"updated_at": "tomorrow"},
        {},
        [1],
        None,
        {"updated_at": "3000-01-01"},
    ):
        assert web.post("/webhook", json=event | {"annotation": annotation}).status_code == 201
    found = figures(web)
    assert found["prelabel_webhook_lag_seconds_count", ()] == 2
    assert found["prelabel_webhook_lag_seconds_bucket", (("le", "60.0"),)] == 1
    assert 100 <= found["prelabel_webhook_lag_seconds_sum", ()] < 300


def test_figures_go_on_while_redis_or_the_database_is_away(tmp_path: Path) -> None:
    values = {
        "MODEL_DIR": str(tmp_path),
        "REDIS_URL": f"unix://{tmp_path}/none.sock",
        "DATABASE_URL": "postgresql://x:hunter2@127.0.0.1:1/none",
    }
    with TestClient(create_app(Settings.model_validate(values)), "http://localhost") as web:
        found = figures(web)
        assert found["prelabel_up", (("part", "redis"),)] == 0
        assert found["prelabel_up", (("part", "database"),)] == 0
        answer = web.get("/ready")
        assert web.get("/health").status_code == 200
    assert answer.status_code == 503
    reasons = answer.json()["reasons"]
    assert [reason.split(" (")[0] for reason in reasons] == ["the database", "Redis"]
    assert "hunter2" not in answer.text
    assert "127.0.0.1" not in answer.text


def test_ready_says_what_is_missing_but_does_not_stop_suggestions(web: TestClient) -> None:
    answer = web.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "READY")
    assert len(answer.json()["warnings"]) == 2
    app_of(web).queue.beat()
    assert web.get("/ready").json()["warnings"] == ["no worker runs: nothing is trained or sent to Label Studio"]


def test_a_request_can_be_followed_from_its_answer_to_its_log_lines(
    web: TestClient, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = {"tasks": [], "project": UID, "label_config": "<View>"}
    assert web.post("/predict", json=bad, headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = web.post("/predict", json=bad, headers={"X-Request-ID": "a b\tc"}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    output = "".join(capfd.readouterr())
    assert "abc-1" in output
    assert made in output


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\bprelabel_\w+", expression))


def expressions() -> list[str]:
    rules = yaml.safe_load((DOCS / "monitoring" / "alerts.yaml").read_text())["groups"][0]["rules"]
    panels = json.loads((DOCS / "monitoring" / "dashboard.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


def test_alerts_and_dashboard_name_only_figures_that_exist(web: TestClient) -> None:
    app = app_of(web)
    app.database.save_project(ProjectRecord(KEY, 7))
    app.database.new_version(KEY)
    for job, n in ((Job.RECONCILE, 1), (Job.RECONCILE, 2), (Job.TRAIN, 2)):
        with counted(app, job, KEY, is_regular=job == Job.RECONCILE):
            app.database.save_tasks(KEY, [note(number, Origin.ACCEPTED) for number in range(n)])
    app.versions.set_current(KEY, 1)
    folder = app.settings.model_dir / "projects" / KEY / "v1"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text('{"rule_faults": {"r": {"count": 3, "first": "x"}}}')
    web.app.state.metrics.faults.labels("r").inc()  # type: ignore[attr-defined]
    web.app.state.metrics.suggested.labels("answer").inc()  # type: ignore[attr-defined]
    web.post("/webhook", json={"action": "ANNOTATION_UPDATED", "project": UID})
    known = {name for name, _ in figures(web)}
    named = set().union(*map(names_in, expressions()))
    assert len(named) > 20
    assert named - known == set()


def test_the_page_on_operations_explains_every_alert_and_every_figure(web: TestClient) -> None:
    page = (DOCS / "operations.md").read_text()
    rules = yaml.safe_load((DOCS / "monitoring" / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules if f"`{rule['alert']}`" not in page] == []
    families = set(re.findall(r"^# HELP (\w+)", web.get("/metrics").text, re.MULTILINE))
    families = {name for name in families if not name.endswith("_created")}
    assert {name for name in families if f"`{name}" not in page} == set()


PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
REQUESTS = 'prelabel_requests_total{method="POST",path="/predict",status="%s"}'
SHOWN = 'prelabel_shown_suggestions{project="p",question="q",outcome="%s"}'
ALERTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "PrelabelDown": ({'up{job="prelabel"}': "0x200"}, {'up{job="prelabel"}': "1x200"}),
    "PrelabelPartAway": ({'prelabel_up{part="redis"}': "0x200"}, {'prelabel_up{part="redis"}': "1x200"}),
    "PrelabelNoWorker": (
        {"prelabel_workers": "2x200", "prelabel_schedulers": "0x200"},
        {"prelabel_workers": "2x200", "prelabel_schedulers": "1x200"},
    ),
    "PrelabelServerErrors": ({REQUESTS % 503: "0+6x200"}, {REQUESTS % 200: "0+600x200", REQUESTS % 503: "0+1x200"}),
    "PrelabelRefusals": ({REQUESTS % 401: "0+20x200"}, {REQUESTS % 401: "0+1x200"}),
    "PrelabelPredictSlow": (
        {
            'prelabel_request_seconds_bucket{path="/predict",le="5"}': "0+9x200",
            'prelabel_request_seconds_bucket{path="/predict",le="10"}': "0+10x200",
            'prelabel_request_seconds_bucket{path="/predict",le="+Inf"}': "0+10x200",
        },
        {
            'prelabel_request_seconds_bucket{path="/predict",le="5"}': "0+10x200",
            'prelabel_request_seconds_bucket{path="/predict",le="+Inf"}': "0+10x200",
        },
    ),
    "PrelabelQueueStuck": ({"prelabel_queue_age_seconds": "0+60x200"}, {"prelabel_queue_age_seconds": "90x200"}),
    "PrelabelJobsFail": (
        {'prelabel_jobs_total{job="train",outcome="failed"}': "0+1x200"},
        {'prelabel_jobs_total{job="train",outcome="done"}': "0+9x200"},
    ),
    "PrelabelTrainingSlow": (
        {'prelabel_training_seconds{project="p"}': "2000x200"},
        {'prelabel_training_seconds{project="p"}': "60x200"},
    ),
    "PrelabelVersionUnreadable": (
        {'prelabel_version{project="p"}': "NaN " * 200},
        {'prelabel_version{project="p"}': "3x200"},
    ),
    "PrelabelWebhooksLate": (
        {
            'prelabel_webhook_lag_seconds_bucket{le="60"}': "0+1x200",
            'prelabel_webhook_lag_seconds_bucket{le="600"}': "0+10x200",
            'prelabel_webhook_lag_seconds_bucket{le="+Inf"}': "0+10x200",
        },
        {
            'prelabel_webhook_lag_seconds_bucket{le="60"}': "0+10x200",
            'prelabel_webhook_lag_seconds_bucket{le="+Inf"}': "0+10x200",
        },
    ),
    "PrelabelWebhooksLost": (
        {'prelabel_reconcile_drift_total{project="p"}': "0+1x200"},
        {'prelabel_reconcile_drift_total{project="p"}': "7x200"},
    ),
    "PrelabelSuggestionsRejected": (
        {SHOWN % "accepted": "50x200", SHOWN % "changed": "150x200"},
        {SHOWN % "accepted": "5x200", SHOWN % "changed": "15x200"},
    ),
    "PrelabelRuleFaults": (
        {'prelabel_rule_faults_total{rule="r"}': "0+10x200"},
        {'prelabel_rule_faults_total{rule="r"}': "0+1x200"},
    ),
    "PrelabelRulesSetAside": ({"prelabel_rules_set_aside": "1x200"}, {"prelabel_rules_set_aside": "0x200"}),
    "PrelabelBudgetNearlySpent": (
        {'prelabel_llm_spent_usd{project="p"}': "0+1x200", 'prelabel_llm_budget_usd{project="p"}': "100x200"},
        {
            'prelabel_llm_spent_usd{project="p"}': "80x200",
            'prelabel_llm_budget_usd{project="p"}': "100x200",
            'prelabel_llm_spent_usd{project="without a budget"}': "80x200",
            'prelabel_llm_budget_usd{project="without a budget"}': "0x200",
        },
    ),
}
"""Figures minute by minute under which an alert fires after three hours, and figures under which it doesn't."""


@needs_promtool
def test_promtool_accepts_the_alerts() -> None:
    subprocess.run([str(PROMTOOL), "check", "rules", str(DOCS / "monitoring" / "alerts.yaml")], check=True)


@needs_promtool
def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    rules = DOCS / "monitoring" / "alerts.yaml"
    assert ALERTS.keys() == {rule["alert"] for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]}
    tests = [
        {
            "name": f"{alert}: {'fires' if fires else 'does not fire'}",
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                    "eval_time": "3h",
                    "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                }
            ],
        }
        for alert, both in ALERTS.items()
        for series, fires in zip(both, (True, False), strict=True)
    ]
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(file)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_reads_the_figures(web: TestClient) -> None:
    text = web.get("/metrics").text
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], check=False, capture_output=True, text=True, input=text)
    assert done.returncode == 0, done.stderr


def test_a_database_that_was_deleted_or_replaced_makes_it_unready(web: TestClient, tmp_path: Path) -> None:
    app = app_of(web)
    app.database.save_project(ProjectRecord(KEY, 1))
    assert web.get("/ready").status_code == 200
    folder = tmp_path / "models"
    for path in folder.glob("prelabel.sqlite3*"):
        path.unlink()
    answer = web.get("/ready")
    assert answer.status_code == 503
    said = "the database (DATABASE_URL) isn't the one of this installation: see `prelabel doctor`"
    assert answer.json()["reasons"] == [said]
    found = next(item for item in examine(app, None) if item.name == "Database")
    assert not found.good
    assert "was deleted or replaced while it was in use" in found.detail
    assert f"delete the file {folder / 'installation'}" in found.detail
    # A process that starts now makes no new one either.
    with pytest.raises(WrongDatabase, match="there is no file"):
        build(app.settings).database.projects()
    assert not list(folder.glob("prelabel.sqlite3*"))
