"""A database that isn't the one of MODEL_DIR is noticed and not written to, on SQLite and on Postgres."""

import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.adapters.backup import Backup
from backend.adapters.sql import engine as sql_module
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.installation import Installation, _noted
from backend.adapters.sql.tables import projects
from backend.errors import ConfigurationError, WrongDatabase
from backend.ports import ProjectRecord
from tests.contract.test_backup import own

KEY = "1.1700000000-0123abcd"


@pytest.fixture(autouse=True)
def checked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_module, "CHECK_EACH_S", -1.0)
    _noted.clear()


@pytest.fixture
def database_url(database_url: str) -> str:
    """A database of its own, also where tests share a server."""
    return own(database_url)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def opened(url: str, root: Path) -> SqlDatabase:
    """The database as a process that starts now sees it."""
    return SqlDatabase(Sql(url, Installation(root)), lambda: 0.0)


def record(title: str = "") -> ProjectRecord:
    return ProjectRecord(KEY, 1, title)


def test_processes_of_a_new_installation_share_one_id(database_url: str, root: Path) -> None:
    first, second = opened(database_url, root), opened(database_url, root)
    first.save_project(record())
    assert [item.key for item in second.projects()] == [KEY]
    assert len((root / "installation").read_text().strip()) == 32
    assert (root / "installation").stat().st_mode & 0o777 == 0o600


def test_an_installation_of_an_earlier_release_goes_on(database_url: str, root: Path) -> None:
    SqlDatabase(Sql(database_url), lambda: 0.0).save_project(record())
    assert [item.key for item in opened(database_url, root).projects()] == [KEY]
    assert [item.key for item in opened(database_url, root).projects()] == [KEY]


def test_the_database_of_another_installation_is_refused(database_url: str, root: Path, tmp_path: Path) -> None:
    opened(f"sqlite:///{tmp_path / 'ours.sqlite3'}", root).save_project(record())
    opened(database_url, tmp_path / "other").save_project(record("theirs"))
    database = opened(database_url, root)
    with pytest.raises(WrongDatabase, match=r"belongs to another installation\. Nothing is written to it"):
        database.save_project(record("ours"))
    with pytest.raises(WrongDatabase):
        database.projects()
    with Sql(database_url).begin() as connection:
        assert connection.scalar(select(projects.c.title)) == "theirs"


def test_an_empty_database_is_refused_until_it_is_accepted(database_url: str, root: Path, tmp_path: Path) -> None:
    opened(f"sqlite:///{tmp_path / 'ours.sqlite3'}", root).save_project(record())
    with pytest.raises(WrongDatabase, match=r"(is empty|is gone).*delete the file .*models/installation"):
        opened(database_url, root).projects()
    (root / "installation").unlink()
    assert opened(database_url, root).projects() == []
    assert opened(database_url, root).projects() == []


def test_a_deleted_folder_is_noticed_and_accepted_by_a_restart(database_url: str, root: Path) -> None:
    database = opened(database_url, root)
    database.save_project(record())
    database.note()
    shutil.rmtree(root)
    with pytest.raises(WrongDatabase, match="MODEL_DIR was deleted"):
        database.save_project(record("again"))
    with pytest.raises(WrongDatabase, match="MODEL_DIR was deleted"):
        opened(database_url, root).projects()
    _noted.clear()
    assert [item.title for item in opened(database_url, root).projects()] == [""]


def test_a_backup_moves_an_installation_to_another_database(database_url: str, root: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ours.sqlite3'}"
    opened(url, root).save_project(record("kept"))
    Backup(Sql(url, Installation(root)), root).write(tmp_path / "backup.zip")
    Backup(Sql(database_url, Installation(root)), root).restore(tmp_path / "backup.zip")
    assert [item.title for item in opened(database_url, root).projects()] == ["kept"]
    Backup(Sql(database_url, Installation(tmp_path / "second")), tmp_path / "second").restore(tmp_path / "backup.zip")
    assert [item.title for item in opened(database_url, tmp_path / "second").projects()] == ["kept"]


def test_a_restore_leaves_running_processes_their_database(database_url: str, root: Path, tmp_path: Path) -> None:
    database = opened(database_url, root)
    database.save_project(record("backed up"))
    Backup(Sql(database_url, Installation(root)), root).write(tmp_path / "backup.zip")
    database.save_project(record("later"))
    Backup(Sql(database_url, Installation(root)), root).restore(tmp_path / "backup.zip")
    assert [item.title for item in database.projects()] == ["backed up"]
    database.save_project(record("after"))


def delete(path: Path, _: Path) -> None:
    path.unlink()


def delete_all(path: Path, _: Path) -> None:
    for found in path.parent.glob(f"{path.name}*"):
        found.unlink()


def replace_by_new(path: Path, _: Path) -> None:
    delete_all(path, path)
    sqlite3.connect(path).close()


def replace_by_old(path: Path, old: Path) -> None:
    delete_all(path, path)
    shutil.copy(old, path)


def delete_wal(path: Path, _: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def fill_with_another(path: Path, _: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE installation SET id = 'another'")


@pytest.mark.parametrize("damage", [delete, delete_all, replace_by_new, replace_by_old, delete_wal, fill_with_another])
def test_another_sqlite_file_is_noticed(tmp_path: Path, root: Path, damage: Callable[[Path, Path], None]) -> None:
    path, old = tmp_path / "p.sqlite3", tmp_path / "old.sqlite3"
    running = opened(f"sqlite:///{path}", root)
    running.save_project(record("before"))
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(old)) as copy:
        source.backup(copy)
    running.note()
    damage(path, old)
    here = sorted(item.name for item in tmp_path.iterdir())
    with pytest.raises(WrongDatabase):
        running.save_project(record("after"))
    with pytest.raises(WrongDatabase):
        running.ping()
    if damage is not delete_wal:
        # A job's process, forked from a worker that has seen the file.
        with pytest.raises(WrongDatabase):
            opened(f"sqlite:///{path}", root).projects()
    assert sorted(item.name for item in tmp_path.iterdir()) == here, "a new database appeared"


def test_a_file_that_is_put_back_is_used_again(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "p.sqlite3"
    running = opened(f"sqlite:///{path}", root)
    running.save_project(record("before"))
    moved = [(found, found.with_name(f"moved-{found.name}")) for found in tmp_path.glob("p.sqlite3*")]
    for found, away in moved:
        found.rename(away)
    with pytest.raises(WrongDatabase):
        running.projects()
    for found, away in moved:
        away.rename(found)
    assert [item.title for item in running.projects()] == ["before"]


def test_a_server_that_accepts_and_says_nothing_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_module, "CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = SqlDatabase(Sql(f"postgresql+psycopg://x:y@127.0.0.1:{silent.getsockname()[1]}/none"), lambda: 0.0)
        with pytest.raises(ConfigurationError, match=r"DATABASE_URL.*timeout"):
            database.ping()
