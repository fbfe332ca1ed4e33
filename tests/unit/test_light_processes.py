"""What commands and long-running processes load: it is waited for, and stays in memory for as long as they run."""

import os
import subprocess
import sys

import pytest

from backend.entrypoints import with_uv

HEAVY = {
    *("alembic", "cleanlab", "fastapi", "httpx", "jinja2", "jsonschema", "label_studio_sdk", "matplotlib", "modAL"),
    *(
        "numpy",
        "openai",
        "pandas",
        "prometheus_client",
        "pyarrow",
        "pydantic_settings",
        "redis",
        "regex",
        "rq",
        "scipy",
    ),
    *("sklearn", "skops", "sqlalchemy", "structlog", "uvicorn", "yaml"),
}
"""Of the libraries that we build on, those that take long to load. rich, typer and pydantic are in every command."""
COMMAND = """
from backend.entrypoints.cli.main import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
"""


def loaded(code: str, *arguments: str, **environment: str) -> set[str]:
    """The heavy libraries that a process has loaded when it ends."""
    told = f"import sys\n{code}\nsys.stderr.write('\\n' + ' '.join({HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", told, *arguments],
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("\n")[2].split())


def test_help_loads_nothing_but_what_shows_it() -> None:
    for words in ([], ["status"], ["llm", "ask"], ["rules", "diff"]):
        assert loaded(COMMAND, *words, "--help") == set()


@pytest.mark.parametrize("module", ["web.app", "run.scheduler"])
def test_processes_that_run_no_jobs_go_without_what_jobs_need(module: str) -> None:
    found = loaded(f"import backend.entrypoints.{module}")
    assert not found & {"pandas", "pyarrow", "cleanlab", "modAL", "openai", "matplotlib"}


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
