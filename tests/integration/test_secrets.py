"""No secret gets out: a real run in which all goes wrong, and a search through all that it said and kept."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from rq.serializers import JSONSerializer

from backend.adapters.redaction import redact
from backend.adapters.redis.queue import RedisQueue
from backend.adapters.sql.database import SqlDatabase
from backend.entrypoints.run.embedded_redis import redis_server
from backend.entrypoints.run.worker import PrelabelWorker
from backend.errors import ConfigurationError
from backend.settings import Settings
from tests.command_server import Commands
from tests.conftest import free_port, kept_in, wait_for

UID = "7.1767225600"
CLI = [sys.executable, "-m", "backend.entrypoints.cli.main"]
SECRETS = {
    "LABEL_STUDIO_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "BASIC_AUTH_PASS": 'hunter2"/&',
    "OPENAI_API_KEY": "sk-verysecret0123456789",
    "EMBEDDING_API_KEY": "sk-embedding0123456789",
}
IN_ADDRESSES = ("redispassword", "databasepassword", "llmpassword", "p@ss/word")


@pytest.fixture
def indiscreet() -> Iterator[str]:
    """A Label Studio, LLM and embedding endpoint that repeats in its errors whatever it is sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            fine = self.path.startswith(("/api/current-user/whoami", "/health"))
            text = '{"email": "a@b.c"}' if fine else f"You sent {self.headers.get('Authorization')} {self.path} {body}"
            self.send_response(200 if fine else 500)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def locked_redis(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "own.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--requirepass", "redispassword"]
    server = subprocess.Popen([str(redis_server()), *options], stdout=subprocess.DEVNULL, cwd=tmp_path)
    wait_for(path.exists, 30, "Redis")
    yield f"unix://:redispassword@{path}"
    server.terminate()
    server.wait(30)


@pytest.fixture
def environment(tmp_path: Path, indiscreet: str, locked_redis: str) -> dict[str, str]:
    (tmp_path / "rules").mkdir()
    own = {
        "MODEL_DIR": str(tmp_path / "models"),
        "PORT": str(free_port()),
        "LABEL_STUDIO_URL": f"http://{indiscreet}",
        "BASIC_AUTH_USER": "team",
        "REDIS_URL": locked_redis,
        "LF_DATABASES": '{"crm": "postgresql://user:databasepassword@127.0.0.1:1/crm"}',
        "LF_RULES_DIR": str(tmp_path / "rules"),
        "OPENAI_BASE_URL": f"http://user:llmpassword@{indiscreet}/v1",
        "EMBEDDING_BASE_URL": f"http://user:p%40ss%2Fword@{indiscreet}/v1",
        "EMBEDDING_MODEL": "e",
        "LLM_MODEL": "m",
        "LOG_LEVEL": "DEBUG",
        "WORKERS": "1",
    }
    return os.environ | own | SECRETS


def said_by_workers(folder: Path) -> str:
    return "".join(log.read_text() for log in (folder / "logs").glob("worker*.log"))


def test_no_secret_is_in_any_output_of_a_run_in_which_all_goes_wrong(
    environment: dict[str, str], tmp_path: Path, locked_redis: str, commands: Commands
) -> None:
    folder = tmp_path / "models"
    printed = tmp_path / "printed"
    with printed.open("w") as file:
        up = subprocess.Popen([*CLI, "up"], env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: up.poll() is not None or "Prelabel listens" in printed.read_text(), 200, "the start")
        auth = ("team", SECRETS["BASIC_AUTH_PASS"])
        with httpx.Client(base_url=f"http://127.0.0.1:{environment['PORT']}", auth=auth, trust_env=False) as web:
            said = [web.post("/train", json={"project": UID}).text]
            bad = {"tasks": [], "project": UID, "label_config": "<View>"}
            said += [web.post("/predict", json=bad).text, web.get("/versions").text]
            wait_for(lambda: "exception raised" in said_by_workers(folder), 200, "a job that fails")
            said += [web.get(path, timeout=60).text for path in ("/metrics", "/openapi.json")]
        done = commands.run("doctor", **environment)
        said += [done.stdout, done.stderr]
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)
    kept = kept_in(locked_redis)
    secret = (folder / "webhook-secret").read_text()
    files = {
        str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "webhook-secret"
    }
    assert any(name.endswith("worker.log") for name in files)
    assert "You sent" in said_by_workers(folder), "the failure that repeats the key was not logged at all"
    everything = {"printed": printed.read_text(), "said": "\n".join(said), "Redis": kept}
    everything |= {name: content.decode(errors="replace") for name, content in files.items()}
    for known in (*SECRETS.values(), *IN_ADDRESSES, "p%40ss%2Fword", 'hunter2\\"/&', secret):
        assert [name for name, text in everything.items() if known in text] == [], known


def test_no_secret_is_in_the_repr_or_in_the_errors_of_settings(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:databasepassword@127.0.0.1:1/x")
    settings = Settings()
    monkeypatch.setenv("REDIS_URL", "redispassword")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very“secret0123456789")
    with pytest.raises(ValueError, match="REDIS_URL") as caught:
        Settings()
    for secret in (*SECRETS.values(), *IN_ADDRESSES[:2], "sk-very“secret0123456789"):
        assert secret not in repr(settings) + str(settings)
        assert secret not in str(caught.value)
    assert {*SECRETS.values(), *IN_ADDRESSES} <= set(settings.secrets())


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://u:databasepassword@127.0.0.1:1/x", "nosql://u:databasepassword@x/y"]
)
def test_a_database_that_refuses_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        SqlDatabase(url, lambda: 0.0).ping()
    assert "databasepassword" not in str(caught.value)


def indiscreet_job() -> None:
    raise RuntimeError("the endpoint said: sk-verysecret0123456789 is not a key")


def test_a_failure_that_the_queue_keeps_has_no_secret(clean_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.adapters.redis.queue.RUN", f"{__name__}.indiscreet_job")
    queue = RedisQueue(clean_redis_url, 60)
    redact.learn(["sk-verysecret0123456789"])
    job = queue.rq.enqueue_call(f"{__name__}.indiscreet_job")
    worker = PrelabelWorker([queue.rq], connection=queue.redis, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    assert ["***" in str(result.exc_string) for result in job.results()] == [True]
    assert "sk-verysecret" not in kept_in(clean_redis_url)
