"""The Database port on SQLite and on a real Postgres."""

import itertools
import multiprocessing
import os
import sqlite3
import stat
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy import text as sql_text

from backend.adapters.sql import engine as sql_module
from backend.adapters.sql.database import SqlDatabase
from backend.domain.reports.check import CheckReport, NoiseFigures, QuestionCheck
from backend.domain.tasks import Annotation, Answer, MirroredTask, Origin, Task
from backend.errors import ConfigurationError, ReadOnlyDatabase
from backend.ports import (
    Hold,
    PastSuggestion,
    ProjectRecord,
    SuspectRecord,
    SuspectStatus,
    VerdictRecord,
    VersionStatus,
)


@pytest.fixture
def database(database_url: str) -> SqlDatabase:
    return SqlDatabase(database_url, lambda: 5.0)


def task(
    number: int, *, text: str = "x", is_open: bool = True, annotations: tuple[Annotation, ...] = ()
) -> MirroredTask:
    return MirroredTask(Task(number, {"text": text, "n": [1, {"a": None}]}, is_open, "2026-01-01"), annotations)


def test_gives_back_the_tasks_it_was_given(database: SqlDatabase, key: str) -> None:
    note = Annotation(7, 2, 3, {"q": ("A", "B")}, False, "2026-01-02", {"q": Origin.ACCEPTED}, 2.5)
    items = [task(1, text="żółw 🐢"), task(2, is_open=False, annotations=(note,))]
    database.save_tasks(key, items)
    assert database.tasks(key) == items
    assert database.tasks(key, {2, 99}) == items[1:]
    assert database.tasks(key, ()) == []
    assert database.first_data(key, 1) == [items[0].task.data]
    assert database.first_data(key, 3) == [item.task.data for item in items]
    assert database.annotations(key) == [note]
    assert database.count_tasks(key) == 2


def test_annotations_that_teach_are_counted_as_python_does(database: SqlDatabase, key: str) -> None:
    moments = ["2026-01-02T00:00:00.5Z", "2026-01-02T00:00:00Z", "2026-01-02T00:00:01+00:00", "", "2026-01-1"]
    answers: list[dict[str, Answer]] = [
        {},
        {"q": ()},
        {'a["': ()},
        {"q": (), "r": ("ż",)},
        {"q": ("[]", "x")},
        {"q": ("",)},
    ]
    pairs = enumerate(itertools.product(moments, answers, [True, False]))
    notes = [Annotation(number, 2, None, given, skipped, at) for number, (at, given, skipped) in pairs]
    database.save_tasks(key, [task(2, annotations=tuple(notes))])
    teaching = [note for note in notes if note.teaches]
    assert 0 < len(teaching) < len(notes)
    for since in [*moments, "2026-01-02T00:00:00"]:
        newer = [note for note in teaching if note.updated_at > since]
        assert database.count_teaching(key, since) == (len(teaching), len(newer))
    assert database.count_teaching("2.1-aaaaaaaa", "") == (0, 0)


def test_a_tasks_annotations_are_replaced_as_a_whole(database: SqlDatabase, key: str) -> None:
    old = (Annotation(1, 1, 1, {"q": ("A",)}), Annotation(2, 1, 2, {"q": ("B",)}))
    database.save_tasks(key, [task(1, annotations=old)])
    new = Annotation(2, 1, 2, {"q": ("C",)})
    database.save_tasks(key, [task(1, annotations=(new,))])
    assert database.tasks(key)[0].annotations == (new,)


def test_forgets_deleted_tasks_with_their_annotations(database: SqlDatabase, key: str) -> None:
    database.save_tasks(key, [task(1, annotations=(Annotation(1, 1, 1),)), task(2), task(3)])
    assert database.keep_tasks(key, {2}) == 2
    assert [item.task.id for item in database.tasks(key)] == [2]
    database.save_tasks(key, [task(1)])
    assert database.tasks(key)[0].annotations == ()


def test_projects_never_see_each_others_tasks(database: SqlDatabase, key: str) -> None:
    database.save_tasks(key, [task(1)])
    database.save_tasks(key + "0", [task(1, text="other"), task(2)])
    database.keep_tasks(key, set())
    assert database.tasks(key) == []
    assert database.count_tasks(key + "0") == 2


def test_remembers_which_open_tasks_have_a_suggestion(database: SqlDatabase, key: str) -> None:
    database.save_tasks(key, [task(1), task(2), task(3, is_open=False)])
    database.mark_suggested(key, [1], 4)
    assert database.not_suggested(key, 4) == {2}
    database.save_tasks(key, [task(1, text="edited")])
    assert database.not_suggested(key, 4) == {2}
    assert database.not_suggested(key, 5) == {1, 2}


def test_holds_more_tasks_than_one_statement_takes(database: SqlDatabase, key: str) -> None:
    database.save_tasks(key, [task(number) for number in range(2500)])
    database.save_tasks(key, [task(number, text="again") for number in range(2500)])
    database.mark_suggested(key, range(2400), 1)
    assert len(database.not_suggested(key, 1)) == 100


def test_version_numbers_are_never_given_twice(database: SqlDatabase, key: str) -> None:
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.append(database.new_version(key).number)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [1, 2, 3, 4]


def test_a_version_changes_its_status(database: SqlDatabase, key: str) -> None:
    record = database.new_version(key)
    assert (record.name, record.status, record.created_at) == ("v1", VersionStatus.TRAINING, 5.0)
    live = replace(record, status=VersionStatus.LIVE, n_labels=3, seen_until="2026", note="fine")
    database.save_version(live)
    assert database.versions(key) == [live]


def test_project_records_are_replaced(database: SqlDatabase, key: str) -> None:
    assert database.project(key) is None
    database.save_project(ProjectRecord(key, 1))
    record = ProjectRecord(key, 1, "title", "<View/>", "2026", 1.5, 3, 4, 2.5)
    database.save_project(record)
    assert database.project(key) == record
    assert record in database.projects()


def test_suspects_are_kept_by_task_question_and_region(database: SqlDatabase, key: str) -> None:
    first = SuspectRecord(
        1, "q", ("A",), ("B",), 0.2, SuspectStatus.OPEN, (Annotation(7, 1, 2, {"q": ("A",)}, updated_at="2026"),)
    )
    other = SuspectRecord(1, "r", ("A", "B"), (), 0.1, SuspectStatus.OPEN, tagged=True)
    database.save_suspects(key, [first, other])
    settled = replace(first, status=SuspectStatus.CONFIRMED, reason="B 0.9, A 0.2", shown=True)
    database.save_suspects(key, [settled])
    assert database.suspects(key) == [other, settled]
    of_region = replace(first, region="Zbm4x", quality=0.3)
    database.save_suspects(key, [of_region, replace(of_region, region="Zbm4y", quality=0.4)])
    database.save_suspects(key, [replace(of_region, status=SuspectStatus.FIXED)])
    assert database.suspects(key) == [
        other,
        settled,
        replace(of_region, status=SuspectStatus.FIXED),
        replace(of_region, region="Zbm4y", quality=0.4),
    ]


def test_thousands_of_suspects_are_saved_at_once(database: SqlDatabase, key: str) -> None:
    many = [SuspectRecord(number, "q", ("A",), ("B",), 0.2, SuspectStatus.WAITING) for number in range(6000)]
    database.save_suspects(key, many)
    database.save_suspects(key, [replace(item, status=SuspectStatus.OPEN) for item in many])
    assert [item.status for item in database.suspects(key)] == [SuspectStatus.OPEN] * 6000


def test_verdicts_are_kept_by_id_the_oldest_first(database: SqlDatabase, key: str) -> None:
    late = VerdictRecord("a" * 64, "q", SuspectStatus.FIXED, 0.1, 9.0)
    early = VerdictRecord("b" * 64, "q", SuspectStatus.CONFIRMED, 0.3, 4.0)
    database.save_verdicts(key, [late, early])
    database.save_verdicts(key, [])
    assert database.verdicts(key) == [early, late]
    again = replace(early, status=SuspectStatus.FIXED, at=10.0)
    database.save_verdicts(key, [again])
    assert database.verdicts(key) == [late, again]
    of_region = VerdictRecord("c" * 64, "q", SuspectStatus.FIXED, 0.1, 11.0, region="Zbm4x")
    database.save_verdicts(key, [of_region])
    assert database.verdicts(key) == [late, again, of_region]
    assert database.verdicts(key + "0") == []


def test_verdicts_outlive_the_project_mirror(database: SqlDatabase, key: str) -> None:
    verdict = VerdictRecord("a" * 64, "q", SuspectStatus.CONFIRMED, 0.1, 9.0)
    database.save_verdicts(key, [verdict])
    database.forget_project(key)
    assert database.verdicts(key) == [verdict]


def test_the_last_report_of_a_check_replaces_the_one_before(database: SqlDatabase, key: str) -> None:
    assert not database.check_report(key).has_ended
    database.save_check_report(key, CheckReport(version="v1"))
    noise = NoiseFigures(joint=((0.5, None), (0.0, 0.5)))
    report = CheckReport(version="v2", questions={"ż": QuestionCheck(3, noise={"q": noise})})
    database.save_check_report(key, report)
    assert database.check_report(key) == report
    assert database.check_report(key + "0") == CheckReport()


def test_a_report_that_cant_be_read_is_left_out_and_named(
    database: SqlDatabase, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    database.save_check_report(key, CheckReport(version="v1", held_back="some"))  # type: ignore[arg-type]
    assert database.check_report(key) == CheckReport()
    assert "CheckReport in the database can't be read" in caplog.text
    assert "held_back is 'some', not a whole number" in caplog.text


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    database = SqlDatabase("postgresql+psycopg://user:hunter2@127.0.0.1:1/none", lambda: 0.0)
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        database.ping()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("place", [".", "x.sqlite3", "x.sqlite3-wal"])
def test_files_that_became_read_only_are_named(place: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, nobody = Path(name), 65534

        def use() -> None:
            database = SqlDatabase(f"sqlite:///{folder}/x.sqlite3", lambda: 5.0)
            assert database.ping() == "sqlite"
            if os.getuid() == 0:
                # Modes don't stop root.
                for path in (folder, *folder.iterdir()):
                    os.chown(path, nobody, nobody)
                os.setuid(nobody)
            mode = stat.S_IMODE((folder / place).stat().st_mode)
            (folder / place).chmod(mode & ~0o222)
            with pytest.raises(ReadOnlyDatabase, match="read-only"):
                database.ping()
            (folder / place).chmod(mode)
            database.ping()

        process = multiprocessing.get_context("fork").Process(target=use)
        process.start()
        process.join()
        assert process.exitcode == 0


def test_a_server_that_takes_no_writes_is_named(postgres: str) -> None:
    SqlDatabase(postgres, lambda: 5.0).ping()
    url = make_url(postgres).update_query_dict({"options": "-c default_transaction_read_only=on"})
    database = SqlDatabase(url.render_as_string(hide_password=False), lambda: 5.0)
    with pytest.raises(ReadOnlyDatabase, match="standby"):
        database.ping()


def test_suspects_of_an_earlier_release_can_be_read(database: SqlDatabase, key: str) -> None:
    suspect = SuspectRecord(1, "q", ("A",), ("B",), 0.2, SuspectStatus.OPEN, tagged=True)
    database.save_suspects(key, [suspect])
    engine = create_engine(database._sql._url)
    with engine.begin() as connection:
        for column in ("reason", "shown"):
            connection.exec_driver_sql(f"ALTER TABLE suspects DROP COLUMN {column}")
        connection.exec_driver_sql("DROP TABLE alembic_version")
    engine.dispose()
    upgraded = SqlDatabase(database._sql._url, lambda: 5.0)
    assert upgraded.suspects(key) == [replace(suspect, shown=True)]


def test_what_was_suggested_first_for_a_task_stays(database: SqlDatabase, key: str) -> None:
    first = PastSuggestion(1, 3, {"q": ("A", "B"), "r": ()}, {"q": 0.75})
    database.save_past_suggestions(key, [first])
    second = PastSuggestion(2, 4, {}, {})
    database.save_past_suggestions(key, [PastSuggestion(1, 4, {"q": ("C",)}, {"q": 0.5}), second])
    database.save_past_suggestions(key, [])
    assert database.past_suggestions(key) == {1: first, 2: second}
    assert database.past_suggestions(key + "0") == {}


def test_a_database_of_an_earlier_release_gets_the_columns_it_lacks(database: SqlDatabase, key: str) -> None:
    note = Annotation(7, 2, 3, {"q": ("A",)}, False, "2026-01-02", {"q": Origin.CHANGED})
    database.save_tasks(key, [task(2, annotations=(note,))])
    database.save_project(ProjectRecord(key, 1, full_sync_at=9.0))
    engine = create_engine(database._sql._url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE annotations DROP COLUMN origins")
        connection.exec_driver_sql("ALTER TABLE annotations DROP COLUMN lead_time_s")
        connection.exec_driver_sql("DROP TABLE alembic_version")
    engine.dispose()
    upgraded = SqlDatabase(database._sql._url, lambda: 5.0)
    assert upgraded.tasks(key)[0].annotations == (replace(note, origins={}),)
    old = upgraded.project(key)
    assert old is not None
    assert old.full_sync_at == 0.0, "so that all annotations are read again"
    upgraded.save_tasks(key, [task(2, annotations=(note,))])
    assert upgraded.project(key) == ProjectRecord(key, 1, full_sync_at=9.0)
    assert upgraded.tasks(key)[0].annotations == (note,)


def test_a_database_server_that_was_away_is_used_again(postgres: str) -> None:
    database = SqlDatabase(postgres, lambda: 0.0)
    database.save_project(ProjectRecord("away", 1))
    with create_engine(postgres).begin() as connection:
        # As a restart of the server does.
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname"
        assert connection.execute(sql_text(f"{others} = current_database()")).rowcount > 0
    assert database.project("away") is not None


def test_a_new_database_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "new.sqlite3", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE theirs (a)")
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, lambda: other.execute("ROLLBACK")).start()
    database = SqlDatabase(f"sqlite:///{tmp_path}/new.sqlite3", time.time)
    assert database.projects() == []
    other.close()


def test_a_database_that_may_not_be_written_is_named_at_once(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "old.sqlite3").execute("CREATE TABLE theirs (a)")
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match="readonly"):
        SqlDatabase(f"sqlite:///file:{tmp_path}/old.sqlite3?mode=ro&uri=true", time.time).projects()
    # It isn't waited for, as one is that others write to.
    assert time.monotonic() - started < sql_module.BUSY_TIMEOUT_MS / 1000 / 2


def test_what_we_wrote_last_is_remembered_by_task_and_key(database: SqlDatabase) -> None:
    database.save_tags(
        "k", {(1, "prelabel_check"): "suspect", (1, "prelabel_quality"): 0.25, (2, "prelabel_check"): None}
    )
    database.save_tags("k", {(1, "prelabel_check"): "fixed"})
    expected = {(1, "prelabel_check"): "fixed", (1, "prelabel_quality"): 0.25, (2, "prelabel_check"): None}
    assert database.tags("k") == expected
    assert database.tags("other") == {}


def test_a_project_is_held_until_it_is_let_go(database: SqlDatabase) -> None:
    assert database.hold("k") is None
    database.save_hold("k", Hold(3, 5.0))
    database.save_hold("k", Hold(2, 6.0))
    assert database.hold("k") == Hold(2, 6.0)
    database.save_hold("k", None)
    assert database.hold("k") is None
