"""What a test run may leave to the next one, and where a run's own files lie."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

IN_MEMORY = Path("/dev/shm")
"""Linux keeps its files in memory."""
ENOUGH_BYTES = 4 << 30
"""Free memory from which on a run's own files lie there: they are less than a GiB."""


def cache_folder() -> Path:
    """What is the same in all clones of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prelabel-tests"


@contextmanager
def mypy_cache() -> Iterator[dict[str, str]]:
    """Environment in which mypy goes on from what it found in another clone: anew it takes most of a minute.

    It writes there, so a second run at the same time has a cache of its clone only.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "mypy.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield {}
        else:
            yield {"MYPY_CACHE_DIR": str(folder / "mypy")}


def temporary_root() -> Path | None:
    """A folder in memory for the tests' own files, where there is one with room; None: where they are by default.

    SQLite, Redis and Label Studio wait for the disk after each change. That took a third of Label Studio's time.
    """
    if not os.access(IN_MEMORY, os.W_OK) or os.statvfs(IN_MEMORY).f_flag & os.ST_NOEXEC:
        return None
    has_room = min(shutil.disk_usage(IN_MEMORY).free, psutil.virtual_memory().available) >= ENOUGH_BYTES
    return IN_MEMORY if has_room else None
