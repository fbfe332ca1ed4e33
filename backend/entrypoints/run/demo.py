"""`prelabel demo`: Label Studio, a sample project and Prelabel, from nothing to the first suggestion."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpx
from pydantic import TypeAdapter

from backend.adapters.files import replace_synced
from backend.adapters.label_studio.client import LabelStudioApi
from backend.entrypoints.connect import connect_project
from backend.entrypoints.console import out, say, spinner
from backend.entrypoints.run.label_studio import Account, label_studio_program, make_token
from backend.entrypoints.run.process_table import kill_session, start_time
from backend.entrypoints.run.processes import (
    Interrupted,
    Supervisor,
    backend_programs,
    check_port,
    redis_program,
    stop_on_signals,
)
from backend.entrypoints.sample import LABEL_CONFIG, load_gold, load_reviews
from backend.errors import BackendError, ConfigurationError, LabelStudioAuthError, LabelStudioError
from backend.settings import Settings

EMAIL = "demo@example.com"
TITLE = "Film reviews (Prelabel demo)"
FIRST_VERSION_TIMEOUT_S = 300.0
DETACHED_TIMEOUT_S = 900.0
STOP_TIMEOUT_S = 60.0
FAILURE = "prelabel: "
"""What `cli.main` writes before the sentence of an expected failure."""


@dataclass(slots=True)
class DemoState:
    """What `demo.json` holds, for scripts and for the next start. It has secrets: only its owner may read it."""

    label_studio_url: str
    backend_url: str
    email: str
    password: str
    api_key: str = ""
    project_id: int = 0
    model_dir: str = ""
    ready: bool = False
    supervisor_pid: int = 0
    supervisor_started: str = ""
    pids: dict[str, int] = field(default_factory=dict)
    started: dict[str, str] = field(default_factory=dict)
    """When each of `pids` started: a process id alone may be another program's by now."""

    def save(self, folder: Path) -> None:
        """Write the file as a whole, mode 600."""
        replace_synced(folder / "demo.json", json.dumps(asdict(self), indent=1).encode())


def load_state(folder: Path) -> DemoState | None:
    """The state of a demo folder; None when there is none.

    Raises:
        ConfigurationError: the file is damaged.
    """
    path = folder / "demo.json"
    try:
        return TypeAdapter(DemoState).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{folder} can't be used for the demo: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is damaged: delete the folder {folder} to start anew.") from error


def run_demo(*, directory: Path, port: int, label_studio_port: int, detach: bool) -> None:
    """Start or resume the demo; runs until Ctrl-C unless `detach`.

    Raises:
        BackendError: something can't be had, in one sentence.
    """
    folder = directory.resolve()
    if port == label_studio_port:
        raise ConfigurationError(f"Port {port} can't be both --port and --label-studio-port: choose two.")
    state = load_state(folder)
    if state is not None and _runs(state):
        if not state.ready:
            raise ConfigurationError(
                f"The demo is being started already: see {folder / 'logs'}, or end it with --stop."
            )
        say("The demo is running already.")
        _welcome(state, folder)
        return
    if state is not None:
        _stop_leftovers(state)
    check_port(port, "--port")
    check_port(label_studio_port, "--label-studio-port")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            # Files with the password and the API key are private in a folder of others, too.
            folder.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(f"{folder} can't be used for the demo: {error.strerror}.") from error
    if detach:
        _detach(folder, port, label_studio_port)
        return
    _run(folder, port, label_studio_port)


def stop_demo(directory: Path) -> None:
    """Stop a demo that runs in the background; returns when all of it is gone.

    Raises:
        ConfigurationError: there is no demo in this folder.
    """
    folder = directory.resolve()
    state = load_state(folder)
    if state is None:
        raise ConfigurationError(f"There is no demo in {folder}: name its folder with --dir.")
    if not _runs(state):
        say("The demo is not running.")
        return
    os.kill(state.supervisor_pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _runs(state):
        if time.monotonic() > deadline:
            raise ConfigurationError(f"The demo (process {state.supervisor_pid}) doesn't end: see {folder / 'logs'}.")
        time.sleep(0.2)
    say(f"Stopped. Its data stays in {folder}.")


def demo_settings(directory: Path) -> dict[str, str]:
    """Environment variables with which any other command works on a demo.

    Raises:
        ConfigurationError: there is no demo in this folder.
    """
    state = load_state(directory.resolve())
    if state is None:
        raise ConfigurationError(f"There is no demo in {directory}: start one with `prelabel demo`.")
    return _environment(state)


def _run(folder: Path, port: int, label_studio_port: int) -> None:
    stop = stop_on_signals()
    # The environment may name a company's proxy, which can't reach this machine's own addresses.
    os.environ.update(_no_proxy())
    supervisor = Supervisor(folder / "logs", say, stop)
    state = load_state(folder) or DemoState("", "", EMAIL, secrets.token_urlsafe(12))
    state.label_studio_url = f"http://localhost:{label_studio_port}"
    state.backend_url = f"http://localhost:{port}"
    state.model_dir = str(folder / "prelabel")
    state.ready = False
    state.supervisor_pid, state.supervisor_started = os.getpid(), start_time(os.getpid())
    state.save(folder)
    try:
        _start_all(supervisor, state, folder, label_studio_port)

        def remember() -> None:
            state.pids = supervisor.pids()
            state.started = {name: start_time(pid) for name, pid in state.pids.items()}
            state.save(folder)

        remember()
        _prepare_project(state, folder, stop.is_set)
        _welcome(state, folder)
        say("Ctrl-C stops it; the same command resumes it.")
        # Last: `_follow` shows what was said before it.
        state.ready = True
        state.save(folder)
        supervisor.watch(remember)
    except Interrupted:
        say("Interrupted.")
    finally:
        with _step("Stopping"):
            supervisor.stop()
        state.ready, state.pids, state.supervisor_pid = False, {}, 0
        state.save(folder)
    say(f"Stopped. All data stays in {folder}.")


def _start_all(supervisor: Supervisor, state: DemoState, folder: Path, label_studio_port: int) -> None:
    account, settings = Account(state.email, state.password), _settings(state)
    redis = redis_program(settings)
    with _step("Starting Label Studio (the first time it is downloaded and sets up its database: some minutes)"):
        supervisor.start(label_studio_program(folder / "label-studio", label_studio_port, account, settings.host))
    if not state.api_key or not _accepted(state):
        state.api_key = make_token(state.label_studio_url, account)
        state.save(folder)
    environment = os.environ | _environment(state)
    with _step("Starting Prelabel (Redis, web service, worker, scheduler)"):
        for program in [redis, *backend_programs(settings, environment)]:
            supervisor.start(program)


def _prepare_project(state: DemoState, folder: Path, interrupted: Callable[[], bool]) -> None:
    settings = _settings(state)
    label_studio = LabelStudioApi(state.label_studio_url, state.api_key, settings.label_studio_timeout_s)
    if not state.project_id or not _project_exists(label_studio, state.project_id):
        with _step("Making the sample project"):
            state.project_id = _make_project(state, folder)
            state.save(folder)
    with _step("Connecting it to Prelabel"):
        connect_project(settings, state.project_id)
    with _step("Waiting for the first suggestions"):
        deadline = time.monotonic() + FIRST_VERSION_TIMEOUT_S
        while not label_studio.project(state.project_id).model_version.startswith("v"):
            if interrupted():
                raise Interrupted
            if time.monotonic() > deadline:
                raise LabelStudioError(f"No suggestions came: see `prelabel jobs` and the logs in {folder / 'logs'}.")
            time.sleep(0.5)


def _accepted(state: DemoState) -> bool:
    """Whether Label Studio still takes our key: its user may have revoked it."""
    try:
        LabelStudioApi(state.label_studio_url, state.api_key).whoami()
    except LabelStudioAuthError:
        return False
    return True


def _project_exists(label_studio: LabelStudioApi, project_id: int) -> bool:
    """Whether the sample project is still there: people delete projects."""
    try:
        label_studio.project(project_id)
    except LabelStudioError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def _make_project(state: DemoState, folder: Path) -> int:
    """Make the project with its tasks; the gold labels go into a file beside it, where no model sees them."""
    reviews, gold = load_reviews(), load_gold()
    try:
        with _signed_in(state) as client:
            answer = client.post("/api/projects/", json={"title": TITLE, "label_config": LABEL_CONFIG})
            project_id = int(answer.raise_for_status().json()["id"])
            tasks = [{"data": review} for review in reviews]
            path = f"/api/projects/{project_id}/import?return_task_ids=true"
            task_ids = client.post(path, json=tasks).raise_for_status().json()["task_ids"]
    except (httpx.HTTPError, KeyError) as error:
        raise LabelStudioError(f"The sample project could not be made ({error}).") from error
    with (folder / "gold.jsonl").open("w") as file:
        for task_id, review in zip(task_ids, reviews, strict=True):
            label = gold[str(review["id"])]
            file.write(json.dumps({"task_id": task_id, "id": review["id"], "label": label}) + "\n")
    return project_id


@contextmanager
def _signed_in(state: DemoState) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=state.label_studio_url, timeout=60.0, trust_env=False) as client:
        if "." in state.api_key:
            answer = client.post("/api/token/refresh/", json={"refresh": state.api_key}).raise_for_status()
            client.headers["Authorization"] = f"Bearer {answer.json()['access']}"
        else:
            client.headers["Authorization"] = f"Token {state.api_key}"
        yield client


def _detach(folder: Path, port: int, label_studio_port: int) -> None:
    """Run the demo in a process of its own; show its progress until it is ready."""
    log = folder / "logs" / "demo.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    options = ["--dir", str(folder), "--port", str(port), "--label-studio-port", str(label_studio_port)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.entrypoints.cli.main", "demo", *options],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _follow(process, log, folder)
    except (KeyboardInterrupt, ConfigurationError):
        # It would stay half started in the background, holding its ports.
        process.terminate()
        process.wait()
        raise
    state = load_state(folder)
    say(f"Password       {state.password if state else ''}")
    say(f"It runs in the background. Stop it with: prelabel demo --stop --dir {folder}")


def _follow(process: "subprocess.Popen[bytes]", log: Path, folder: Path) -> None:
    """Show the background process's progress until it is ready.

    Raises:
        ConfigurationError: it ended or took too long; the message is its own last sentence.
    """
    n_said, deadline = 0, time.monotonic() + DETACHED_TIMEOUT_S
    while True:
        # Asked before its output is read: nothing it says before it ends is lost.
        ended, state = process.poll() is not None, load_state(folder)
        text = log.read_text(errors="replace")
        progress, _, sentence = text.partition(FAILURE)
        # The last line may be half written.
        for line in progress.split("\n")[n_said:-1]:
            say(line)
            n_said += 1
        if state is not None and state.ready and state.supervisor_pid == process.pid:
            return
        if ended:
            raise ConfigurationError(sentence.strip() or f"The demo ended as it started: see {log}.")
        if time.monotonic() > deadline:
            raise ConfigurationError(f"The demo isn't ready after {DETACHED_TIMEOUT_S / 60:.0f} minutes: see {log}.")
        time.sleep(0.3)


def _no_proxy() -> dict[str, str]:
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = ",".join(filter(None, [known, "localhost", "127.0.0.1"]))
    return {"NO_PROXY": names, "no_proxy": names}


def _environment(state: DemoState) -> dict[str, str]:
    return {
        "LABEL_STUDIO_URL": state.label_studio_url,
        "LABEL_STUDIO_API_KEY": state.api_key,
        "MODEL_DIR": state.model_dir,
        "BACKEND_URL": state.backend_url,
        "PORT": state.backend_url.rsplit(":", 1)[1],
        # The demo brings its own of both, whatever the shell has set for other installations.
        "REDIS_URL": "",
        "DATABASE_URL": "",
    }


def _settings(state: DemoState) -> Settings:
    return Settings.model_validate(_environment(state))


def _welcome(state: DemoState, folder: Path) -> None:
    project = f"{state.label_studio_url}/projects/{state.project_id}"
    # Without a terminal this goes into a log or a pipe.
    password = state.password if out.is_terminal else f"in {folder / 'demo.json'}"
    text = f"""
Label Studio   {project}
Login          {state.email}   Password  {password}
Prelabel       {state.backend_url}/docs

What to try next
- Open the project and press "Label All Tasks": a label is selected already. Press Submit, or correct it first.
- After 10 labels a new version appears: `prelabel --demo {folder} versions {state.project_id}`, `... jobs`.
- The tab "Prelabel: next" has the tasks that teach most, "Prelabel: check" the labels that look wrong.
- The rules are in lf_rules; the right answers, for comparison, in {folder / "gold.jsonl"}.
"""
    for line in text.split("\n"):
        say(line)


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Say what happens and how long it took."""
    started = time.monotonic()
    say(f"{what} ...")
    with spinner(what):
        try:
            yield
        except (BackendError, Interrupted):
            say("  did not work")
            raise
    say(f"  done ({time.monotonic() - started:.0f} s)")


def _runs(state: DemoState) -> bool:
    """Whether the demo's own process runs; process ids are used again, so its start time must match."""
    return bool(state.supervisor_pid) and start_time(state.supervisor_pid) == state.supervisor_started


def _stop_leftovers(state: DemoState) -> None:
    """End what a demo that was killed has left running."""
    for name, pid in state.pids.items():
        if state.started.get(name) and start_time(pid) == state.started[name]:
            say(f"Stopping {name}, which an earlier demo left running.")
            kill_session(pid)
