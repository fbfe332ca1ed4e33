"""What a person reads when Label Studio refuses."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backend.adapters.label_studio.client import LabelStudioApi
from backend.entrypoints.connect import explain_unreachable
from backend.errors import LabelStudioAuthError, LabelStudioError

KEY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6NDA3MDkwODgwMH0."
    "c2lnbmF0dXJlLW9mLWEtdGVzdC10b2tlbi1vbmx5LWhlcmU"
)
"""A personal access token: before anything else, it is sent in for an access token."""
BLOCKED = {
    "id": "8484",
    "status_code": 403,
    "version": "1.23.2",
    "detail": "URL resolves to a reserved network address (block: 127.0.0.0/8)",
    "exc_info": None,
}


@contextmanager
def label_studio(status: int, body: str, key: str = KEY) -> Iterator[LabelStudioApi]:
    """A server that gives every request the same answer, as recorded from a real one."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield LabelStudioApi(f"http://127.0.0.1:{server.server_port}", key)
    server.shutdown()


def test_a_blocked_address_is_not_taken_for_a_refused_key() -> None:
    with label_studio(403, json.dumps(BLOCKED)) as api:
        said = api.refuses_to_call("http://localhost:9090")
        with pytest.raises(LabelStudioError) as caught:
            api.connect(1, "http://localhost:9090", "Prelabel", None)
    assert not isinstance(caught.value, LabelStudioAuthError)
    assert "ML_BLOCK_LOCAL_IP=false" in explain_unreachable("http://localhost:9090", said)
    assert '"id"' not in said


def test_a_backend_that_does_not_let_label_studio_in_is_told_apart_from_none() -> None:
    url = "http://localhost:9090"
    reason = f"401 Client Error: Unauthorized for url: {url}/setup"
    heard = explain_unreachable(url, f"it doesn't look like a valid ML backend. Reason: {reason}")
    assert "Is `prelabel up` running?" not in heard
    assert "BASIC_AUTH_USER" in heard
    assert "Before 1.12.1 Label Studio sends neither" in heard
    assert reason in heard


def test_an_address_that_would_be_called_is_fine() -> None:
    body = {"detail": "Validation error", "validation_errors": {"project": ["This field is required."]}}
    with label_studio(400, json.dumps(body)) as api:
        assert api.refuses_to_call("http://localhost:9090") == ""


def test_a_refused_key_is_named_and_not_shown() -> None:
    with label_studio(401, json.dumps({"detail": f"Invalid token {KEY}."})) as api:
        with pytest.raises(LabelStudioAuthError, match="LABEL_STUDIO_API_KEY") as caught:
            api.whoami()
    assert KEY not in str(caught.value)


def test_a_page_of_html_is_not_poured_out() -> None:
    with label_studio(404, "<!doctype html><html><body>lost</body></html>") as api:
        with pytest.raises(LabelStudioError, match="answered 404") as caught:
            api.whoami()
    assert "<" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body"), [(500, "<html>Server Error</html>"), (502, ""), (200, "<html></html>"), (200, "{}")]
)
def test_an_access_token_that_nobody_hands_out_is_explained(status: int, body: str) -> None:
    with label_studio(status, body, PERSONAL) as api, pytest.raises(LabelStudioError, match="access token") as caught:
        api.whoami()
    assert "<" not in str(caught.value)
    assert PERSONAL not in str(caught.value)


def test_an_error_without_a_reason_says_where_to_look() -> None:
    with label_studio(500, "<html>Server Error</html>") as api, pytest.raises(LabelStudioError) as caught:
        api.whoami()
    assert "answered 500: it gives no reason; its own log may." in str(caught.value)


@contextmanager
def registry(backends: list[dict[str, object]], *, status: int = 201) -> Iterator[tuple[LabelStudioApi, list[str]]]:
    """A Label Studio's list of backends, which answers a new one with a status; gives what was changed, too."""
    changed: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            backends.append(body | {"id": len(backends) + 1, "state": "CO"})
            self.answer(status, {"detail": "database is locked"})

        def do_GET(self) -> None:
            one = self.path.rsplit("/", 1)[-1]
            self.answer(200, backends[int(one) - 1] if one.isdigit() else backends)

        def do_PATCH(self) -> None:
            changed.append(self.path.rsplit("/", 1)[-1])
            backends[int(changed[-1]) - 1].update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(200, {})

        def answer(self, status: int, body: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield LabelStudioApi(f"http://127.0.0.1:{server.server_port}", KEY), changed
    finally:
        server.shutdown()


def test_a_label_studio_that_fails_after_it_registered_us_has_us_once() -> None:
    # As seen on a busy one: the backend was saved, then its state was not ("database is locked").
    backends: list[dict[str, object]] = []
    with registry(backends, status=500) as (api, _):
        api.connect(1, "http://here:9090", "Prelabel", None)
    assert len(backends) == 1


def test_tags_and_tabs_are_read_beside_data_that_is_none() -> None:
    rows = [
        {"id": 1, "data": "a text"},
        {"id": 2, "data": ["x"]},
        {"id": 3},
        {"id": 4, "data": {"prelabel_check": "keep"}},
    ]
    with label_studio(200, json.dumps({"tasks": rows, "total": len(rows)})) as api:
        assert api.tags(1, ["prelabel_check", "prelabel_issue"]) == {(4, "prelabel_check"): "keep"}
    with label_studio(200, json.dumps([{"id": 5, "data": "a text"}, {"id": 6, "data": {"title": "Mine"}}])) as api:
        assert [(tab.id, tab.title) for tab in api.tabs(1)] == [(5, ""), (6, "Mine")]


def test_another_installation_that_is_down_keeps_its_registration() -> None:
    backends: list[dict[str, object]] = [
        {"id": 1, "url": "http://team-b:9090", "title": "Prelabel", "state": "ER", "error_message": "away"}
    ]
    with registry(backends) as (api, changed):
        api.connect(1, "http://here:9090", "Prelabel", None)
        assert (changed, [item["url"] for item in backends]) == ([], ["http://team-b:9090", "http://here:9090"])
        # Its own former one, which our webhooks prove, is replaced.
        api.connect(1, "http://there:9090", "Prelabel", None, ["http://here:9090"])
        assert changed == ["2"]
