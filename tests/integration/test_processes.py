"""What commands say and leave behind, in processes of their own. `test_supervisor.py` has what they supervise."""

import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from backend.entrypoints.run.processes import check_port
from backend.errors import ConfigurationError
from tests.command_server import Commands
from tests.conftest import free_port


def test_a_port_in_use_names_the_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match=r"is in use by another program: .* --port"):
            check_port(taken.getsockname()[1], "--port")


def test_the_demo_names_a_port_in_use_in_one_sentence(tmp_path: Path, commands: Commands) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = commands.run("demo", "--dir", str(tmp_path), "--port", str(free_port()), "--label-studio-port", port)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"prelabel: Port {port} is in use by another program: stop it, or choose another port with --label-studio-port."
    )


def test_the_demo_without_a_network_says_so_and_leaves_nothing_running(commands: Commands) -> None:
    ports = ["--port", str(free_port()), "--label-studio-port", str(free_port())]
    # Pytest's own folders have names that may be too long for a socket's path.
    with TemporaryDirectory(prefix="demo") as folder:
        done = commands.run("demo", "--dir", folder, *ports, UV_OFFLINE="1", UV_CACHE_DIR=f"{folder}/cache")
        assert done.returncode == 1
        assert "could not be downloaded" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert not [process for process in psutil.process_iter(["cmdline"]) if folder in str(process.info["cmdline"])]


def test_stopping_a_demo_that_isnt_there_is_explained(tmp_path: Path, commands: Commands) -> None:
    done = commands.run("demo", "--stop", "--dir", str(tmp_path))
    assert done.returncode == 1
    assert "There is no demo in" in done.stderr


def test_up_without_settings_says_which_are_missing(tmp_path: Path, commands: Commands) -> None:
    own = {"MODEL_DIR": str(tmp_path), "LABEL_STUDIO_URL": "", "LABEL_STUDIO_API_KEY": ""}
    done = commands.run("up", **own)
    assert done.returncode == 1
    assert "LABEL_STUDIO_URL is not set" in done.stderr


def test_a_setting_that_cant_be_used_is_named(commands: Commands) -> None:
    own = {"PORT": "ninety", "LOG_LEVEL": "loud"}
    done = commands.run("jobs", **own)
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
def test_a_value_that_cant_work_is_one_sentence_without_the_secret(
    commands: Commands, setting: str, value: str
) -> None:
    own = {"LABEL_STUDIO_URL": "http://localhost:1", "LABEL_STUDIO_API_KEY": "0" * 40, setting: value}
    done = commands.run("doctor" if setting == "REDIS_URL" else "web", **own)
    assert done.returncode == 1
    assert setting in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert "ключ" not in done.stderr + done.stdout
