"""The supervisor and the demo's command with real processes."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from redis import Redis

from backend.entrypoints.processes import Program, Supervisor, check_port, redis_program
from backend.errors import ConfigurationError
from backend.settings import Settings
from tests.conftest import free_port, wait_for

CLI = [sys.executable, "-m", "backend.entrypoints.cli"]


def program(name: str, code: str, *, ready: bool = True, timeout_s: float = 20) -> Program:
    return Program(name, [sys.executable, "-c", code], os.environ, lambda: ready, timeout_s)


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path / "logs", lambda _: None, threading.Event())


def test_a_program_that_ends_at_once_is_explained_with_its_last_line(supervisor: Supervisor, tmp_path: Path) -> None:
    broken = program("Thing", "import sys, time; print('no disk'); time.sleep(0.2); sys.exit(3)", ready=False)
    with pytest.raises(ConfigurationError, match=r"Thing ended as it started\. no disk \(log: .*thing\.log\)"):
        supervisor.start(broken)
    supervisor.stop()


def test_a_program_that_never_gets_ready_is_given_up(supervisor: Supervisor) -> None:
    with pytest.raises(ConfigurationError, match="wasn't ready after 1 seconds"):
        supervisor.start(program("Thing", "import time; time.sleep(60)", ready=False, timeout_s=1))
    supervisor.stop()


def test_what_dies_is_started_again_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    stop = threading.Event()
    supervisor = Supervisor(tmp_path / "logs", said.append, stop)
    supervisor.start(program("Thing", "import time; time.sleep(60)"))
    first = supervisor.pids()["Thing"]
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: supervisor.pids()["Thing"] != first, 15, "the restart")
    stop.set()
    watching.join()
    assert "Thing ended (exit code -9)" in said[0]
    supervisor.stop()


def test_stopping_takes_the_children_along_even_stubborn_ones(supervisor: Supervisor, tmp_path: Path) -> None:
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    supervisor.start(program("Parent", code))
    wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(), 10, "the child")
    child = int((tmp_path / "child").read_text())
    supervisor.stop()
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie", 10, "the child's end")


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, sys, threading
from pathlib import Path
from backend.entrypoints.processes import Program, Supervisor
supervisor = Supervisor(Path({str(tmp_path)!r}), print, threading.Event())
supervisor.start(Program("Thing", [sys.executable, "-c", "import time; time.sleep(600)"], os.environ, lambda: True))
print(supervisor.pids()["Thing"], flush=True)
threading.Event().wait()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie", 10, "the child's end")


def test_the_embedded_redis_is_private_and_keeps_its_data(tmp_path: Path) -> None:
    settings = Settings.model_validate({"MODEL_DIR": str(tmp_path / "m")})
    for round_number in (1, 2):
        supervisor = Supervisor(tmp_path / "logs", lambda _: None, threading.Event())
        supervisor.start(redis_program(settings))
        redis = Redis(unix_socket_path=str(settings.redis_socket))
        assert redis.incr("count") == round_number
        assert redis.config_get("port")["port"] == "0"
        assert settings.redis_socket.parent.stat().st_mode & 0o777 == 0o700
        with pytest.raises(ConfigurationError, match="Another Prelabel"):
            redis_program(settings)
        pid = supervisor.pids()["Redis"]
        if round_number == 1:
            # Killed without warning, it leaves its socket file behind.
            time.sleep(1.2)
            os.kill(pid, signal.SIGKILL)
            assert settings.redis_socket.exists()
        supervisor.stop()


def test_a_port_in_use_names_the_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match=r"is in use by another program: .* --port"):
            check_port(taken.getsockname()[1], "--port")


def run_demo(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = os.environ | environment
    return subprocess.run(
        [*CLI, "demo", *arguments], capture_output=True, text=True, check=False, timeout=180, env=variables
    )


def test_the_demo_names_a_port_in_use_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_demo("--dir", str(tmp_path), "--port", str(free_port()), "--label-studio-port", port)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"prelabel: Port {port} is in use by another program: stop it, or choose another port with --label-studio-port."
    )


def test_the_demo_without_a_network_says_so_and_leaves_nothing_running(tmp_path: Path) -> None:
    ports = ["--port", str(free_port()), "--label-studio-port", str(free_port())]
    done = run_demo("--dir", str(tmp_path), *ports, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "cache"))
    assert done.returncode == 1
    assert "could not be downloaded" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info["cmdline"])
    ]


def test_stopping_a_demo_that_isnt_there_is_explained(tmp_path: Path) -> None:
    done = run_demo("--stop", "--dir", str(tmp_path))
    assert done.returncode == 1
    assert "There is no demo in" in done.stderr


def test_up_without_settings_says_which_are_missing(tmp_path: Path) -> None:
    own = {"MODEL_DIR": str(tmp_path), "LABEL_STUDIO_URL": "", "LABEL_STUDIO_API_KEY": ""}
    done = subprocess.run([*CLI, "up"], capture_output=True, text=True, check=False, env=os.environ | own, timeout=60)
    assert done.returncode == 1
    assert "LABEL_STUDIO_URL is not set" in done.stderr


def test_a_setting_that_cant_be_used_is_named() -> None:
    own = {"PORT": "ninety", "LOG_LEVEL": "loud"}
    done = subprocess.run([*CLI, "jobs"], capture_output=True, text=True, check=False, env=os.environ | own, timeout=60)
    assert done.returncode == 1
    assert "PORT" in done.stderr
    assert "LOG_LEVEL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("REDIS_URL", "foo"),
        ("MODEL_DIR", "/proc/prelabel"),
        ("LABEL_STUDIO_API_KEY", "ключ"),
        ("BASIC_AUTH_PASS", "hunter2-only"),
    ],
)
def test_a_value_that_cant_work_is_one_sentence_without_the_secret(setting: str, value: str) -> None:
    own = {"LABEL_STUDIO_URL": "http://localhost:1", "LABEL_STUDIO_API_KEY": "0" * 40, setting: value}
    done = subprocess.run(
        [*CLI, "doctor" if setting == "REDIS_URL" else "web"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | own,
        timeout=60,
    )
    assert done.returncode == 1
    assert setting in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert "ключ" not in done.stderr + done.stdout
