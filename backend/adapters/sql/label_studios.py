"""Which Label Studio stands at the configured address. State belongs to a Label Studio, whatever its address is.

The key of a project ends in the mark of its Label Studio: the hash of the first address that this one was known by.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy import Connection, select

from backend.adapters.addresses import origin_without_user
from backend.adapters.sql.engine import Sql, save
from backend.adapters.sql.tables import label_studios, projects
from backend.errors import ConfigurationError

ASKED_EACH_S = 5.0
"""A process that doesn't know the mark yet asks the database again after so many seconds."""
FIRST_LOOK_S = 1.0
"""A web service begins without the mark, and ends without waiting, when the database takes longer to answer."""

log = structlog.get_logger()


def mark_of_address(address: str) -> str:
    """The mark of a Label Studio that was never known by another address: 8 hexadecimal digits."""
    return hashlib.sha256(address.encode()).hexdigest()[:8]


class LabelStudioMark:
    """The mark of the configured Label Studio. Workers and `connect` settle it, all others read it."""

    def __init__(self, sql: Sql, url: str, now: Callable[[], float] = time.time) -> None:
        """`url`: LABEL_STUDIO_URL. `now` returns seconds since the epoch."""
        self._sql = sql
        self._url = url
        self._now = now
        self._settled: str | None = None
        self._asked_at: float | None = None
        self._is_watched = False

    @property
    def fresh(self) -> str:
        """The mark that it has if it was never known by another address.

        Raises:
            ConfigurationError: no Label Studio is configured.
        """
        if not self._url:
            raise ConfigurationError("LABEL_STUDIO_URL is not set: give Label Studio's address.")
        return mark_of_address(self._url)

    def settled(self) -> str | None:
        """The mark; None while nobody has found out whether this Label Studio is a known one.

        That it is new counts only once a project of it is known: it may have looked empty, or shut, for an hour.
        """
        now = time.monotonic()
        is_due = self._asked_at is None or now - self._asked_at > ASKED_EACH_S
        if self._settled is None and is_due and not self._is_watched:
            self._asked_at = now
            self._look()
        return self._settled

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let a thread look the mark up: inside this, `settled` and `current` never wait for the database.

        An event loop must not wait. Before the thread has found the mark, it is that of a new Label Studio; a worker
        puts right what was asked for under that one.
        """
        ended, looked = threading.Event(), threading.Event()

        def watch() -> None:
            while self._url and self._settled is None and not ended.is_set():
                try:
                    self._look()
                except Exception:
                    # Whatever it is, the next look may find the mark: a full disk is cleared, say.
                    log.exception("which Label Studio this is can't be looked up")
                looked.set()
                ended.wait(ASKED_EACH_S)
            looked.set()

        self._is_watched = True
        thread = threading.Thread(target=watch, name="label-studio-mark", daemon=True)
        thread.start()
        looked.wait(FIRST_LOOK_S)
        try:
            yield
        finally:
            ended.set()
            thread.join(FIRST_LOOK_S)
            self._is_watched = False

    def current(self) -> str:
        """The mark; until it is settled, that of a new Label Studio."""
        return self.settled() or self.fresh

    def settle(self, mark: str) -> None:
        """Say which Label Studio this is. What was said first stays, unless `settled` no longer counts it."""
        row = {"address": self.fresh, "mark": mark, "shown": origin_without_user(self._url), "since": self._now()}
        with self._sql.begin_alone(label_studios.name) as connection:
            save(connection, label_studios, [row], replace=self._settled_mark_on(connection) is None)
        self._settled = self._settled_mark()

    def earlier(self) -> list[str]:
        """Other addresses that it was known by, the first one first, fit for a message."""
        mark = self.current()
        others = (label_studios.c.mark == mark) & (label_studios.c.address != self.fresh)
        with self._sql.begin() as connection:
            return list(connection.scalars(select(label_studios.c.shown).where(others).order_by(label_studios.c.since)))

    def _look(self) -> None:
        try:
            self._settled = self._settled_mark()
        except ConfigurationError as error:
            # Suggestions don't need the database. What is asked for meanwhile, a worker puts right.
            log.warning("which Label Studio this is can't be looked up", error=str(error))

    def _settled_mark(self) -> str | None:
        with self._sql.begin() as connection:
            return self._settled_mark_on(connection)

    def _settled_mark_on(self, connection: Connection) -> str | None:
        query = select(label_studios.c.mark).where(label_studios.c.address == self.fresh)
        found: str | None = connection.scalar(query)
        of_it = select(projects.c.key).where(projects.c.key.endswith(f"-{self.fresh}")).limit(1)
        return None if found == self.fresh and connection.scalar(of_it) is None else found
