"""The current version and the settings of projects: in SQL and in files, whatever comes between the two."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from backend.adapters import two_places
from backend.adapters.project_settings import ProjectSettings
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.installation import Installation
from backend.adapters.two_places import TwoPlaces
from backend.adapters.versions.folders import VersionFolders
from backend.domain.policy import Policy
from backend.errors import ModelMissing, WrongDatabase
from backend.ports import VersionStatus

AWAY = "postgresql+psycopg://x:y@127.0.0.1:1/none"


class Installed:
    """The parts of one installation, made anew for each use, as other processes have them."""

    def __init__(self, url: str, root: Path, key: str) -> None:
        self.url, self.root, self.key = url, root, key
        self.file = root / "projects" / key / "current"
        self.settings_file = self.file.with_name("settings.json")

    @property
    def versions(self) -> VersionFolders:
        return VersionFolders(self.root, self.url)

    @property
    def settings(self) -> ProjectSettings:
        return ProjectSettings(Sql(self.url), self.root, Policy())

    @property
    def database(self) -> SqlDatabase:
        return SqlDatabase(self.url, lambda: 5.0)

    def train(self, *statuses: VersionStatus) -> None:
        """Records of versions 1, 2, ... as they are when nobody has said which one is current."""
        for status in statuses:
            self.database.save_version(replace(self.database.new_version(self.key), status=status))

    def statuses(self) -> list[VersionStatus]:
        return [item.status for item in self.database.versions(self.key)]

    def move_file(self, content: str, *, later_s: float = 1.0, file: Path | None = None) -> None:
        """As an earlier release does, so many seconds after what SQL knows of."""
        file = file or self.file
        file.parent.mkdir(parents=True, exist_ok=True)
        at = (file.stat().st_mtime if file.exists() else 1_700_000_000.0) + later_s
        file.write_text(content)
        os.utime(file, (at, at))


@pytest.fixture
def house(database_url: str, tmp_path: Path, key: str) -> Installed:
    return Installed(database_url, tmp_path / "models", key)


def test_a_change_is_in_both_places(house: Installed) -> None:
    assert house.versions.current(house.key) == 0
    house.train(VersionStatus.LIVE, VersionStatus.BUILT)
    house.versions.set_current(house.key, 2)
    house.settings.save(house.key, '{"top_tasks": 3}')
    assert house.file.read_text() == "2", "an earlier release reads this"
    assert house.settings_file.read_text() == '{"top_tasks":3}'
    assert house.statuses() == [VersionStatus.LIVE, VersionStatus.PUBLISHING]
    for file in (house.file, house.settings_file):
        file.unlink()
    assert house.versions.current(house.key) == 2
    assert house.settings.policy(house.key).top_tasks == 3


def test_what_only_an_earlier_release_knew_is_used_and_taken_over(house: Installed) -> None:
    house.train(VersionStatus.RETIRED, VersionStatus.LIVE, VersionStatus.BUILT)
    house.move_file("3")
    house.move_file('{"top_tasks": 3}', file=house.settings_file)
    assert house.versions.current(house.key) == 3
    assert house.settings.policy(house.key).top_tasks == 3
    with capture_logs() as logs:
        house.versions.settle(house.key)
        house.settings.settle(house.key)
    assert [entry["what"] for entry in logs if "taken over" in entry["event"]] == ["current", "settings.json"]
    house.file.unlink()
    house.settings_file.unlink()
    assert house.versions.current(house.key) == 3
    assert house.settings.policy(house.key).top_tasks == 3
    assert house.statuses() == [VersionStatus.RETIRED, VersionStatus.LIVE, VersionStatus.PUBLISHING]


def test_records_of_an_earlier_release_say_which_version_is_current_without_its_file(house: Installed) -> None:
    house.train(VersionStatus.RETIRED, VersionStatus.LIVE, VersionStatus.BUILT)
    assert house.versions.current(house.key) == 2
    house.versions.settle(house.key)
    assert house.file.read_text() == "2"


def test_what_an_earlier_release_did_meanwhile_is_not_undone(house: Installed) -> None:
    house.train(VersionStatus.RETIRED, VersionStatus.BUILT)
    house.versions.set_current(house.key, 2)
    house.settings.save(house.key, '{"llm_forbidden": false}')
    house.move_file("1", later_s=0.0)
    house.move_file('{"llm_forbidden": true}', file=house.settings_file)
    assert house.versions.current(house.key) == 1
    assert house.settings.policy(house.key).llm.forbidden
    house.versions.settle(house.key)
    house.settings.settle(house.key)
    assert house.versions.current(house.key) == 1
    assert house.settings.policy(house.key).llm.forbidden
    assert house.statuses() == [VersionStatus.PUBLISHING, VersionStatus.BUILT]


@pytest.mark.parametrize("content", ["1", "", "2\0\0", "²", "0", "9" * 400])
def test_a_file_that_is_older_or_damaged_is_put_right(house: Installed, content: str) -> None:
    house.train(VersionStatus.RETIRED, VersionStatus.BUILT)
    house.versions.set_current(house.key, 2)
    house.move_file(content, later_s=-60.0 if content == "1" else 60.0)
    assert house.versions.current(house.key) == 2
    with capture_logs() as logs:
        house.versions.settle(house.key)
        house.versions.settle(house.key)
    assert house.file.read_text() == "2"
    assert len(logs) == 1


def test_settings_that_are_damaged_are_those_of_sql(house: Installed) -> None:
    house.settings.save(house.key, '{"llm_masks": ["secret"]}')
    house.move_file('{"llm_ma', file=house.settings_file)
    assert house.settings.policy(house.key).llm.masks == ("secret",)
    house.settings.settle(house.key)
    assert house.settings_file.read_text() == '{"llm_masks":["secret"]}'


@pytest.mark.parametrize("content", ["?", ""])
def test_a_damaged_file_is_named_where_nothing_else_is_known(house: Installed, content: str) -> None:
    house.move_file(content)
    house.move_file(content, file=house.settings_file)
    with pytest.raises(ModelMissing, match="damaged"):
        house.versions.current(house.key)
    assert house.settings.policy(house.key).llm.forbidden
    house.versions.settle(house.key)
    house.settings.settle(house.key)
    assert house.file.read_text() == house.settings_file.read_text() == content


def test_a_version_that_has_no_record_is_current_all_the_same(house: Installed) -> None:
    house.move_file("7")
    house.versions.settle(house.key)
    house.file.unlink()
    assert house.versions.current(house.key) == 7
    assert [(item.number, item.status) for item in house.database.versions(house.key)] == [(7, VersionStatus.LIVE)]


def test_of_two_that_are_live_after_a_crash_of_before_the_file_says_which(house: Installed) -> None:
    house.train(VersionStatus.LIVE, VersionStatus.LIVE)
    house.move_file("1")
    house.versions.settle(house.key)
    house.file.unlink()
    assert house.versions.current(house.key) == 1


def in_a_process(work: Callable[[], None]) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_kill_at_any_moment_leaves_one_answer(house: Installed, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    house.train(VersionStatus.RETIRED, VersionStatus.LIVE)
    house.versions.set_current(house.key, 2)

    def move() -> None:
        write = TwoPlaces._write_file

        def killed(self: TwoPlaces, key: str, text: str) -> float:
            if moment == "between":
                write(self, key, text)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        if moment != "after":
            monkeypatch.setattr(TwoPlaces, "_write_file", killed)
        house.versions.set_current(house.key, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_process(move) == -signal.SIGKILL
    wanted = 2 if moment == "before" else 1
    assert house.versions.current(house.key) == wanted
    house.versions.settle(house.key)
    assert house.file.read_text() == str(wanted)
    house.file.unlink()
    assert house.versions.current(house.key) == wanted


def test_processes_that_change_it_together_leave_one_answer(house: Installed) -> None:
    house.train(*[VersionStatus.RETIRED] * 4)

    def move(number: int) -> None:
        versions = house.versions
        for _ in range(3):
            versions.set_current(house.key, number)
            versions.settle(house.key)

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=move, args=(number,)) for number in (1, 2, 3, 4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    current = house.versions.current(house.key)
    assert house.file.read_text() == str(current)
    house.file.unlink()
    assert house.versions.current(house.key) == current
    assert house.statuses().count(VersionStatus.PUBLISHING) == 1


def test_without_the_database_the_file_answers_and_keeps(tmp_path: Path, key: str) -> None:
    house = Installed(f"sqlite:///{tmp_path}/x.sqlite3", tmp_path, key)
    house.versions.set_current(house.key, 2)
    house.settings.save(house.key, '{"top_tasks": 3}')
    away = Installed(AWAY, tmp_path, key)
    assert away.versions.current(key) == 2
    assert away.versions.current("2.1-aaaaaaaa") == 0
    assert away.settings.policy(key).top_tasks == 3
    assert away.settings.policy("2.1-aaaaaaaa").llm.forbidden, "nobody knows what may leave"
    away.settings.save(key, '{"top_tasks": 4}')
    house.settings.settle(key)
    house.settings_file.unlink()
    assert house.settings.policy(key).top_tasks == 4


def test_a_locked_database_is_not_waited_for(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_places, "ANSWER_S", 0.1)
    house = Installed(f"sqlite:///{tmp_path}/x.sqlite3", tmp_path, key)
    house.versions.set_current(key, 2)
    before = set(threading.enumerate())
    with create_engine(house.url).connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        versions, settings = house.versions, house.settings
        assert versions.current(key) == 2
        assert settings.policy(key).llm.forbidden
        settings.save(key, '{"top_tasks": 3}')
        assert settings.policy(key).top_tasks == 3
    for thread in set(threading.enumerate()) - before:
        thread.join()
    house.settings.settle(key)
    house.settings_file.unlink()
    assert house.settings.policy(key).top_tasks == 3


def test_nothing_is_written_beside_a_database_that_is_not_ours(tmp_path: Path, key: str) -> None:
    url, root = f"sqlite:///{tmp_path}/x.sqlite3", tmp_path / "models"
    sql = Sql(url, Installation(root))
    VersionFolders(root, sql).set_current(key, 1)
    (tmp_path / "x.sqlite3").rename(tmp_path / "moved.sqlite3")
    versions = VersionFolders(root, sql)
    with pytest.raises(WrongDatabase):
        versions.set_current(key, 2)
    assert versions.current(key) == 1, "suggestions go on"
