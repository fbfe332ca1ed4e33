"""The LabelStudio port on the fake and on a real Label Studio."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.label_studio.config import parse_label_config
from backend.adapters.media import Images
from backend.domain.suggestions import Suggestion
from backend.errors import ConfigurationError, LabelStudioAuthError, LabelStudioError
from backend.ports import LabelStudio, Prediction, Tab
from backend.workflows.check.data_issues import DATA_TAB
from backend.workflows.check.tags import ISSUE_KEY, NAMES
from tests.conftest import Demo, free_port
from tests.fakes import FakeLabelStudio

CONFIG = """<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text">
<Choice value="Positive"/><Choice value="Negative"/></Choices></View>"""
QUESTIONS = parse_label_config(CONFIG).questions


@dataclass
class Subject:
    """A Label Studio with one project, and what a person can do in it."""

    api: LabelStudio
    project: int
    task_ids: list[int]
    demo: Demo | None = None
    fake: FakeLabelStudio | None = None

    def annotate(self, task_id: int, label: str, lead_time_s: float | None = None) -> None:
        if self.fake:
            self.fake.annotate(self.project, task_id, {"sentiment": (label,)}, lead_time_s=lead_time_s)
            return
        assert self.demo is not None
        result = [{"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
        with self.demo.api as api:
            body = {"result": result} | ({} if lead_time_s is None else {"lead_time": lead_time_s})
            api.post(f"/api/tasks/{task_id}/annotations/", json=body).raise_for_status()

    def delete(self, task_id: int) -> None:
        if self.fake:
            self.fake.delete_task(self.project, task_id)
            return
        assert self.demo is not None
        with self.demo.api as api:
            api.delete(f"/api/tasks/{task_id}/").raise_for_status()


@pytest.fixture(params=["fake", "real"])
def subject(request: pytest.FixtureRequest) -> Subject:
    data: list[dict[str, object]] = [{"text": f"Text {number}", "nested": {"a": [1]}} for number in range(6)]
    if request.param == "fake":
        fake = FakeLabelStudio()
        project = fake.add_project(CONFIG, data)
        return Subject(fake, project, sorted(fake.fakes[project].tasks), fake=fake)
    demo: Demo = request.getfixturevalue("demo")
    project, task_ids = demo.new_project(CONFIG, data)
    return Subject(LabelStudioApi(demo.url, demo.state["api_key"]), project, task_ids, demo=demo)


def prediction(task_id: int, label: str = "Positive") -> Prediction:
    return Prediction(task_id, Suggestion({"sentiment": (label,)}, 0.75, {"sentiment": 0.75}, {}), 0.75)


def test_people_are_known_by_their_e_mail_addresses(subject: Subject) -> None:
    names = subject.api.people()
    assert all("@" in name for name in names.values())
    subject.annotate(subject.task_ids[0], "Positive")
    (page,) = subject.api.tasks(subject.project)
    (who,) = [entry.annotator_id for item in page for entry in item.annotations]
    assert who in names


def test_a_project_is_described(subject: Subject) -> None:
    info = subject.api.project(subject.project)
    assert info.n_tasks == 6
    assert info.uid.split(".")[0] == str(subject.project)
    assert (info.model_version, info.shows_predictions, info.sampling) == ("", True, "Sequential sampling")


def test_a_project_that_isnt_there_is_an_error(subject: Subject) -> None:
    with pytest.raises(LabelStudioError) as caught:
        subject.api.project(987654)
    assert caught.value.status == 404


def test_all_tasks_come_with_their_annotations(subject: Subject) -> None:
    subject.annotate(subject.task_ids[0], "Negative")
    found = {item.task.id: item for page in subject.api.tasks(subject.project) for item in page}
    assert set(found) == set(subject.task_ids) == subject.api.task_ids(subject.project)
    first, second = found[subject.task_ids[0]], found[subject.task_ids[1]]
    assert first.task.data == {"text": "Text 0", "nested": {"a": [1]}}
    assert first.annotations[0].answers == {"sentiment": ("Negative",)}
    assert first.annotations[0].teaches
    assert not first.task.is_open
    assert second.task.is_open
    assert second.annotations == ()


def test_only_what_changed_comes_afterwards(subject: Subject) -> None:
    newest = max(item.task.updated_at for page in subject.api.tasks(subject.project) for item in page)
    assert list(subject.api.tasks(subject.project, newest)) == []
    subject.annotate(subject.task_ids[3], "Positive")
    changed = [item.task.id for page in subject.api.tasks(subject.project, newest) for item in page]
    assert changed == [subject.task_ids[3]]


def test_the_newest_change_is_that_of_the_task_that_changed_last(subject: Subject) -> None:
    known = [item.task for page in subject.api.tasks(subject.project) for item in page]
    assert subject.api.newest_change(subject.project) == max(task.updated_at for task in known)
    subject.annotate(subject.task_ids[1], "Positive")
    newest = subject.api.newest_change(subject.project)
    (changed,) = (item.task for page in subject.api.tasks(subject.project) for item in page if item.annotations)
    assert newest == changed.updated_at


def test_a_version_must_exist_before_it_can_be_shown(subject: Subject) -> None:
    with pytest.raises(LabelStudioError) as caught:
        subject.api.update_project(subject.project, {"model_version": "v1"})
    assert caught.value.status == 400
    subject.api.push_one("v1", prediction(subject.task_ids[0]), QUESTIONS)
    subject.api.update_project(subject.project, {"model_version": "v1", "show_collab_predictions": True})
    assert subject.api.project(subject.project).model_version == "v1"


def test_predictions_are_counted_and_found_by_their_exact_version(subject: Subject) -> None:
    ids = subject.task_ids
    subject.api.push_one("v1", prediction(ids[0]), QUESTIONS)
    assert subject.api.push_all(subject.project, "v10", [prediction(task_id) for task_id in ids[1:4]], QUESTIONS) == 3
    assert subject.api.versions(subject.project) == {"v1": 1, "v10": 3}
    assert subject.api.predicted_tasks(subject.project, "v1") == {ids[0]}
    assert subject.api.predicted_tasks(subject.project, "v10") == set(ids[1:4])
    assert subject.api.predicted_tasks(subject.project, "v10", {ids[0], ids[1], ids[3]}) == {ids[1], ids[3]}
    assert subject.api.predicted_tasks(subject.project, "v10", set()) == set()


def test_what_doesnt_fit_the_config_is_sorted_out_before_label_studio_drops_it(subject: Subject) -> None:
    good, bad = prediction(subject.task_ids[0]), prediction(subject.task_ids[1], label="Gone")
    assert subject.api.acceptable(CONFIG, [good, bad], QUESTIONS) == [good]
    assert subject.api.push_all(subject.project, "v1", [good, bad], QUESTIONS) == 1


def test_a_deleted_task_spoils_the_whole_request(subject: Subject) -> None:
    subject.delete(subject.task_ids[0])
    with pytest.raises(LabelStudioError) as caught:
        subject.api.push_all(subject.project, "v1", [prediction(task_id) for task_id in subject.task_ids], QUESTIONS)
    assert caught.value.status == 400
    with pytest.raises(LabelStudioError) as caught:
        subject.api.push_one("v1", prediction(subject.task_ids[0]), QUESTIONS)
    assert caught.value.status in {400, 404}


def test_a_version_is_removed_and_the_others_stay(subject: Subject) -> None:
    for version in ("v1", "v2"):
        subject.api.push_all(subject.project, version, [prediction(subject.task_ids[0])], QUESTIONS)
    assert subject.api.remove_version(subject.project, "v1") == 1
    assert subject.api.versions(subject.project) == {"v2": 1}


def test_nothing_to_push_is_no_request(subject: Subject) -> None:
    assert subject.api.push_all(subject.project, "v1", [], QUESTIONS) == 0


def test_a_tag_touches_nothing_else(subject: Subject) -> None:
    subject.api.tag(subject.project, "prelabel_quality", 0.25, subject.task_ids[:2])
    subject.api.tag(subject.project, "prelabel_check", "suspect", [])
    data = {item.task.id: item.task.data for page in subject.api.tasks(subject.project) for item in page}
    assert data[subject.task_ids[0]] == {"text": "Text 0", "nested": {"a": [1]}, "prelabel_quality": 0.25}
    assert data[subject.task_ids[2]] == {"text": "Text 2", "nested": {"a": [1]}}


def test_an_annotation_says_how_long_its_form_was_open(subject: Subject) -> None:
    first, second, *_ = subject.task_ids
    subject.annotate(first, "Positive", 2.5)
    subject.annotate(second, "Positive")
    found = {item.task.id: item.annotations for page in subject.api.tasks(subject.project) for item in page}
    assert [entry.lead_time_s for entry in (*found[first], *found[second])] == [2.5, None]


def test_tasks_are_found_by_a_tag_and_its_text_may_be_emptied(subject: Subject) -> None:
    first, second, third, fourth = subject.task_ids[:4]
    assert subject.api.tagged(subject.project, "prelabel_check", "keep") == set()
    subject.api.tag(subject.project, "prelabel_check", "keep", [first])
    subject.api.tag(subject.project, "prelabel_check", "keeper", [second])
    subject.api.tag(subject.project, "prelabel_check", "Keep", [third])
    subject.api.tag(subject.project, "prelabel_check", " KEEP ", [fourth])
    assert subject.api.tagged(subject.project, "prelabel_check", "keep") == {first, third, fourth}
    subject.api.tag(subject.project, "prelabel_check", "", [first, third, fourth])
    assert subject.api.tagged(subject.project, "prelabel_check", "keep") == set()
    data = {item.task.id: item.task.data for page in subject.api.tasks(subject.project) for item in page}
    assert data[first] == {"text": "Text 0", "nested": {"a": [1]}, "prelabel_check": ""}


def test_what_keys_of_ours_say_is_read_whoever_wrote_it(subject: Subject) -> None:
    first, second, third = subject.task_ids[:3]
    assert subject.api.tags(subject.project, NAMES) == {}
    subject.api.tag(subject.project, "prelabel_check", "suspect", [first, second])
    subject.api.tag(subject.project, "prelabel_check", "", [second])
    subject.api.tag(subject.project, "prelabel_quality", 0.0, [third])
    subject.api.tag(subject.project, "prelabel_reason", "two\nlines", [third])
    subject.api.tag(subject.project, "other", "x", [second])
    assert subject.api.tags(subject.project, NAMES) == {
        (first, "prelabel_check"): "suspect",
        (third, "prelabel_quality"): 0.0,
        (third, "prelabel_reason"): "two\nlines",
    }


def test_a_tab_is_made_and_listed(subject: Subject) -> None:
    tab = Tab("Prelabel: next", ("tasks:predictions_score",), (("total_annotations", "equal", "Number", 0),))
    number = subject.api.create_tab(subject.project, tab)
    assert (number, "Prelabel: next") in [(found.id, found.title) for found in subject.api.tabs(subject.project)]


def test_the_tab_of_data_issues_lists_tasks_that_have_one(demo: Demo) -> None:
    project, task_ids = demo.new_project(CONFIG, [{"text": f"Text {number}"} for number in range(5)])
    api = LabelStudioApi(demo.url, demo.state["api_key"])
    for place, text in ((1, "outlier: unlike all other tasks"), (2, ""), (3, "empty: there is nothing to read")):
        api.tag(project, ISSUE_KEY, text, [task_ids[place]])
    number = api.create_tab(project, DATA_TAB)
    with demo.api as client:
        found = client.get("/api/tasks", params={"view": number, "project": project}).json()
    assert [item["id"] for item in found["tasks"]] == [task_ids[3], task_ids[1]]


def test_a_webhook_gets_our_secret(subject: Subject) -> None:
    subject.api.set_webhook(subject.project, None, "http://localhost:1/webhook", "one")
    (hook,) = subject.api.webhooks(subject.project, "one")
    assert (hook.url, hook.has_secret, hook.is_active, hook.sends_everything) == (
        "http://localhost:1/webhook",
        True,
        True,
        True,
    )
    subject.api.set_webhook(subject.project, hook.id, hook.url, "two")
    assert [hook.has_secret for hook in subject.api.webhooks(subject.project, "one")] == [False]


# What only the real one can show


def test_a_refused_key_is_explained_without_showing_it(demo: Demo) -> None:
    for key in ("0" * 40, demo.state["api_key"][:-4] + "abcd"):
        with pytest.raises(LabelStudioAuthError, match="LABEL_STUDIO_API_KEY") as caught:
            LabelStudioApi(demo.url, key).whoami()
        assert key not in str(caught.value)


def test_an_expired_looking_or_empty_key_is_explained(demo: Demo) -> None:
    with pytest.raises(ConfigurationError, match="LABEL_STUDIO_API_KEY"):
        LabelStudioApi(demo.url, "").whoami()
    expired = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjEsInRva2VuX3R5cGUiOiJyZWZyZXNoIn0.c2ln"
    with pytest.raises(LabelStudioAuthError, match="LABEL_STUDIO_API_KEY"):
        LabelStudioApi(demo.url, expired).whoami()


def test_both_kinds_of_token_work(demo: Demo) -> None:
    assert LabelStudioApi(demo.url, demo.state["api_key"]).whoami() == demo.state["email"]
    with demo.api as api:
        api.post("/api/jwt/settings", json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
        legacy = api.get("/api/current-user/token").raise_for_status().json()["token"]
    assert LabelStudioApi(demo.url, legacy).whoami() == demo.state["email"]


def test_a_label_studio_that_is_away_is_named() -> None:
    with pytest.raises(LabelStudioError, match="LABEL_STUDIO_URL") as caught:
        LabelStudioApi(f"http://localhost:{free_port()}", "0" * 40).whoami()
    assert caught.value.status is None


def test_a_backend_is_connected_once_and_updated_afterwards(demo: Demo) -> None:
    project, _ = demo.new_project(CONFIG, [{"text": "one"}])
    api = LabelStudioApi(demo.url, demo.state["api_key"])
    for auth in (None, ("team", "hunter2"), None):
        api.connect(project, demo.backend_url, "Prelabel", auth)
    (connection,) = api.connections(project)
    assert (connection.url, connection.title, connection.error) == (demo.backend_url, "Prelabel", "")


@contextmanager
def backend_that_stops() -> Iterator[str]:
    """Something that Label Studio takes for a backend; gives its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"status": "UP", "model_class": "Old", "model_version": "v0"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_backend_that_moved_is_not_registered_twice(demo: Demo) -> None:
    project, _ = demo.new_project(CONFIG, [{"text": "one"}])
    api = LabelStudioApi(demo.url, demo.state["api_key"])
    with backend_that_stops() as url:
        api.connect(project, url, "Prelabel", None)
    api.connect(project, demo.backend_url, "Prelabel", None, [url])
    assert [connection.url for connection in api.connections(project)] == [demo.backend_url]


def test_a_backend_that_label_studio_registered_twice_is_left_once(demo: Demo) -> None:
    # Label Studio does so itself: it repeats what failed with "database is locked" after the backend was saved.
    project, _ = demo.new_project(CONFIG, [{"text": "one"}])
    api = LabelStudioApi(demo.url, demo.state["api_key"])
    with demo.api as label_studio:
        for _ in range(2):
            body = {"project": project, "url": demo.backend_url, "title": "Prelabel"}
            label_studio.post("/api/ml/", json=body).raise_for_status()
    first, _ = api.connections(project)
    api.connect(project, demo.backend_url, "Prelabel", None)
    assert [connection.id for connection in api.connections(project)] == [first.id]


def test_another_installation_is_not_taken_over(demo: Demo) -> None:
    project, _ = demo.new_project(CONFIG, [{"text": "one"}])
    api = LabelStudioApi(demo.url, demo.state["api_key"])
    with backend_that_stops() as url:
        api.connect(project, url, "Prelabel", None)
        api.connect(project, demo.backend_url, "Prelabel", None)
        assert {connection.url for connection in api.connections(project)} == {url, demo.backend_url}
    # Neither while it is down.
    api.connect(project, demo.backend_url, "Prelabel", None)
    assert {connection.url for connection in api.connections(project)} == {url, demo.backend_url}


def test_a_backend_that_label_studio_cant_reach_is_not_connected(demo: Demo) -> None:
    project, _ = demo.new_project(CONFIG, [{"text": "one"}])
    api = LabelStudioApi(demo.url, demo.state["api_key"])
    with pytest.raises(LabelStudioError) as caught:
        api.connect(project, f"http://localhost:{free_port()}", "Prelabel", None)
    assert caught.value.status == 400


def test_an_uploaded_image_can_be_downloaded(demo: Demo) -> None:
    image = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    config = """<View><Image name="photo" value="$photo"/><Choices name="tone" toName="photo"><Choice value="Warm"/>
    <Choice value="Cold"/></Choices></View>"""
    project, _ = demo.new_project(config, [])
    with demo.api as api:
        files = {"file": ("dusk.png", image, "image/png")}
        api.post(f"/api/projects/{project}/import", files=files).raise_for_status()
        (task,) = api.get("/api/tasks/", params={"project": project, "fields": "all"}).json()["tasks"]
    (path,) = task["data"].values()
    content, kind = LabelStudioApi(demo.url, demo.state["api_key"]).download(path, 1000)
    assert content == image
    assert kind == "image/png"
    sent = Images(demo.url, LabelStudioApi(demo.url, demo.state["api_key"]).download)(path)
    assert sent == f"data:image/png;base64,{base64.b64encode(image).decode()}"
