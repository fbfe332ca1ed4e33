"""A real Label Studio from PyPI, in an environment of its own: for the demo and for tests."""

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx

from backend.entrypoints.run.processes import Program, answers
from backend.errors import ConfigurationError, LabelStudioError

VERSION = "1.23.2"
SETTLED_SETUPTOOLS = (1, 15)
"""Releases before this one import `pkg_resources`, which setuptools has no more from 81 on."""
NEWEST_PYTHON = 12
"""Minor version: Label Studio's pins have no wheels for every newer Python."""
START_TIMEOUT_S = 600.0
"""Downloading 200 MB on a slow line is part of the first start."""
REQUEST_TIMEOUT_S = 60.0
OURS = re.compile(
    r"^(LABEL_STUDIO_|HEARTEX_|DJANGO_|POSTGRE_|REDIS_|BASIC_AUTH_|DATABASE_URL$|MODEL_DIR$|HOST$|PORT$|"
    r"UV_PYTHON$|VIRTUAL_ENV$|PYTHONPATH$|PYTHONHOME$)"
)
"""Variables that mean something else, or should stay unknown, to Label Studio."""


@dataclass(frozen=True, slots=True)
class Account:
    """The first user of a Label Studio."""

    email: str
    password: str


def label_studio_program(
    folder: Path, port: int, account: Account, host: str = "127.0.0.1", version: str = VERSION
) -> Program:
    """Label Studio with its data in a folder, that may call this machine's private addresses.

    It listens on `host` only: by default it would serve the whole network, where anybody may sign up, and from there
    make it call those addresses.

    Raises:
        ConfigurationError: uv isn't there.
    """
    data = folder.resolve()
    data.mkdir(parents=True, exist_ok=True)
    python = f"3.{min(sys.version_info.minor, NEWEST_PYTHON)}"
    environment = {name: value for name, value in os.environ.items() if not OURS.match(name)}
    options = ["start", "--no-browser", "--data-dir", str(data), "--port", str(port), "--internal-host", host]
    command = [*_runner(python, environment, version), "label-studio", *options]
    url = f"http://localhost:{port}"
    environment |= {
        "LABEL_STUDIO_HOST": url,
        # The account goes by environment: a command line can be read by every user of the machine.
        "LABEL_STUDIO_USERNAME": account.email,
        "LABEL_STUDIO_PASSWORD": account.password,
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "SECRET_KEY": _secret_key(data),
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false",
    }
    return Program(
        "Label Studio",
        command,
        environment,
        lambda: answers(f"{url}/health"),
        START_TIMEOUT_S,
        _explain,
    )


def make_token(url: str, account: Account) -> str:
    """A personal access token of the first user. A user has one, and it is shown only when it is made: keep it.

    Where it was made before and then lost, the legacy token takes its place: that one can be read again. Before Label
    Studio 1.17 there is only that one.

    Raises:
        LabelStudioError: Label Studio refused the login or the token.
    """
    try:
        with httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S, follow_redirects=True, trust_env=False) as client:
            _log_in(client, account)
            headers = {"X-CSRFToken": str(client.cookies.get("csrftoken")), "Referer": url}
            answer = client.post("/api/token/", headers=headers)
            if answer.status_code == HTTPStatus.CONFLICT:
                allowed = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
                client.post("/api/jwt/settings", json=allowed, headers=headers).raise_for_status()
            if answer.status_code in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                answer = client.get("/api/current-user/token")
            answer.raise_for_status()
            return str(answer.json()["token"])
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise LabelStudioError(f"Label Studio at {url} gave no access token ({error}).") from error


def _log_in(client: httpx.Client, account: Account) -> None:
    client.get("/user/login/").raise_for_status()
    form = {
        "email": account.email,
        "password": account.password,
        "csrfmiddlewaretoken": client.cookies.get("csrftoken", ""),
    }
    client.post("/user/login/", data=form, headers={"Referer": str(client.base_url)}).raise_for_status()
    if "sessionid" not in client.cookies:
        raise LabelStudioError(f"Label Studio refused the login of {account.email}.")


def _runner(python: str, environment: Mapping[str, str], version: str) -> list[str]:
    """How to run something in Label Studio's environment; without the network when uv's cache has all of it.

    uv asks the index again at each start otherwise, so that a demo couldn't be resumed without a connection.
    """
    uv = _uv()
    package = ["--python", python, "--from", f"label-studio=={version}"]
    if tuple(int(part) for part in version.split(".")[:2]) < SETTLED_SETUPTOOLS:
        package += ["--with", "setuptools<81"]
    offline = [uv, "tool", "run", "--offline", *package]
    cached = subprocess.run([*offline, "python", "-c", ""], env=dict(environment), capture_output=True, check=False)
    return offline if cached.returncode == 0 else [uv, "tool", "run", *package]


def _uv() -> str:
    # `uv run` says in UV which uv it is, also when that isn't on PATH.
    found = shutil.which("uv") or shutil.which(os.environ.get("UV", ""))
    if found is None:
        raise ConfigurationError(
            "uv is missing, which installs Label Studio: see https://docs.astral.sh/uv/, then retry."
        )
    return found


def _secret_key(folder: Path) -> str:
    """Label Studio signs tokens with it: it must be the same at each start."""
    path = folder / "secret-key"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text()


def _explain(log: str) -> str:
    if re.search(r"address already in use|port is already in use", log, re.IGNORECASE):
        return "Its port is in use by another program."
    if re.search(r"dns error|failed to fetch|network|connect error|no solution found|offline", log, re.IGNORECASE):
        return "Label Studio could not be downloaded from PyPI: is there a connection to the network?"
    return log
