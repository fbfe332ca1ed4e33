"""Starting, watching and stopping the processes of an installation."""

import contextlib
import fcntl
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from backend.adapters.files import make_own
from backend.entrypoints.run.embedded_redis import redis_server, set_aside, why_not_writable, why_short
from backend.entrypoints.run.process_table import end_with_parent, kill_session, signal_group
from backend.errors import ConfigurationError
from backend.settings import Settings

STOP_AFTER_S = 10.0
"""A process that hasn't ended so long after SIGTERM is killed."""
SETTLED_AFTER_S = 30.0
"""A process that ran so long before it died is restarted without a pause."""
LONGEST_PAUSE_S = 30.0
MOST_LOG_BYTES = 1 << 20
OLD_REDIS_S = 5.0
"""A Redis whose owner was killed saves its data and ends: a start right after that waits so long for it."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how to tell that it works.

    `ready` is asked until it says True or `timeout_s` seconds have passed. `explain` turns the log since it was started
    into a sentence when it didn't start. `lock` stays open in the program, so that it is held as long as this runs.
    `heal` gets the exit code of a program that ended before it was ready, and its log since it was started; where it
    could put right what stopped it, it says so, and the program is started once more.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool]
    timeout_s: float = 60.0
    explain: Callable[[str], str] = field(default=lambda log: log)
    lock: IO[str] | None = None
    heal: Callable[[int, str], str] | None = None


@dataclass(slots=True)
class _Running:
    program: Program
    process: "subprocess.Popen[bytes]"
    started_at: float
    log_from: int = 0
    """Where in its log begins what it wrote itself."""
    pause_s: float = 0.0
    restart_at: float | None = None
    """Set while it is dead and its pause lasts."""
    was_ready: bool = False
    healed: bool = False
    """It was healed, and has not been ready since: it is not healed again."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM came while something was starting."""


class Supervisor:
    """Runs programs, each in a process group of its own and with its own log; restarts those that die.

    Children get SIGTERM from the kernel (Linux) when this process dies, even by kill -9.
    """

    def __init__(self, logs: Path, say: Callable[[str], None], stop: threading.Event) -> None:
        """`say` takes one sentence for the person who watches; `stop` ends waiting and watching."""
        self._logs = logs
        self._say = say
        self._stop = stop
        self._running: list[_Running] = []

    def start(self, program: Program) -> None:
        """Start a program and wait until it is ready.

        Raises:
            ConfigurationError: it ended or didn't get ready in time; the message names its log.
            Interrupted: `stop` was set meanwhile.
        """
        running = self._spawn(program)
        self._running.append(running)
        deadline = time.monotonic() + program.timeout_s
        while not program.ready():
            if running.process.poll() is not None:
                if not self._heal(running):
                    raise ConfigurationError(f"{program.name} ended as it started. {self._explain(running)}")
                running = self._running[-1] = self._again(running)
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{program.name} wasn't ready after {program.timeout_s:.0f} seconds. {self._explain(running)}"
                )
            if self._stop.wait(0.1):
                raise Interrupted
        if running.process.poll() is not None:
            # Something else answered in its place, for example another program on its port.
            raise ConfigurationError(f"{program.name} ended as it started. {self._explain(running)}")
        running.was_ready = True

    def pids(self) -> dict[str, int]:
        """Process ids by program name."""
        return {item.program.name: item.process.pid for item in self._running}

    def watch(self, changed: Callable[[], None] = lambda: None) -> None:
        """Restart what dies until told to stop; a program that dies again at once is given longer and longer pauses.

        `changed` is called after each restart: `pids` has another answer then.
        """
        while not self._stop.wait(0.5):
            for place, item in enumerate(self._running):
                if item.restart_at is None and item.process.poll() is not None:
                    self._bury(item)
                elif item.program.heal is not None and not item.was_ready and item.restart_at is None:
                    item.was_ready = item.program.ready()
                if item.restart_at is not None and time.monotonic() >= item.restart_at:
                    self._running[place] = self._again(item)
                    changed()

    def stop(self) -> None:
        """Stop everything that was started here, last first, with all children."""
        for item in reversed(self._running):
            if item.restart_at is not None:
                # Dead and cleared away: its number may be another program's by now.
                continue
            signal_group(item.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                item.process.wait(STOP_AFTER_S)
            # Also when it has ended: a child of its own may have stayed.
            kill_session(item.process.pid)
            item.process.wait()
        self._running.clear()

    def _bury(self, item: _Running) -> None:
        """Say that a program died, end what it left (it may hold its port or its job), and set when it comes back."""
        settled = time.monotonic() - item.started_at > SETTLED_AFTER_S
        item.pause_s = 0.0 if settled else min(LONGEST_PAUSE_S, max(1.0, 2 * item.pause_s))
        item.restart_at = time.monotonic() + item.pause_s
        code, log = item.process.returncode, self._log(item.program)
        self._say(f"{item.program.name} ended (exit code {code}): it is started again. Log: {log}")
        kill_session(item.process.pid)
        self._heal(item)

    def _heal(self, item: _Running) -> bool:
        """Put right what stopped a program that was never ready, and say so; False when nothing could be done."""
        heal, code = item.program.heal, item.process.returncode
        if heal is None or item.was_ready or item.healed:
            return False
        why, done = self._explain(item), heal(code, self._said(item))
        if done:
            item.healed = True
            self._say(f"{item.program.name} ended as it started. {why}\n{done}")
            with self._log(item.program).open("a") as log:
                log.write(f"{done}\n")
        return bool(done)

    def _again(self, item: _Running) -> _Running:
        """Start a program again, which remembers its pause and that it was healed."""
        started = self._spawn(item.program)
        started.pause_s, started.healed = item.pause_s, item.healed and not item.was_ready
        return started

    def _spawn(self, program: Program) -> _Running:
        self._logs.mkdir(parents=True, exist_ok=True)
        # Programs may log what only their owner should read.
        with os.fdopen(os.open(self._log(program), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            log_from = os.fstat(log.fileno()).st_size
            try:
                process = subprocess.Popen(
                    list(program.command),
                    env=dict(program.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[program.lock.fileno()] if program.lock else [],
                    # Ctrl-C in the terminal reaches us alone; we then stop the others in order.
                    start_new_session=True,
                    preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no Python locks
                )
            except OSError as error:
                raise ConfigurationError(f"{program.name} can't be run: {error}.") from error
        return _Running(program, process, time.monotonic(), log_from)

    def _log(self, program: Program) -> Path:
        return self._logs / f"{program.name.replace(' ', '-').lower()}.log"

    def _said(self, item: _Running) -> str:
        """What a program wrote into its log since it was started; of much, the last part. "" where the log is gone."""
        with contextlib.suppress(FileNotFoundError), self._log(item.program).open("rb") as log:
            log.seek(max(item.log_from, os.fstat(log.fileno()).st_size - MOST_LOG_BYTES))
            return log.read().decode(errors="replace")
        return ""

    def _explain(self, item: _Running) -> str:
        said = item.program.explain(self._said(item).strip()).strip().splitlines()
        return f"{said[-1] if said else 'It said nothing'} (log: {self._log(item.program)})"


def check_port(port: int, option: str) -> None:
    """Make sure that a port is free.

    Raises:
        ConfigurationError: it isn't; the message names the option that chooses another one.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise ConfigurationError(f"Port {port} is the system's: choose one from 1024 on with {option}.") from error
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} is in use by another program: stop it, or choose another port with {option}."
            ) from error


def redis_program(settings: Settings) -> Program:
    """The embedded Redis: on a unix socket in a folder only we may enter, never on a port; keeps its data in a file.

    Raises:
        ConfigurationError: another Prelabel uses this MODEL_DIR, or something else does.
    """
    path = settings.redis_socket
    if len(str(path)) > 100:
        # The kernel's limit for socket addresses is 108 bytes (104 on macOS).
        raise ConfigurationError(f"The path {path} is too long for a socket: choose a folder with a shorter path.")
    make_own(path.parent)
    lock = _lock(path.parent / "lock")
    if lock is None or _is_listening(path):
        raise ConfigurationError(
            f"Another Prelabel runs on {settings.model_dir.resolve()}: stop it, or set MODEL_DIR to another folder."
        )
    path.unlink(missing_ok=True)
    options = {"--port": "0", "--unixsocket": str(path), "--dir": str(path.parent), "--appendonly": "yes", "--save": ""}
    command = [str(redis_server()), *(word for pair in options.items() for word in pair)]
    return Program(
        "Redis",
        command,
        os.environ,
        lambda: _answers(path),
        explain=lambda log: why_not_writable(path.parent) or why_short(log) or log,
        lock=lock,
        heal=lambda code, log: set_aside(path.parent, code, log),
    )


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keep `prelabel up` and the demo from starting on this MODEL_DIR.

    Raises:
        ConfigurationError: one of them runs.
    """
    folder = settings.redis_socket.parent
    make_own(folder)
    held = _lock(folder / "lock")
    if held is None or _is_listening(settings.redis_socket):
        raise ConfigurationError(f"Prelabel runs on {settings.model_dir.resolve()}: stop it first.")
    with held:
        yield


def backend_programs(settings: Settings, environment: Mapping[str, str]) -> list[Program]:
    """The web service, the workers and the scheduler."""

    def program(name: str, command: str, ready: Callable[[], bool]) -> Program:
        return Program(name, [sys.executable, "-m", "backend.entrypoints.cli.main", command], environment, ready)

    def started() -> bool:
        return True

    workers = [f"Worker {number + 1}" if settings.workers > 1 else "Worker" for number in range(settings.workers)]
    return [
        # 401: it runs, and HEALTH_AUTH is set.
        program(
            "Web service", "web", lambda: answers(f"http://127.0.0.1:{settings.port}/health", frozenset({200, 401}))
        ),
        *(program(name, "worker", started) for name in workers),
        program("Scheduler", "scheduler", started),
    ]


def answers(url: str, statuses: frozenset[int] = frozenset({200})) -> bool:
    """Whether a GET is answered with one of these statuses."""
    try:
        return _client().get(url).status_code in statuses
    except httpx.HTTPError:
        return False


@functools.cache
def _client() -> httpx.Client:
    """Asks programs whether they are ready, ten times a second: to make a client takes longer than to ask."""
    # These are our own addresses: a company's proxy, which the environment may name, can't reach them.
    return httpx.Client(timeout=2.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def stop_on_signals() -> threading.Event:
    """An event that SIGINT (Ctrl-C), SIGTERM and a closed terminal set, instead of ending the process at once."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup asks us to survive the terminal: what is ignored stays ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    return stop


def _answers(socket_path: Path) -> bool:
    # Asked again by us: the client's own pauses between tries take five seconds.
    client = Redis(unix_socket_path=str(socket_path), socket_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        return socket_path.exists() and bool(client.ping())
    except (RedisError, OSError):
        return False


def _is_listening(socket_path: Path) -> bool:
    """Whether a server has this socket, even one that is loading its data, or too busy to answer."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(socket_path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


def _lock(path: Path) -> IO[str] | None:
    """A lock that Redis inherits: the kernel frees it when Redis and we are gone. None when another one holds it."""
    file = path.open("w")
    deadline = time.monotonic() + OLD_REDIS_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                return None
            time.sleep(0.1)
