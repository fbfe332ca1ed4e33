"""A real Label Studio from PyPI, in an environment of its own: for the demo and for tests."""

import os
import re
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

from backend.entrypoints.processes import Program, answers
from backend.errors import ConfigurationError, LabelStudioError

VERSION = "1.23.2"
NEWEST_PYTHON = 12
"""Minor version: Label Studio's pins have no wheels for every newer Python."""
START_TIMEOUT_S = 600.0
"""Downloading 200 MB on a slow line is part of the first start."""
REQUEST_TIMEOUT_S = 60.0
OURS = re.compile(
    r"^(LABEL_STUDIO_|BASIC_AUTH_|DATABASE_URL$|REDIS_URL$|MODEL_DIR$|HOST$|PORT$|UV_PYTHON$|VIRTUAL_ENV$)"
)
"""Variables that mean something else, or should stay unknown, to Label Studio."""


@dataclass(frozen=True, slots=True)
class Account:
    """The first user of a Label Studio."""

    email: str
    password: str


def label_studio_program(folder: Path, port: int, account: Account) -> Program:
    """Label Studio with its data in a folder, that may call this machine's private addresses.

    Raises:
        ConfigurationError: uv isn't there.
    """
    data = folder.resolve()
    data.mkdir(parents=True, exist_ok=True)
    python = f"3.{min(sys.version_info.minor, NEWEST_PYTHON)}"
    package = ["tool", "run", "--python", python, "--from", f"label-studio=={VERSION}", "label-studio"]
    command = [_uv(), *package, "start", "--no-browser", "--data-dir", str(data), "--port", str(port)]
    url = f"http://localhost:{port}"
    environment = {name: value for name, value in os.environ.items() if not OURS.match(name)} | {
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

    Raises:
        LabelStudioError: Label Studio refused the login or the token.
    """
    try:
        with httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S, follow_redirects=True) as client:
            _log_in(client, account)
            headers = {"X-CSRFToken": str(client.cookies.get("csrftoken")), "Referer": url}
            answer = client.post("/api/token/", headers=headers)
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


def _uv() -> str:
    found = shutil.which("uv")
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
