"""A real Label Studio that is reached by another address, and a backend that gets another one."""

from pathlib import Path

from backend.bootstrap import App, build, webhook_secret
from backend.entrypoints.connect import TITLE, former_addresses, register, repair_webhook
from backend.entrypoints.doctor.examine import examine
from backend.ports import ProjectInfo, ProjectRecord
from backend.settings import Settings
from tests.conftest import Demo, free_port

CONFIG = """<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text">
<Choice value="Positive"/><Choice value="Negative"/></Choices></View>"""


def app_on(demo: Demo, folder: Path, **settings: str) -> App:
    """An installation of its own on the demo's Label Studio."""
    own = {"model_dir": str(folder), "redis_url": demo.redis_url, "label_studio_api_key": demo.state["api_key"]}
    named = {name.upper(): value for name, value in (own | settings).items()}
    return build(Settings.model_validate({"LABEL_STUDIO_URL": demo.url, "BACKEND_URL": demo.backend_url} | named))


def test_state_stays_with_a_label_studio_that_gets_another_address(demo: Demo, tmp_path: Path) -> None:
    project, _ = demo.new_project(CONFIG, [{"text": "one"}])
    before = app_on(demo, tmp_path)
    info = before.label_studio.project(project)
    before.database.save_project(ProjectRecord(before.key(info.uid), project, title=info.title))
    before.settle_mark()

    moved = app_on(demo, tmp_path, label_studio_url=demo.url.replace("localhost", "127.0.0.1"))
    assert moved.label_studio.url != before.label_studio.url
    # What the web service asks for before a worker has looked is put right by the worker.
    early = moved.key(info.uid)
    moved.settle_mark()
    assert moved.key(info.uid) == before.key(info.uid) == moved.own_key(early)
    assert [item.project_id for item in moved.projects()] == [project]
    (said,) = [finding.detail for finding in examine(moved, None) if finding.name == "State of this Label Studio"]
    assert demo.url in said


def test_another_label_studio_begins_with_nothing(demo: Demo, tmp_path: Path) -> None:
    project, _ = demo.new_project(CONFIG, [{"text": "one"}])
    other = app_on(demo, tmp_path, label_studio_url=f"http://localhost:{free_port()}")
    other.settle_mark()
    # It had a project of this number, made at another time.
    other.database.save_project(ProjectRecord(other.key(f"{project}.1"), project, title="Another"))
    ours = app_on(demo, tmp_path)
    ours.settle_mark()
    assert ours.projects() == []
    assert ours.key(f"{project}.1") != other.key(f"{project}.1")


def test_a_backend_that_gets_another_address_is_connected_once(demo: Demo, tmp_path: Path) -> None:
    project, _ = demo.new_project(CONFIG, [{"text": "one"}])
    before = app_on(demo, tmp_path)
    info = before.label_studio.project(project)
    connect(before, info)
    moved_url = demo.backend_url.replace("localhost", "127.0.0.1")
    moved = app_on(demo, tmp_path, backend_url=moved_url)
    assert former_addresses(moved, info) == [demo.backend_url]

    # As somebody left it who connected the new address by hand.
    moved.label_studio.connect(project, moved_url, "By hand", None)
    (found,) = [item for item in examine(moved, project) if item.name == "Label Studio reaches the backend"]
    assert not found.good
    assert demo.backend_url in found.detail
    assert found.repair is not None
    found.repair()
    (connection,) = moved.label_studio.connections(project)
    assert (connection.url, connection.title, connection.error) == (moved_url, TITLE, "")
    (webhook,) = moved.label_studio.webhooks(project, webhook_secret(tmp_path))
    assert webhook.url == f"{moved_url}/webhook"
    assert webhook.is_active
    assert webhook.has_secret
    assert former_addresses(moved, info) == []


def connect(app: App, info: ProjectInfo) -> None:
    register(app, info)
    repair_webhook(app, info)
