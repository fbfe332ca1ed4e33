"""The secret that our webhooks send: made once, and kept in a file of `MODEL_DIR` for all processes."""

import os
import re
import secrets
from pathlib import Path

import structlog

from backend.adapters.files import sync_folder, write_synced
from backend.adapters.redaction import redact
from backend.errors import ConfigurationError

NAME = "webhook-secret"
USABLE = re.compile(rb"[\x21-\x7e]{16,200}")
"""What we make has 43 letters. A file that was cut off is empty, short, or holds zeros: anybody could guess it."""

log = structlog.get_logger()


class WebhookSecret:
    """The secret in one `MODEL_DIR`, as its file has it at each moment."""

    def __init__(self, model_dir: Path) -> None:
        self._path = model_dir.resolve() / NAME
        self._seen: tuple[int, int, int] | None = None
        self._secret = ""

    def read(self) -> str | None:
        """The secret; None when there is none yet.

        Raises:
            ConfigurationError: the file holds none that can be used, or can't be read.
        """
        try:
            content = self._path.read_bytes().strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"{self._path} can't be read ({error.strerror}): is it ours?") from error
        if not is_usable(content):
            raise ConfigurationError(
                f"{self._path} holds no secret that can be used (is it empty, or cut off?). Delete it: the next start "
                "makes a new one, and `prelabel doctor PROJECT --fix` gives it to Label Studio."
            )
        secret = content.decode()
        redact.learn([secret])
        return secret

    def get(self) -> str:
        """The secret, which is made when there is none yet.

        Raises:
            ConfigurationError: as `read`.
            OSError: it can't be written.
        """
        return self.read() or self._make()

    def current(self) -> str:
        """The secret at this moment, for a process that runs; "" when there is none that can be used. Cheap."""
        try:
            found = self._path.stat()
        except OSError:
            found = None
        seen = (found.st_ino, found.st_mtime_ns, found.st_size) if found else None
        if seen != self._seen or seen is None:
            if self._seen is not None:
                log.warning("the webhooks' secret was replaced", path=str(self._path))
            self._seen = seen
            try:
                self._secret = self.read() or ""
            except ConfigurationError as error:
                log.error("no webhook is let in", error=str(error))
                self._secret = ""
        return self._secret

    def _make(self) -> str:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and linked into place: of processes that start together one wins, and all read its secret.
        temporary = self._path.with_name(f".{NAME}-{os.getpid()}")
        try:
            write_synced(temporary, secrets.token_urlsafe(32).encode())
            os.link(temporary, self._path)
            sync_folder(self._path.parent)
        except FileExistsError:
            # Another process was first.
            pass
        finally:
            temporary.unlink(missing_ok=True)
        return self.read() or ""


def is_usable(content: bytes) -> bool:
    """Whether a file's content is a secret, and not what is left of one."""
    return USABLE.fullmatch(content.strip()) is not None
