"""Files that only their owner may read, and that are there as a whole even after a power cut."""

import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from backend.errors import ConfigurationError

OTHERS = 0o077
"""What the group and all others may do. As a process's umask: files of mode 600, folders of mode 700."""
FILES = re.compile(
    r"prelabel\.sqlite3(-wal|-shm|-journal)?|webhook-secret|installation|\.(webhook-secret|installation)-[0-9a-f-]+"
)
"""Files that lie in `MODEL_DIR` itself."""
FOLDERS = {
    "projects": re.compile(r"[0-9]{1,18}\.[0-9]{1,18}-[0-9a-f]{8}"),
    "redis": re.compile(r"lock|redis\.sock|appendonlydir|appendonly\.aof|dump\.rdb|temp-.*|set-aside-.*"),
    "rules": re.compile(r"in-use\.json|[0-9a-f]{16,64}|\.rules-.*|\.in-use-[0-9-]+"),
    "logs": re.compile(r"(web-service|worker(-[0-9]+)?|scheduler|redis|label-studio|demo)\.log"),
}
"""Folders in `MODEL_DIR`, and what lies in them. Others may have a folder of the same name there."""
RESTORE = ".restore-"
"""How the folder begins into which a backup is unpacked."""


def write_synced(path: Path, content: bytes) -> None:
    """Write a file of mode 600 through to the disk. Its name is safe only after `sync_folder`."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_synced(path: Path, content: bytes) -> None:
    """Replace a file as a whole: after a power cut it has its old or its new content. Mode 600."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}")
    try:
        write_synced(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Write a folder's names through to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_private(root: Path) -> list[str]:
    """Make `MODEL_DIR`, or take the others' rights to what of ours lies in it; returns what is to be said of that.

    A folder that also holds something else, or is made for many (as /tmp is), keeps its mode.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = [_ours(entry) for entry in root.iterdir() if entry.name != "lost+found"]
    ours = [path for paths, _ in found for path in paths]
    said = []
    if all(is_all for _, is_all in found) and not _mode(root) & stat.S_ISVTX:
        ours = [root]
    else:
        said.append(f"{root} isn't Prelabel's alone, so its mode stays: better give MODEL_DIR a folder of its own.")
    open_to_others = [path for top in ours for path in _below(top) if not path.is_symlink() and _mode(path) & OTHERS]
    failed = 0
    for path in open_to_others:
        try:
            path.chmod(_mode(path) & ~OTHERS)
        except OSError:
            failed += 1
    if open_to_others:
        left = f"; {failed} of them belong to another user and stay as they are" if failed else ""
        said.append(f"{len(open_to_others)} files and folders in {root} were open to others of this machine{left}.")
    return said


def make_own(folder: Path) -> None:
    """Make one of the folders in `MODEL_DIR`, which nobody else may enter.

    Raises:
        ConfigurationError: others may enter it, and something in it isn't ours.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _mode(folder) & OTHERS:
        return
    if not _ours(folder)[1]:
        raise ConfigurationError(
            f"{folder} holds files of something else, and is open to others of this machine: give MODEL_DIR a folder "
            "of its own."
        )
    folder.chmod(0o700)


def _ours(entry: Path) -> tuple[list[Path], bool]:
    """What of an entry of `MODEL_DIR` is ours and may be changed, and whether nothing in it is somebody else's."""
    inside = FOLDERS.get(entry.name)
    if entry.is_symlink():
        return [], inside is not None or FILES.fullmatch(entry.name) is not None
    if not entry.is_dir():
        is_ours = FILES.fullmatch(entry.name) is not None
        return [entry] * is_ours, is_ours
    if inside is None:
        is_ours = entry.name.startswith(RESTORE)
        return [entry] * is_ours, is_ours
    try:
        entries = list(entry.iterdir())
    except PermissionError:
        return [], False
    ours = [path for path in entries if inside.fullmatch(path.name)]
    is_all = len(ours) == len(entries)
    return [entry] if is_all and ours else ours, is_all


def _below(top: Path) -> Iterator[Path]:
    """A file, or a folder and all in it, the outermost first."""
    yield top
    if top.is_dir() and not top.is_symlink():
        for folder, folders, names in os.walk(top):
            yield from (Path(folder) / name for name in (*folders, *names))


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.lstat().st_mode)
    except FileNotFoundError:
        # It was a temporary file of a process that runs.
        return 0
