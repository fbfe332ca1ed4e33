"""Files that only their owner may read, and that are there as a whole even after a power cut."""

import os
from pathlib import Path


def write_synced(path: Path, content: bytes) -> None:
    """Write a file of mode 600 through to the disk. Its name is safe only after `sync_folder`."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_synced(path: Path, content: bytes) -> None:
    """Replace a file as a whole: after a power cut it has its old or its new content. Mode 600."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
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
