"""Projects that are deleted while we work on them, as several releases of Label Studio answer."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.sql.label_studios import mark_of_address
from backend.bootstrap import build
from backend.entrypoints import jobs
from backend.errors import LabelStudioError, ProjectMissing
from backend.ports import Job, ProjectRecord
from backend.settings import Settings

PROJECT = {"id": 7, "created_at": "2026-01-01T00:00:00Z", "title": "Films", "label_config": "<View/>", "task_number": 2}


class Replies(BaseHTTPRequestHandler):
    """A Label Studio that answers what `replies` says: pattern of a path -> status and body, the first that fits.

    A body that is a list is answered part by part, the last one for ever.
    """

    replies: dict[str, list[tuple[int, object]]]

    def do_GET(self) -> None:
        answers = next(answers for pattern, answers in self.replies.items() if re.search(pattern, self.path))
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def replies() -> Iterator[tuple[str, dict[str, list[tuple[int, object]]]]]:
    """The server's address, and what it answers."""
    told: dict[str, list[tuple[int, object]]] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Replies,), {"replies": told}))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", told
    server.shutdown()
    server.server_close()


Told = tuple[str, dict[str, list[tuple[int, object]]]]


@pytest.mark.parametrize("detail", ["No Project matches the given query.", "Not found."])
def test_a_deleted_project_is_known_as_such_by_every_release(replies: Told, detail: str) -> None:
    url, told = replies
    told |= {"api/projects/7": [(404, {"detail": detail})], "api/version": [(200, {"release": "1.13.1"})]}
    with pytest.raises(ProjectMissing):
        LabelStudioApi(url, "0" * 40).project(7)


def test_somebody_elses_not_found_says_nothing_of_the_project(replies: Told) -> None:
    url, told = replies
    told |= {"": [(404, {"detail": "Not found."})]}
    with pytest.raises(LabelStudioError) as caught:
        LabelStudioApi(url, "0" * 40).project(7)
    assert not isinstance(caught.value, ProjectMissing)


@pytest.mark.parametrize("status", [404, 400])
def test_a_project_that_goes_during_a_job_is_forgotten(
    replies: Told, tmp_path: Path, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    url, told = replies
    told |= {
        "api/projects/7": [(200, PROJECT), (404, {"detail": "Not found."})],
        "api/version": [(200, {"release": "1.23.1"})],
        "": [(status, {"detail": "Not found."})],
    }
    environment = {
        "MODEL_DIR": str(tmp_path),
        "REDIS_URL": clean_redis_url,
        "LABEL_STUDIO_URL": url,
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "LF_RULES_DIR": str(tmp_path),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = build(Settings.model_validate(environment))
    key = f"7.1767225600-{mark_of_address(url)}"
    app.database.save_project(ProjectRecord(key, 7))
    jobs._app.cache_clear()
    try:
        assert jobs.run(Job.RECONCILE.value, key, 0) == "the project was deleted meanwhile"
    finally:
        jobs._app.cache_clear()
    assert app.database.project(key) is None
