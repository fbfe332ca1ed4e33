"""Label Studio's database as its migrations leave it, kept from one test run to the next: they take half a minute."""

import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

from backend.entrypoints.run.label_studio import VERSION, Account, label_studio_program
from tests.caches import cache_folder

DATABASE = "label_studio.sqlite3"
"""As Label Studio calls it in its data folder."""
MIGRATED_WITHIN_S = 600


def put_migrated_database(data: Path) -> None:
    """Give a Label Studio that hasn't started yet its tables. Nobody has an account there, and it holds no secrets.

    Where that can't be had, the folder stays empty: Label Studio makes the tables itself at its start.
    """
    kept = cache_folder() / f"label-studio-{VERSION}.sqlite3"
    if not _is_whole(kept):
        _make(kept)
    if kept.exists():
        data.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, data / DATABASE)


def _is_whole(database: Path) -> bool:
    if not database.exists():
        return False
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (migrations,) = connection.execute("SELECT count(*) FROM django_migrations").fetchone()
        except sqlite3.DatabaseError:
            return False
    return bool(found == "ok" and migrations)


def _make(kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    # In the cache's own folder, so that the finished file takes its place at once: another run sees all of it or none.
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        program = label_studio_program(Path(folder), 0, Account("", ""))
        before = program.command[: program.command.index("start")]
        # Like all its commands, this one migrates first.
        command = [*before, "version", "--data-dir", folder]
        done = subprocess.run(
            command, env=program.environment, capture_output=True, check=False, timeout=MIGRATED_WITHIN_S
        )
        if done.returncode == 0 and _is_whole(Path(folder) / DATABASE):
            (Path(folder) / DATABASE).replace(kept)
