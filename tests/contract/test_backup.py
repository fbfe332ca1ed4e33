"""An installation that lost everything comes back whole from its backup, and a bad backup changes nothing."""

import hashlib
import json
import os
import threading
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import MetaData, create_engine, insert, make_url, select, text

from backend.adapters.backup import Backup
from backend.adapters.project_settings import ProjectSettings
from backend.adapters.sql.database import SqlDatabase
from backend.adapters.sql.engine import Sql
from backend.adapters.sql.llm_tables import answer_row, answers
from backend.adapters.sql.vectors import SqlVectors
from backend.domain.llm.records import ConfidenceKind, LlmAnswer, Problem
from backend.domain.policy import Policy
from backend.domain.tasks import Annotation, MirroredTask, Origin, Task
from backend.errors import BackendError, BadRequest, ConfigurationError
from backend.ports import ProjectRecord, SuspectRecord, SuspectStatus, VerdictRecord

KEY = "1.1-aaaaaaaa"


@pytest.fixture
def database_url(database_url: str) -> str:
    """A database of its own, also where tests share a server."""
    return own(database_url)


def own(database_url: str) -> str:
    if database_url.startswith("sqlite"):
        return database_url
    name = f"own_{uuid.uuid4().hex}"
    with create_engine(database_url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return make_url(database_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def fill(url: str, root: Path) -> None:
    """What an installation has after some time, in the odd shapes that it may have."""
    sql = Sql(url)
    database = SqlDatabase(sql, lambda: 5.0)
    database.save_project(ProjectRecord(KEY, 1, "Żółw 🐢", "<View/>", cursor="2026", full_sync_at=3.5))
    notes = [Annotation(n, 2, None, {"q": ("A", "ż")}, False, "2026", {"q": Origin.CHANGED}, 1.5) for n in range(2500)]
    data = {"text": "a\tb\n\"'\\", "nested": [{"x": None, "y": [1.5, True]}]}
    database.save_tasks(KEY, [MirroredTask(Task(2, data, is_open=True, updated_at="2026"), tuple(notes))])
    database.new_version(KEY)
    database.save_verdicts(KEY, [VerdictRecord("a" * 64, "q", SuspectStatus.CONFIRMED, 0.1, 9.0)])
    database.save_suspects(KEY, [SuspectRecord(2, "q", ("A",), ("B",), 0.2, SuspectStatus.OPEN, (notes[0],))])
    with sql.begin() as connection:
        # As an earlier release left it.
        connection.execute(text("UPDATE annotations SET origins = NULL, lead_time_s = NULL WHERE id = 7"))
    SqlVectors(sql).save_vectors("m", {"c": np.array([0.5, -1.0], dtype=np.float32)})
    answer = LlmAnswer("c", "p", "m", ("A\0",), Problem.NONE, 0.5, ConfidenceKind.NONE, 1, 2, 0.25, 0.1, 9.0)
    with sql.begin() as connection:
        connection.execute(insert(answers), answer_row(KEY, answer))
    for name in ("v1/model.skops", "v1/votes.parquet", "current", "settings.json"):
        path = root / "projects" / KEY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(3_000_000) if name.endswith("skops") else name.encode())
    (root / "projects" / KEY / "features").mkdir()
    (root / "projects" / KEY / "features" / "data.npy").write_bytes(b"made anew")
    (root / "projects" / KEY / ".v2-half").mkdir()
    (root / "projects" / KEY / ".v2-half" / "model.skops").write_bytes(b"half")
    (root / "webhook-secret").write_text("a-secret-of-22-letters")
    settings = ProjectSettings(sql, root, Policy())
    settings.save(KEY, '{"top_tasks": 3}')


def rows(url: str) -> dict[str, list[Any]]:
    engine, metadata = create_engine(url), MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        return {
            name: sorted(repr(tuple(row)) for row in connection.execute(select(table)))
            for name, table in metadata.tables.items()
            # It says which installation a database belongs to, and is in no backup.
            if name != "installation"
        }


def files(root: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name != "installation"}


def lose_everything(url: str, root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        for lost in path.parent.glob(f"{path.name}*"):
            lost.unlink()
        return
    with create_engine(url).begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))


def test_everything_that_was_lost_comes_back(database_url: str, root: Path, tmp_path: Path) -> None:
    fill(database_url, root)
    before, file = rows(database_url), tmp_path / "backup.zip"
    assert len(before["annotations"]) == 2500
    Backup(Sql(database_url), root).write(file)
    lose_everything(database_url, root)
    backup = Backup(Sql(database_url), root)
    assert backup.what_is_there() == []
    done = backup.restore(file)
    assert rows(database_url) == before
    assert done.rows == sum(len(found) for name, found in before.items() if name != "alembic_version")
    restored = files(root)
    assert set(restored) == {
        "webhook-secret",
        *(f"projects/{KEY}/{name}" for name in ("v1/model.skops", "v1/votes.parquet", "current", "settings.json")),
    }
    assert restored["webhook-secret"] == b"a-secret-of-22-letters"
    assert [path.stat().st_mode & 0o777 for path in (file, root / "webhook-secret")] == [0o600, 0o600]
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []
    database = SqlDatabase(database_url, lambda: 9.0)
    assert database.new_version(KEY).number == 2
    (root / "projects" / KEY / "settings.json").unlink()
    assert ProjectSettings(Sql(database_url), root, Policy()).policy(KEY).top_tasks == 3


def test_a_secret_that_would_let_everybody_in_is_left_out_with_a_word(tmp_path: Path) -> None:
    root, file, sql = tmp_path / "models", tmp_path / "backup.zip", Sql(f"sqlite:///{tmp_path}/x.sqlite3")
    root.mkdir()
    (root / "webhook-secret").write_text("")
    Backup(sql, root).write(file)
    (root / "webhook-secret").write_text("a-secret-of-22-letters")
    assert "doctor PROJECT --fix" in Backup(sql, root).restore(file).note
    assert (root / "webhook-secret").read_text() == "a-secret-of-22-letters"


def test_a_backup_moves_an_installation_to_the_other_kind_of_database(
    tmp_path: Path, root: Path, postgres: str
) -> None:
    first, second, third = f"sqlite:///{tmp_path}/a.db", own(postgres), f"sqlite:///{tmp_path}/b.db"
    fill(first, root)
    for source, target in ((first, second), (second, third)):
        Backup(Sql(source), root).write(tmp_path / "backup.zip")
        Backup(Sql(target), root).restore(tmp_path / "backup.zip")
    assert rows(third) == rows(first)
    assert SqlDatabase(second, lambda: 0.0).tasks(KEY) == SqlDatabase(first, lambda: 0.0).tasks(KEY)


def test_a_backup_is_of_one_moment_while_others_write(database_url: str, root: Path, tmp_path: Path) -> None:
    database, stop = SqlDatabase(database_url, lambda: 5.0), threading.Event()
    sql = Sql(database_url)

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with sql.begin() as connection:
                for table in ("check_reports", "llm_money"):
                    columns = "key, report" if table == "check_reports" else "key, spent, held, unknown"
                    values = "'{}'" if table == "check_reports" else "0, 0, 0"
                    connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ('{number}', {values})"))

    database.ping()
    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(5):
            Backup(Sql(database_url), root).write(tmp_path / "backup.zip")
            with zipfile.ZipFile(tmp_path / "backup.zip") as archive:
                counts = [archive.read(f"tables/{name}.jsonl").count(b"\n") for name in ("check_reports", "llm_money")]
            assert counts[0] == counts[1]
    finally:
        stop.set()
        writing.join()
    assert counts[0] > 1


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None], *, resign: bool = True) -> Path:
    """A backup with other entries, and with the checksums of these."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    if resign:
        manifest = json.loads(entries["manifest.json"])
        manifest["sha256"] = {
            name: hashlib.sha256(content).hexdigest() for name, content in entries.items() if name != "manifest.json"
        }
        entries["manifest.json"] = json.dumps(manifest).encode()
    bad = file.with_name("bad.zip")
    with zipfile.ZipFile(bad, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return bad


def damaged(file: Path) -> Path:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    bad = file.with_name("bad.zip")
    bad.write_bytes(content)
    return bad


def cut_short(file: Path) -> Path:
    bad = file.with_name("bad.zip")
    bad.write_bytes(file.read_bytes()[:-100])
    return bad


def newer(entries: dict[str, bytes]) -> None:
    manifest = json.loads(entries["manifest.json"])
    entries["manifest.json"] = json.dumps(manifest | {"revision": "9999"}).encode()


def row_twice(entries: dict[str, bytes]) -> None:
    lines = entries["tables/versions.jsonl"]
    entries["tables/versions.jsonl"] = lines + lines.split(b"\n")[1] + b"\n"


def changed(entries: dict[str, bytes]) -> None:
    entries["tables/projects.jsonl"] = b"[]\n"


def lost(entries: dict[str, bytes]) -> None:
    del entries["tables/projects.jsonl"]


def no_archive(file: Path) -> Path:
    bad = file.with_name("bad.zip")
    bad.write_text("tasks")
    return bad


def planted(name: str) -> Callable[[Path], Path]:
    return lambda file: rewritten(file, lambda entries: entries.update({name: b"[]\n"}))


BAD: dict[str, Callable[[Path], Path]] = {
    "a flipped bit": damaged,
    "cut short": cut_short,
    "no archive": no_archive,
    "an entry changed": lambda file: rewritten(file, changed, resign=False),
    "an entry lost": lambda file: rewritten(file, lost, resign=False),
    "a path outside": planted("files/projects/../../../evil"),
    "a path elsewhere": planted("files/redis/dump.rdb"),
    "another table": planted("tables/pg_user.jsonl"),
    "a newer release": lambda file: rewritten(file, newer),
    "a row twice": lambda file: rewritten(file, row_twice),
}


@dataclass(frozen=True)
class Unchanged:
    """An installation that nothing changes, with its backup."""

    url: str
    folder: Path
    rows: dict[str, list[Any]]
    files: dict[str, bytes]

    @property
    def root(self) -> Path:
        return self.folder / "models"

    @property
    def backup(self) -> Path:
        return self.folder / "backup.zip"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def unchanged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Unchanged:
    folder = tmp_path_factory.mktemp("unchanged")
    root = folder / "models"
    url = f"sqlite:///{folder}/a.db" if request.param == "sqlite" else own(request.getfixturevalue("postgres"))
    fill(url, root)
    Backup(Sql(url), root).write(folder / "backup.zip")
    return Unchanged(url, folder, rows(url), files(root))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_backup_is_refused_in_words_and_changes_nothing(name: str, unchanged: Unchanged) -> None:
    with pytest.raises(BackendError) as caught:
        Backup(Sql(unchanged.url), unchanged.root).restore(BAD[name](unchanged.backup))
    assert isinstance(caught.value, BadRequest | ConfigurationError)
    assert (rows(unchanged.url), files(unchanged.root)) == (unchanged.rows, unchanged.files)
    assert not (unchanged.folder / "evil").exists()
    assert [path.name for path in unchanged.root.iterdir() if path.name.startswith(".")] == []


DEEP = b"[" * 200_000 + b"]" * 200_000


def with_entries(**contents: bytes) -> Callable[[Path], Path]:
    """Entries replaced or added; `__` in a name stands for "/"."""
    new = {name.replace("__", "/"): content for name, content in contents.items()}
    return lambda file: rewritten(file, lambda entries: entries.update(new))


def with_rows(*values: object) -> Callable[[Path], Path]:
    """Rows of the table of projects that have these keys, ids and titles."""

    def change(entries: dict[str, bytes]) -> None:
        header, *_ = entries["tables/projects.jsonl"].splitlines()
        rest = [""] * (len(json.loads(header)) - 1)
        lines = [header, *(json.dumps(["k", value, *rest[1:]]).encode() for value in values)]
        entries["tables/projects.jsonl"] = b"\n".join(lines) + b"\n"

    return lambda file: rewritten(file, change)


def with_manifest(content: bytes) -> Callable[[Path], Path]:
    return lambda file: rewritten(file, lambda entries: entries.update({"manifest.json": content}), resign=False)


def compressed(method: int, spoil: bytes = b"") -> Callable[[Path], Path]:
    def make(file: Path) -> Path:
        bad = file.with_name("bad.zip")
        with zipfile.ZipFile(file) as archive, zipfile.ZipFile(bad, "w", method) as other:
            for name in archive.namelist():
                other.writestr(name, archive.read(name))
        content = bytearray(bad.read_bytes())
        if spoil:
            place = content.index(spoil)
            content[place : place + len(spoil)] = bytes(len(spoil))
        bad.write_bytes(content)
        return bad

    return make


ODD: dict[str, Callable[[Path], Path]] = {
    "a deep manifest": with_manifest(DEEP),
    "a manifest that is a list": with_manifest(b"[]"),
    "a manifest of other shapes": with_manifest(b'{"format": 1, "revision": ["0001"], "sha256": {}}'),
    "a deep row": with_entries(**{"tables__projects.jsonl": DEEP + b"\n"}),
    "a deep value": with_entries(
        **{"tables__tasks.jsonl": b'["key","data"]\n["k",' + b"[" * 900 + b"]" * 900 + b"]\n"}
    ),
    "no header": with_entries(**{"tables__projects.jsonl": b""}),
    "a header that is a number": with_entries(**{"tables__projects.jsonl": b"7\n"}),
    "a header of lists": with_entries(**{"tables__projects.jsonl": b"[[1]]\n"}),
    "rows that are numbers": with_entries(**{"tables__projects.jsonl": b'["key"]\n7\n'}),
    "half a character": with_entries(**{"tables__projects.jsonl": b'["key"]\n["\\ud800"]\n'}),
    "a word for a number": with_rows("seven"),
    "a number of hundred digits": with_rows(10**100),
    "a list for a number": with_rows([1]),
    "nothing where something must be": with_rows(None),
    "a file and a folder of one name": with_entries(**{"files__projects__a": b"", "files__projects__a__b": b""}),
    "a name that is too long": with_entries(**{f"files__projects__{'x' * 300}": b""}),
    "damaged bzip2": compressed(zipfile.ZIP_BZIP2, b"1AY&SY"),
    "damaged lzma": compressed(zipfile.ZIP_LZMA, b"]\0\0\x80"),
}


@pytest.mark.parametrize("spelling", ["files/{}", "files/projects/{}", "files/./projects/.{}", "files//projects{}"])
def test_no_spelling_of_a_name_leads_out_of_model_dir(spelling: str, root: Path, tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/a.db", tmp_path / "backup.zip"
    SqlDatabase(url, lambda: 5.0).save_project(ProjectRecord(KEY, 1, "Films"))
    Backup(Sql(url), root).write(file)
    evil = tmp_path / "projects" / "evil"
    with pytest.raises(BadRequest, match="none of ours"):
        Backup(Sql(url), root).restore(planted(spelling.format(evil))(file))
    assert not evil.exists()
    assert not root.exists() or list(root.iterdir()) == []


def test_a_table_by_another_spelling_is_not_left_out(root: Path, tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/a.db", tmp_path / "backup.zip"
    SqlDatabase(url, lambda: 5.0).save_project(ProjectRecord(KEY, 1, "Films"))
    Backup(Sql(url), root).write(file)

    def respell(entries: dict[str, bytes]) -> None:
        entries["tables//projects.jsonl"] = entries.pop("tables/projects.jsonl")

    with pytest.raises(BadRequest, match="none of ours"):
        Backup(Sql(url), root).restore(rewritten(file, respell))
    assert [project.title for project in SqlDatabase(url, lambda: 5.0).projects()] == ["Films"]


@pytest.mark.parametrize("name", ODD)
def test_a_backup_of_odd_shapes_is_refused_in_words_and_changes_nothing(name: str, root: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    SqlDatabase(url, lambda: 5.0).save_project(ProjectRecord(KEY, 1, "Films"))
    Backup(Sql(url), root).write(tmp_path / "backup.zip")
    before = rows(url)
    with pytest.raises(BadRequest, match=r"bad\.zip|The backup"):
        Backup(Sql(url), root).restore(ODD[name](tmp_path / "backup.zip"))
    assert rows(url) == before
    assert not (root / "projects").exists()


def test_a_backup_of_an_earlier_release_is_brought_up_to_date(database_url: str, root: Path, tmp_path: Path) -> None:
    fill(database_url, root)
    Backup(Sql(database_url), root).write(tmp_path / "backup.zip")

    def older(entries: dict[str, bytes]) -> None:
        for table in ("verdicts", "check_reports", "past_suggestions", "embeddings", "project_settings"):
            del entries[f"tables/{table}.jsonl"]
        added = {
            "projects": ["data_tab"],
            "annotations": ["origins", "lead_time_s"],
            "suspects": ["reason", "shown", "region"],
            "versions": ["current_at"],
        }
        for table, columns in added.items():
            names, *lines = [json.loads(line) for line in entries[f"tables/{table}.jsonl"].splitlines()]
            kept = [place for place, name in enumerate(names) if name not in columns]
            new = [[line[place] for place in kept] for line in (names, *lines)]
            entries[f"tables/{table}.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in new)
        manifest = json.loads(entries["manifest.json"])
        entries["manifest.json"] = json.dumps(manifest | {"revision": "0001"}).encode()

    file = rewritten(tmp_path / "backup.zip", older)
    lose_everything(database_url, root)
    Backup(Sql(database_url), root).restore(file)
    database = SqlDatabase(database_url, lambda: 9.0)
    (task,) = database.tasks(KEY)
    assert len(task.annotations) == 2500
    assert task.annotations[0].origins == {}
    assert database.verdicts(KEY) == []
    settings = ProjectSettings(Sql(database_url), root, Policy())
    assert settings.policy(KEY).top_tasks == 3, "taken from the file, which is all that the backup has of it"


def test_a_backup_that_cant_be_finished_leaves_the_one_before(root: Path, tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/a.db", tmp_path / "backup.zip"
    fill(url, root)
    Backup(Sql(url), root).write(file)
    before = file.read_bytes()
    away = Backup(Sql("postgresql+psycopg://x:y@127.0.0.1:1/none"), root)
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        away.write(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
