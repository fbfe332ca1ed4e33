"""Commands on a house: fakes for Label Studio, real parts for all else."""

from types import SimpleNamespace
from typing import cast

import pytest
from typer.testing import CliRunner

from backend.adapters.label_studio.client import LabelStudioApi
from backend.adapters.redis.queue import RedisQueue
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.versions.folders import VersionFolders
from backend.bootstrap import App
from backend.entrypoints.cli import installation, training
from backend.entrypoints.cli.main import cli
from backend.settings import Settings
from tests.screen import screen
from tests.unit.house import House


def app_of(house: House, queue: RedisQueue, settings: Settings | None = None) -> App:
    """The application that commands see."""
    app = SimpleNamespace(
        settings=settings or Settings(),
        deps=house.deps,
        label_studio=cast("LabelStudioApi", house.label_studio),
        database=cast("SqlDatabase", house.deps.database),
        versions=cast("VersionFolders", house.deps.versions),
        queue=queue,
        key=lambda uid: f"{uid}-aaaaaaaa",
        may_have_moved=lambda: False,
    )
    return cast("App", app)


def use(monkeypatch: pytest.MonkeyPatch, app: App) -> None:
    """Let all commands work on an application."""
    monkeypatch.setattr(installation, "looked_at", lambda: app)
    monkeypatch.setattr(training, "build", lambda _: app)


def run(*arguments: str, width: int = 200, code: int = 0) -> str:
    """Run a command; returns what it printed."""
    with screen(width) as text:
        done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output + text.getvalue()
    return text.getvalue()
