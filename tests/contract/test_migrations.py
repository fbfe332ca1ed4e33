"""A database of any earlier release is brought to today's schema, whatever happens on the way."""

import multiprocessing
import re
import uuid
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url

from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.llm_records import SqlLlmRecords
from backend.adapters.sql.migrations import FOLDER, HEAD, all_tables, bring_up_to_date, revision
from backend.errors import ConfigurationError
from backend.ports import SuspectStatus, VerdictRecord

EARLIER = sorted((Path(__file__).parent / "earlier").glob("*.sql"))
"""What releases of before alembic had made, as SQLite's own dump of it."""
ROWS = [
    "INSERT INTO projects (key, project_id, title, label_config, full_sync_at, checked_at) "
    "VALUES ('k', 1, 'Films', '<View/>', 5, 0)",
    "INSERT INTO tasks (key, id, data, is_open, updated_at, suggested) VALUES ('k', 2, '{}', '1', '2026', 0)",
    "INSERT INTO annotations (key, id, task_id, answers, skipped, updated_at) VALUES ('k', 3, 2, '{}', '0', '2026')",
    "INSERT INTO suspects (key, task_id, question, given, expected, quality, status, seen, tagged) "
    """VALUES ('k', 2, 'q', '["A"]', '["B"]', 0.1, 'suspect', '[]', '1')""",
    "INSERT INTO llm_money (key, spent, held, unknown) VALUES ('k', 2500000000, 0, 0)",
]


@pytest.fixture
def database_url(database_url: str) -> str:
    """A database of its own, also where tests share a server."""
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return database_url
    name = f"own_{uuid.uuid4().hex}"
    with create_engine(database_url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return make_url(database_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def empty(database_url: str) -> Engine:
    return create_engine(database_url)


def upgrade(engine: Engine, target: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, target)


def fill(engine: Engine) -> None:
    with engine.begin() as connection:
        for row in ROWS:
            connection.execute(text(row))


def assert_is_todays(engine: Engine) -> None:
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), all_tables())
        assert found == []
        assert revision(connection) == HEAD


def assert_has_the_rows(url: str) -> None:
    sql = Sql(url)
    database = SqlDatabase(sql, lambda: 9.0)
    (suspect,) = database.suspects("k")
    assert (suspect.task_id, suspect.question, suspect.region) == (2, "q", "")
    assert (suspect.given, suspect.expected, suspect.status) == (("A",), ("B",), SuspectStatus.OPEN)
    (project,) = database.projects()
    assert (project.key, project.title) == ("k", "Films")
    (task,) = database.tasks("k")
    assert [entry.id for entry in task.annotations] == [3]
    assert SqlLlmRecords(sql, lambda: 9.0).spending("k").spent == 2.5


def test_the_newest_revision_is_the_one_that_is_asked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_new_database_has_todays_schema(empty: Engine, database_url: str) -> None:
    SqlDatabase(database_url, lambda: 0.0).ping()
    assert_is_todays(empty)


@pytest.mark.parametrize(
    ("start", "is_stamped"),
    [*((f"{number:04}", True) for number in range(1, int(HEAD))), *((f"000{number}", False) for number in range(1, 5))],
)
def test_each_revision_is_brought_to_todays_schema_with_its_rows(
    empty: Engine, database_url: str, start: str, is_stamped: bool
) -> None:
    upgrade(empty, start)
    fill(empty)
    if not is_stamped:
        with empty.begin() as connection:
            connection.execute(text("DROP TABLE alembic_version"))
    assert_has_the_rows(database_url)
    assert_is_todays(empty)


def test_tags_of_an_earlier_release_are_known_to_be_ours(empty: Engine, database_url: str) -> None:
    upgrade(empty, "0004")
    suspect = (
        "INSERT INTO suspects (key, task_id, question, given, expected, quality, status, seen, tagged, shown) "
        "VALUES ('k', {}, 'q', '[]', '[]', 0.1, 'fixed', '[]', '1', {})"
    )
    report = """{"issue_tags": {"7": "odd text: x"}, "at": 1}"""
    with empty.begin() as connection:
        for number, shown in ((1, "'1'"), (2, "'0'"), (3, "NULL")):
            connection.execute(text(suspect.format(number, shown)))
        connection.execute(text("INSERT INTO check_reports (key, report) VALUES ('k', :report)"), {"report": report})
    tags = SqlDatabase(database_url, lambda: 9.0).tags("k")
    assert {task_id for task_id, name in tags if name == "prelabel_check"} == {1, 3}
    assert (7, "prelabel_issue") in tags
    assert set(tags.values()) == {None}
    assert len(tags) == 9


@pytest.mark.parametrize("dump", EARLIER, ids=lambda path: path.stem)
def test_a_database_of_before_alembic_is_brought_to_todays_schema(dump: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/old.sqlite3")
    with engine.begin() as connection:
        for statement in re.findall(r"CREATE .*?;$", dump.read_text(), re.MULTILINE | re.DOTALL):
            connection.exec_driver_sql(statement)
    fill(engine)
    assert_has_the_rows(str(engine.url))
    assert_is_todays(engine)


def test_verdicts_of_an_earlier_release_are_of_whole_answers(empty: Engine, database_url: str) -> None:
    upgrade(empty, "0007")
    with empty.begin() as connection:
        verdict = (
            "INSERT INTO verdicts (key, id, question, status, quality, at) VALUES ('k', 'a', 'q', 'fixed', 0.1, 2.0)"
        )
        connection.execute(text(verdict))
    assert SqlDatabase(database_url, lambda: 9.0).verdicts("k") == [
        VerdictRecord("a", "q", SuspectStatus.FIXED, 0.1, 2.0)
    ]


def test_a_database_that_had_only_some_of_the_tables_gets_the_others(empty: Engine, database_url: str) -> None:
    upgrade(empty, "0001")
    with empty.begin() as connection:
        for name in ("llm_answers", "llm_money", "alembic_version"):
            connection.execute(text(f"DROP TABLE {name}"))
    SqlDatabase(database_url, lambda: 0.0).ping()
    assert_is_todays(empty)


def test_processes_that_start_together_upgrade_once(empty: Engine, database_url: str) -> None:
    upgrade(empty, "0001")
    fill(empty)
    empty.dispose()
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=SqlDatabase(database_url, lambda: 0.0).projects) for _ in range(6)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 6
    assert_has_the_rows(database_url)
    assert_is_todays(empty)


def test_an_upgrade_that_is_cut_off_leaves_the_database_as_it_was(empty: Engine, database_url: str) -> None:
    upgrade(empty, "0001")
    fill(empty)
    with empty.connect() as connection:
        if empty.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        bring_up_to_date(connection)
        assert revision(connection) == HEAD
        # Left without a commit, as a killed process leaves it.
        connection.rollback()
    with empty.connect() as connection:
        assert revision(connection) == "0001"
    assert_has_the_rows(database_url)
    assert_is_todays(empty)


def test_a_database_of_a_newer_release_is_left_alone(empty: Engine, database_url: str) -> None:
    SqlDatabase(database_url, lambda: 0.0).ping()
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="newer release"):
        SqlDatabase(database_url, lambda: 0.0).ping()


def test_settings_that_outlived_an_earlier_release_s_restore_are_forgotten(empty: Engine, database_url: str) -> None:
    upgrade(empty, "0008")
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE project_settings (key VARCHAR(80), params TEXT, at FLOAT)"))
        connection.execute(text("INSERT INTO project_settings VALUES ('k', '{}', 1)"))
    with Sql(database_url).begin() as connection:
        assert connection.execute(text("SELECT * FROM project_settings")).all() == []
    assert_is_todays(empty)


def test_tasks_are_read_anew_where_answers_were_kept_in_part(empty: Engine, database_url: str) -> None:
    upgrade(empty, "0006")
    fill(empty)
    with empty.begin() as connection:
        connection.execute(text("UPDATE projects SET cursor = '2026'"))
    (project,) = SqlDatabase(database_url, lambda: 0.0).projects()
    assert project.cursor is None
