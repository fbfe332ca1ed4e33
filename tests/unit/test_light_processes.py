"""What commands and long-running processes load: it is waited for, and stays in memory for as long as they run."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from backend.adapters.sql.engine import Sql
from backend.adapters.sql.label_studios import LabelStudioMark
from backend.entrypoints import with_uv
from tests.on_demand import slow
from tests.quiet_server import QuietServer
from tests.unit.house import CONFIG, House

HEAVY = {
    *("alembic", "cleanlab", "fastapi", "httpx", "jinja2", "jsonschema", "label_studio_sdk", "matplotlib", "modAL"),
    *("numpy", "openai", "pandas", "pyarrow", "pycrfsuite", "pydantic_settings", "redis", "regex", "rq", "scipy"),
    *("sklearn", "skops", "sqlalchemy", "structlog", "uvicorn", "yaml"),
}
"""Of the libraries that we build on, those that take long to load. rich, typer and pydantic are in every command."""
BUILT = {"httpx", "label_studio_sdk", "numpy", "pydantic_settings", "redis", "regex", "rq", "sqlalchemy", "structlog"}
"""What an application is built of."""
PREDICTS = {"fastapi", "scipy", "sklearn", "uvicorn"}
"""What the web service needs besides."""
TELL = f"""
import sys
from backend.entrypoints.cli.main import main

def tell():
    print("loaded:", *(name for name in sys.modules if name.partition(".")[0] in {HEAVY}))

def command(*words):
    sys.argv = ["prelabel", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
"""


def loaded(code: str, **environment: str) -> list[set[str]]:
    """The heavy modules that a process has loaded each time that its code tells."""
    command = [sys.executable, "-c", TELL + code]
    done = subprocess.run(command, env=os.environ | environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [set(line.split()[1:]) for line in done.stdout.splitlines() if line.startswith("loaded:")]


def libraries(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


class Project(BaseHTTPRequestHandler):
    """A Label Studio that has one project."""

    def do_GET(self) -> None:
        answer = {"id": 1, "title": "Films", "label_config": CONFIG, "created_at": "2026-01-01T00:00:00Z"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def installation(house: House, tmp_path: Path, clean_redis_url: str) -> Iterator[dict[str, str]]:
    """The environment of commands that work on a project with a version."""
    house.annotate(house.task_ids[:12])
    house.learn()
    server = QuietServer(("127.0.0.1", 0), Project)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, database = f"http://127.0.0.1:{server.server_port}", f"sqlite:///{tmp_path}/db.sqlite3"
    LabelStudioMark(Sql(database), url).settle("aaaaaaaa")
    yield {
        "LABEL_STUDIO_URL": url,
        "LABEL_STUDIO_API_KEY": "a" * 40,
        "MODEL_DIR": str(tmp_path),
        "DATABASE_URL": database,
        "REDIS_URL": clean_redis_url,
    }
    server.shutdown()
    server.server_close()


def test_help_loads_nothing_but_what_shows_it() -> None:
    assert loaded("command('--help')\ncommand('llm', 'ask', '--help')\ntell()") == [set()]


def test_commands_and_the_scheduler_load_what_an_application_is_built_of(installation: dict[str, str]) -> None:
    steps = ("command('jobs')", "command('status', '1')", "import backend.entrypoints.run.scheduler")
    each = loaded("".join(f"{step}\ntell()\n" for step in steps), **installation)
    assert [libraries(modules) - BUILT for modules in each] == [set(), set(), set()]


YAML = """
question: sentiment
rules: [{name: scores, type: compare, when: [{field: rating, at_least: 9}], vote: Positive}]
"""
JOBS = f"""
import backend.entrypoints.web.app
tell()

from backend.bootstrap import build
from backend.entrypoints.run.worker import preload
from backend.settings import Settings
from tests.unit.house import House, nothing
from backend.workflows.check.search import check
settings = Settings()
preload(settings)
build(settings)
tell()

house = House(settings.model_dir)
(settings.model_dir / "rules" / "more.yaml").write_text({YAML!r})
house.annotate(house.task_ids[:12])
house.learn()
check(house.deps, house.key, nothing)
house.reconcile()
assert "scores" in [rule.name for rule in house.deps.rules.load().rules]
tell()
"""


@slow
def test_jobs_alone_load_what_they_need_and_their_worker_loads_it_for_all(tmp_path: Path) -> None:
    web, worker, jobs = loaded(JOBS, MODEL_DIR=str(tmp_path), LLM_MODEL="any")
    assert libraries(web) <= BUILT | PREDICTS
    assert "openai" in libraries(worker)
    # A new database's tables are made once.
    assert libraries(jobs - worker) <= {"alembic", "sqlalchemy"}


def test_data_frames_work_where_they_are_needed() -> None:
    code = (
        "import backend, pandas, sklearn.preprocessing as p;"
        "print(p.StandardScaler().set_output(transform='pandas').fit_transform(pandas.DataFrame({'a': [1.0, 3.0]})))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["a", "0", "-1.0", "1", "1.0"]


def test_windows_is_told_what_to_use() -> None:
    code = "import sys, backend; sys.platform = 'win32'; import backend.entrypoints.cli.main"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == with_uv.NOT_ON_WINDOWS + "\n"
