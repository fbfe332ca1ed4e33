"""What goes wrong while programs run: deaths, leftovers, two owners of one folder. `test_processes.py` has the rest."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from backend.entrypoints.run import processes
from backend.entrypoints.run.demo import run_demo
from backend.entrypoints.run.process_table import start_time
from backend.entrypoints.run.processes import (
    Interrupted,
    Program,
    Supervisor,
    answers,
    backend_programs,
    redis_program,
)
from backend.errors import ConfigurationError
from backend.settings import Settings
from tests.conftest import free_port, wait_for

SLEEP = "import time; time.sleep(300)"
PARENT = """
import os, sys, threading, time
from pathlib import Path
from backend.entrypoints.run.processes import Program, Supervisor, stop_on_signals
folder = Path(sys.argv[1])
supervisor = Supervisor(folder, print, stop_on_signals())
supervisor.start(Program("Child", [sys.executable, "-c", "import time; time.sleep(300)"], os.environ, lambda: True))
(folder / "child").write_text(str(supervisor.pids()["Child"]))
supervisor.watch()
supervisor.stop()
"""


@dataclass
class Watched:
    """A supervisor, what it said, and the folder of its logs."""

    logs: Path
    said: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.logs, self.said.append, self.stop)
        self.watcher = threading.Thread(target=self.supervisor.watch, daemon=True)

    def end(self) -> None:
        self.stop.set()
        if self.watcher.is_alive():
            self.watcher.join(40)
        self.supervisor.stop()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "logs")
    yield made
    made.end()


def program(name: str, code: str, ready: Callable[[], bool] = lambda: True, timeout_s: float = 60.0) -> Program:
    return Program(name, [sys.executable, "-c", code], os.environ, ready, timeout_s)


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked for yet does not."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.strip().startswith("Z")


def test_a_program_is_ready_when_it_says_so_and_its_output_is_in_its_log(watched: Watched, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"import time; time.sleep(0.5); print('here I am', flush=True); open({str(mark)!r}, 'w'); time.sleep(300)"
    watched.supervisor.start(program("Web service", code, mark.exists))
    assert mark.exists()
    assert (watched.logs / "web-service.log").read_text() == "here I am\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('some'); print('no disk'); raise SystemExit(3)", "no disk"),
        ("raise ValueError('red')", "ValueError: red"),
    ],
)
def test_a_program_that_ends_at_once_is_explained_with_its_last_line(watched: Watched, code: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^Web ended as it started\. {reason} \(log: .*web\.log\)"):
        watched.supervisor.start(program("Web", code, lambda: False))


def test_a_program_that_never_gets_ready_is_given_up(watched: Watched) -> None:
    with pytest.raises(ConfigurationError, match="wasn't ready after 1 seconds"):
        watched.supervisor.start(program("Web", SLEEP, lambda: False, timeout_s=1))


def test_a_stop_interrupts_a_start(watched: Watched) -> None:
    threading.Timer(0.5, watched.stop.set).start()
    with pytest.raises(Interrupted):
        watched.supervisor.start(program("Web", SLEEP, lambda: False))


def test_one_that_keeps_dying_is_given_longer_and_longer_pauses_and_holds_up_no_other(
    watched: Watched, tmp_path: Path
) -> None:
    times = tmp_path / "times"
    code = f"import time; open({str(times)!r}, 'a').write(f'{{time.time()}} '); time.sleep(0.2)"
    watched.supervisor.start(program("Scheduler", code))
    watched.supervisor.start(program("Web service", SLEEP))
    first = watched.supervisor.pids()["Web service"]
    watched.watcher.start()
    wait_for(lambda: len(watched.said) == 4, 40, "the fourth death")
    at = [float(word) for word in times.read_text().split()]
    pauses = [after - before for before, after in pairwise(at)]
    assert [pause >= least for pause, least in zip(pauses, (1, 2, 4), strict=True)] == [True] * 3
    # By now the scheduler is in a pause of 8 seconds.
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: watched.supervisor.pids()["Web service"] != first, 4, "the web service")
    assert "Web service ended (exit code -9)" in watched.said[-1]


def test_stopping_ends_last_things_first_with_their_children(watched: Watched, tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = """
import os, signal, subprocess, sys, time
def end(*_):
    open({order!r}, "a").write("{name} ")
    raise SystemExit
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
signal.signal(signal.SIGTERM, end)
open({mark!r}, "w").write(str(child.pid))
time.sleep(300)
"""
    marks = {name: tmp_path / name for name in ("first", "second")}
    for name, mark in marks.items():
        filled = code.format(order=str(order), name=name, mark=str(mark))
        watched.supervisor.start(program(name, filled, lambda mark=mark: mark.exists() and mark.read_text() != ""))  # type: ignore[misc]
    pids = [*watched.supervisor.pids().values(), *(int(mark.read_text()) for mark in marks.values())]
    assert all(runs(pid) for pid in pids)
    watched.supervisor.stop()
    assert order.read_text() == "second first "
    wait_for(lambda: not any(runs(pid) for pid in pids), 5, "the end of all")


def test_only_what_it_started_is_stopped(watched: Watched) -> None:
    other = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        watched.supervisor.start(program("Worker", SLEEP))
        watched.supervisor.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.timeout(60)
def test_what_ignores_sigterm_is_killed(watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_AFTER_S", 1.0)
    mark = tmp_path / "mark"
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(mark)!r}, 'w'); {SLEEP}"
    watched.supervisor.start(program("Worker", code, mark.exists))
    pid = watched.supervisor.pids()["Worker"]
    watched.supervisor.stop()
    assert not runs(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_children_do_not_outlive_the_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux's kernel tells children of their parent's death")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], start_new_session=True)
    mark = tmp_path / "child"
    wait_for(lambda: mark.exists() and mark.read_text() != "", 30, "the child")
    child = int(mark.read_text())
    assert os.getpgid(child) != os.getpgid(parent.pid), "Ctrl-C would reach the child directly"
    parent.send_signal(number)
    parent.wait(20)
    wait_for(lambda: not runs(child), 10, "the child's end")


# The embedded Redis


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "a b"))
    monkeypatch.delenv("REDIS_URL", raising=False)
    return Settings()


def test_redis_listens_on_a_socket_that_only_we_reach_and_on_no_port(watched: Watched, settings: Settings) -> None:
    watched.supervisor.start(redis_program(settings))
    assert settings.redis_socket.parent.stat().st_mode & 0o777 == 0o700
    assert settings.redis_socket.is_socket()
    redis = Redis(unix_socket_path=str(settings.redis_socket), decode_responses=True)
    assert redis.config_get("port")["port"] == "0"
    assert redis.config_get("appendonly")["appendonly"] == "yes"


def test_what_redis_holds_survives_its_kill_and_a_new_start(
    watched: Watched, settings: Settings, tmp_path: Path
) -> None:
    watched.supervisor.start(redis_program(settings))
    Redis(unix_socket_path=str(settings.redis_socket)).set("kept", "yes")
    files = settings.redis_socket.parent
    wait_for(lambda: any(b"kept" in path.read_bytes() for path in files.rglob("*.aof")), 10, "its file to be written")
    watched.watcher.start()
    os.kill(watched.supervisor.pids()["Redis"], signal.SIGKILL)
    wait_for(lambda: watched.said, 10, "its death to be seen")
    wait_for(lambda: answer(settings) == "yes", 20, "Redis")
    watched.end()
    again = Watched(tmp_path / "again")
    again.supervisor.start(redis_program(settings))
    assert answer(settings) == "yes"
    again.end()


def answer(settings: Settings) -> object:
    try:
        return Redis(unix_socket_path=str(settings.redis_socket), decode_responses=True).get("kept")
    except RedisError:
        # It is being restarted, or reads its file.
        return None


def test_the_socket_of_a_dead_redis_is_replaced(watched: Watched, settings: Settings) -> None:
    settings.redis_socket.parent.mkdir(parents=True)
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(settings.redis_socket))
    watched.supervisor.start(redis_program(settings))
    assert Redis(unix_socket_path=str(settings.redis_socket)).ping()


def test_a_folder_too_deep_for_a_socket_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="too long for a socket"):
        redis_program(Settings.model_validate({"MODEL_DIR": str(tmp_path / ("deep" * 30))}))


def test_the_backend_is_a_web_service_some_workers_and_a_scheduler() -> None:
    settings = Settings.model_validate({"WORKERS": "2"})
    names = [item.name for item in backend_programs(settings, os.environ)]
    assert names == ["Web service", "Worker 1", "Worker 2", "Scheduler"]
    assert [item.name for item in backend_programs(Settings.model_validate({"WORKERS": "1"}), os.environ)] == [
        "Web service",
        "Worker",
        "Scheduler",
    ]


# What is left over, and who owns what


def test_a_job_in_a_process_group_of_its_own_is_stopped_too(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_AFTER_S", 1.0)
    # As rq does with each job; its worker finishes the job on SIGTERM, so it is killed in the end.
    mark = tmp_path / "mark"
    code = f"""
import os, signal, time
job = os.fork()
if job == 0:
    os.setpgrp()
    open({str(mark)!r}, "w").write(str(os.getpid()))
    time.sleep(300)
signal.signal(signal.SIGTERM, lambda *_: None)
os.waitpid(job, 0)
"""
    watched.supervisor.start(program("Worker", code, lambda: mark.exists() and mark.read_text() != ""))
    watched.supervisor.stop()
    assert not runs(int(mark.read_text()))


def test_what_a_dead_program_left_does_not_keep_its_port(watched: Watched, tmp_path: Path) -> None:
    # As when uv dies and Label Studio, its child, stays.
    port, starts, served = free_port(), tmp_path / "starts", tmp_path / "served"
    code = f"""
import os, socket, sys, time
open({str(starts)!r}, "a").write("x")
child = os.fork()
if child == 0:
    server = socket.create_server(("127.0.0.1", {port}))
    open({str(served)!r}, "a").write("x")
    time.sleep(300)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    watched.supervisor.start(program("Label Studio", code, served.exists))
    watched.watcher.start()
    os.kill(watched.supervisor.pids()["Label Studio"], signal.SIGKILL)
    wait_for(lambda: served.read_text() == "xx", 20, "the second one")
    assert starts.read_text() == "xx"


def test_a_redis_that_is_started_or_too_busy_to_answer_is_not_taken_for_dead(
    watched: Watched, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "OLD_REDIS_S", 0.5)
    # Of two that start at once, one is refused.
    held = redis_program(settings)
    with pytest.raises(ConfigurationError, match="Another Prelabel runs"):
        redis_program(settings)
    assert held.lock is not None
    held.lock.close()
    watched.supervisor.start(redis_program(settings))
    pid = watched.supervisor.pids()["Redis"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ConfigurationError, match="Another Prelabel runs"):
            redis_program(settings)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert Redis(unix_socket_path=str(settings.redis_socket)).ping()


def test_a_program_that_is_not_there_is_named(watched: Watched) -> None:
    with pytest.raises(ConfigurationError, match=r"^Redis can't be run: .*/no/redis-server"):
        watched.supervisor.start(Program("Redis", ["/no/redis-server"], os.environ, lambda: True))


def test_logs_are_for_their_owner_only(watched: Watched) -> None:
    watched.supervisor.start(program("Worker", SLEEP))
    assert (watched.logs / "worker.log").stat().st_mode & 0o777 == 0o600


def test_our_own_addresses_are_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    handler = type("Handler", (BaseHTTPRequestHandler,), {"do_GET": lambda self: self.send_error(200)})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert answers(f"http://127.0.0.1:{server.server_port}/health")


def test_an_ended_process_that_nobody_asked_for_is_gone() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: start_time(ended.pid) == "", 10, "its end")
    ended.wait()
    assert start_time(os.getpid()) != ""


@pytest.mark.parametrize("folder", ["/etc/hostname", "/etc/hostname/below"])
def test_a_demo_folder_that_cant_be_used_is_named(folder: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{folder} can't be used for the demo"):
        run_demo(directory=Path(folder), port=free_port(), label_studio_port=free_port(), detach=False)


def test_a_demo_needs_two_ports(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose two"):
        run_demo(directory=tmp_path, port=9090, label_studio_port=9090, detach=False)
