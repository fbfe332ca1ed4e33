"""`prelabel backup` and `prelabel restore` on an installation, and what they refuse."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.adapters.redis.queue import RedisQueue
from backend.adapters.sql.database import SqlDatabase
from backend.entrypoints.cli.main import cli
from backend.entrypoints.run.processes import alone
from backend.errors import ConfigurationError
from backend.ports import ProjectRecord
from backend.settings import Settings
from tests.conftest import free_port

KEY = "1.1-aaaaaaaa"


@pytest.fixture
def installation(tmp_path: Path, clean_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    values = {"MODEL_DIR": str(tmp_path / "models"), "REDIS_URL": clean_redis_url, "PORT": str(free_port())}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings = Settings()
    SqlDatabase(settings.sql_url, lambda: 5.0).save_project(ProjectRecord(KEY, 1, "Films"))
    (tmp_path / "models" / "projects" / KEY / "v1").mkdir(parents=True)
    (tmp_path / "models" / "projects" / KEY / "current").write_text("1")
    return settings


def run(*arguments: str) -> str:
    """Run a command; returns what it printed. Raises what the command raises."""
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_an_installation_is_backed_up_lost_and_restored(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.zip"
    assert "It holds tasks" in run("backup", str(file))
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "other"))
    assert "Start the services" in run("restore", str(file))
    restored = SqlDatabase(Settings().sql_url, lambda: 5.0)
    assert [project.title for project in restored.projects()] == ["Films"]
    assert (tmp_path / "other" / "projects" / KEY / "current").read_text() == "1"


def test_an_installation_that_is_not_empty_is_replaced_only_by_force(installation: Settings, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    run("backup", str(file))
    database = SqlDatabase(installation.sql_url, lambda: 5.0)
    database.save_project(ProjectRecord(KEY, 1, "Changed"))
    (tmp_path / "models" / "projects" / KEY / "v2").mkdir()
    with pytest.raises(ConfigurationError, match=r"not empty: .* the table projects\. .* --force"):
        run("restore", str(file))
    assert [project.title for project in database.projects()] == ["Changed"]
    run("restore", "--force", str(file))
    assert [project.title for project in database.projects()] == ["Films"]
    assert not (tmp_path / "models" / "projects" / KEY / "v2").exists()


def test_nothing_is_restored_while_services_run_not_even_by_force(installation: Settings, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    run("backup", str(file))
    RedisQueue(installation.queue_url, 60).beat()
    with pytest.raises(ConfigurationError, match="Stop the services first: the scheduler"):
        run("restore", "--force", str(file))


def test_nothing_is_restored_while_prelabel_up_has_the_folder(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.zip"
    run("backup", str(file))
    monkeypatch.setattr("backend.entrypoints.run.processes.OLD_REDIS_S", 0.1)
    with alone(installation), pytest.raises(ConfigurationError, match="stop it first"):
        run("restore", "--force", str(file))


def test_a_file_that_cant_be_written_or_isnt_there_is_named(installation: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="folder that exists"):
        run("backup", str(tmp_path / "none" / "backup.zip"))
    with pytest.raises(ConfigurationError, match="There is no file"):
        run("restore", str(tmp_path / "none.zip"))
