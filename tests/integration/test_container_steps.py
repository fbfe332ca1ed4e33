"""The Dockerfile's own steps, carried out in an empty folder: no engine is needed to know that they work."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.entrypoints.run.processes import answers
from tests.conftest import Demo, free_port, wait_for
from tests.e2e.team import Team

ROOT = Path(__file__).parents[2]


def instructions(stage: int) -> list[tuple[str, str]]:
    """(instruction, rest) of a stage of the Dockerfile."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for line in lines:
        word, rest = line.split(None, 1)
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages[stage]


def environment(stage: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for word, rest in instructions(stage):
        if word == "ENV":
            found |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    return found


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """What the first stage leaves in its working folder."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        yield Path(folder)


def build(folder: Path) -> None:
    """Carry out the steps of the first stage."""
    own = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | environment(0)
    # What is imported here is compiled as it is imported; all that is installed would take a minute.
    own["UV_COMPILE_BYTECODE"] = "0"
    # The folder is beside uv's cache, as the image's never is: a GB needn't be copied.
    own["UV_LINK_MODE"] = "hardlink"
    for word, rest in instructions(0):
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                goal = folder / target / source if target in {".", "./"} else folder / target
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, goal)
        if word == "RUN" and rest.startswith("uv "):
            # The Python that runs the tests stands for the image's.
            done = subprocess.run(shlex.split(rest), cwd=folder, env=own, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def test_the_image_s_command_serves_and_its_healthcheck_passes(built: Path, tmp_path: Path) -> None:
    last = dict(instructions(1))
    port = str(free_port())
    inside = {name: value.replace("/app", str(built)) for name, value in environment(1).items() if name != "PATH"}
    own = {"PATH": f"{built}/.venv/bin:/usr/bin:/bin", "MODEL_DIR": str(tmp_path), "PORT": port}
    url = f"http://127.0.0.1:{port}"
    variables = inside | own | {"LABEL_STUDIO_URL": "http://localhost:1"}
    server = subprocess.Popen(
        json.loads(last["CMD"]), env=variables, cwd=tmp_path, executable=f"{built}/.venv/bin/prelabel"
    )
    try:
        wait_for(lambda: server.poll() is not None or answers(f"{url}/health"), 60, "the web service")
        assert server.poll() is None
        check = json.loads(last["HEALTHCHECK"].split("CMD", 1)[1])
        python = f"{built}/.venv/bin/python"
        assert subprocess.run(check, env=variables, check=False, executable=python).returncode == 0
        broken = variables | {"PORT": str(free_port())}
        assert subprocess.run(check, env=broken, check=False, executable=python, capture_output=True).returncode != 0
    finally:
        server.terminate()
        server.wait()


READ_ONLY = """
set -e
mount --make-rprivate /
for folder in "$MODEL_DIR" "$TMPDIR"; do mount --bind "$folder" "$folder"; done
mount -o remount,bind,ro /
! touch "$1/written" 2>/dev/null
exec "$1/.venv/bin/prelabel" up
"""
"""Where all but two folders is read-only, as compose has it; embedded Redis and SQLite stand for the other services."""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0,
    reason="this machine lets no user make a mount namespace",
)
def test_a_project_is_trained_on_a_read_only_file_system(built: Path, tmp_path: Path, demo: Demo) -> None:
    port = str(free_port())
    inside = {name: value.replace("/app", str(built)) for name, value in environment(1).items() if name != "PATH"}
    data, scratch = tmp_path / "data", tmp_path / "tmp"
    data.mkdir()
    scratch.mkdir()
    variables = inside | {
        "PATH": f"{built}/.venv/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "MODEL_DIR": str(data),
        "TMPDIR": str(scratch),
        "PORT": port,
        "BACKEND_URL": f"http://localhost:{port}",
        "LABEL_STUDIO_URL": demo.url,
        "LABEL_STUDIO_API_KEY": demo.state["api_key"],
        "WORKERS": "1",
    }
    url = f"http://127.0.0.1:{port}"
    command = ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", str(built)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, env=variables, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: server.poll() is not None or answers(f"{url}/health"), 120, "the web service")
        assert server.poll() is None, (tmp_path / "log").read_text()
        team = Team.with_reviews(demo, 20)
        connect = [f"{built}/.venv/bin/prelabel", "connect", str(team.project)]
        subprocess.run(connect, env=variables, cwd=tmp_path, check=True, capture_output=True)
        team.reaches("v1")
    finally:
        server.terminate()
        server.wait()
    assert "Read-only file system" not in (tmp_path / "log").read_text()


def test_the_image_runs_its_own_copy_with_the_rules(built: Path) -> None:
    code = "import backend, lf_rules.movie_reviews, psycopg; print(backend.__file__)"
    done = subprocess.run(
        [f"{built}/.venv/bin/python", "-c", code], cwd="/", capture_output=True, text=True, check=True, env={}
    )
    assert str(built / ".venv") in done.stdout
