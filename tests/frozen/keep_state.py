"""Keep what an installation of today's code leaves behind: `python -m tests.frozen.keep_state FILE.tar.xz`.

An archive of two trained projects: `models/` (versions, SQLite, the embedded Redis' files with jobs that wait),
`backup.zip` of it, and `expected.json` with the suggestions of its versions. `tests/contract/test_earlier_state.py`
starts today's code on each archive in `tests/frozen/earlier/`. Keep one at each release, and never change one.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from backend.adapters.backup import Backup
from backend.adapters.redis.queue import RedisQueue
from backend.adapters.sql.engine import Sql
from backend.entrypoints.run.processes import redis_program
from backend.ports import FORCED, Job, JobOptions
from backend.settings import Settings
from tests.frozen.projects import frozen_projects, installation, learned
from tests.frozen.record import results_of

KEPT = ("rating", "taxonomy")


def keep(target: Path) -> None:
    """Make an archive."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "installation"
        deps, label_studio = installation(folder, lambda: 1_800_000_000.0)
        expected: dict[str, Any] = {}
        for project in frozen_projects():
            if project.name in KEPT:
                key = learned(deps, label_studio, project)
                # The ids of an archive's tasks are its own: they are compared as they are.
                expected[key] = results_of(deps, key, 0)
        models = folder / "models"
        (models / "webhook-secret").write_text("kept-secret-of-an-earlier-release")
        Backup(Sql(f"sqlite:///{models}/prelabel.sqlite3"), models).write(folder / "backup.zip")
        leave_jobs(models, sorted(expected))
        (folder / "expected.json").write_text(json.dumps(expected))
        with tarfile.open(target, "w:xz") as archive:
            for part in ("models", "backup.zip", "expected.json"):
                archive.add(folder / part, part, filter=_named_by_nobody)


def leave_jobs(models: Path, keys: list[str]) -> None:
    """Start the embedded Redis, ask for jobs, move one of them into rq, and kill it: as after a power cut."""
    program = redis_program(Settings(model_dir=models, label_studio_url="http://fake"))
    server = subprocess.Popen(program.command, stdout=subprocess.DEVNULL)
    try:
        while not program.ready():
            time.sleep(0.05)
        url = f"unix://{models}/redis/redis.sock"
        queue = RedisQueue(url, 60)
        queue.request(Job.TRAIN, keys[0], options=FORCED)
        assert queue.move_due() == 1
        queue.request(Job.RECONCILE, keys[0])
        queue.request(Job.ROLLBACK, keys[1], options=JobOptions(version=1), delay_s=3600)
        # What is written reaches the disk once a second.
        time.sleep(2)
    finally:
        server.kill()
        server.wait()


def _named_by_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if entry.name.endswith((".sock", "/lock", "/log")):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
