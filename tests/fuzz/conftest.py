"""The web service as operators run it: a process with a real Redis, basic auth, and rules that were tried out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from backend.adapters.rules.tried import TriedRules
from backend.entrypoints.run.processes import answers
from tests.conftest import free_port, wait_for
from tests.integration.test_web import RULES

AUTH = ("team", "hunter2")


@dataclass(frozen=True)
class Web:
    """A running web service."""

    url: str
    process: "subprocess.Popen[str]"
    log: Path

    def said(self) -> str:
        """The end of its log: the reason of an answer that should not have been."""
        return self.log.read_text()[-6000:]

    def memory_mb(self) -> float:
        """What it holds in memory."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e6)


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    (folder / "rules").mkdir()
    (folder / "rules" / "film.py").write_text(RULES)
    TriedRules(folder / "rules", folder / "models" / "rules").try_out([])
    port = free_port()
    environment = {
        "PORT": str(port),
        "MODEL_DIR": str(folder / "models"),
        "LF_RULES_DIR": str(folder / "rules"),
        "REDIS_URL": redis_url,
        "LABEL_STUDIO_URL": "http://127.0.0.1:1",
        "BASIC_AUTH_USER": AUTH[0],
        "BASIC_AUTH_PASS": AUTH[1],
        "HEALTH_AUTH": "true",
        "LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-m", "backend.entrypoints.cli.main", "web"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log, text=True)
    made = Web(f"http://127.0.0.1:{port}", process, folder / "log")
    try:
        wait_for(
            lambda: process.poll() is not None or answers(f"{made.url}/health", frozenset({401})),
            240,
            "the web service",
        )
        assert process.poll() is None, made.said()
        yield made
    finally:
        process.terminate()
        process.wait(60)
