"""Locks of projects in Redis: one worker at a time works on a project."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis import Redis
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from backend.adapters.redis.access import named_errors

LOCK_TTL_S = 30
"""A dead worker's lock goes after so many seconds; a living one renews it thirty times as often."""

log = structlog.get_logger()


class Locks:
    """The locks that one worker holds. `lost`: another worker took the last one, while this one believed to hold it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.lost = False

    @contextmanager
    def hold(self, key: str) -> Iterator[bool]:
        """Hold a project; gives False at once when someone else holds it. Renewed while it is held.

        A Redis that lost its data forgot the lock: it is taken again, or `lost` says that somebody else has it by then.
        """
        lock = self._redis.lock(f"prelabel:lock:{key}", timeout=LOCK_TTL_S, thread_local=False)
        with named_errors():
            held = lock.acquire(blocking=False)
        if not held:
            yield False
            return
        released = threading.Event()
        self.lost = False
        renewing = threading.Thread(target=self._renew, args=(lock, released), daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            released.set()
            renewing.join()
            _release(lock)

    def _renew(self, lock: Lock, released: threading.Event) -> None:
        while not released.wait(LOCK_TTL_S / 30):
            try:
                lock.reacquire()
            except LockError:
                # Redis restarted without its file, or we stood still for long.
                self.lost = not lock.do_acquire(lock.local.token)
                if self.lost:
                    log.error("another worker took the lock")
                    return
            except RedisError:
                # It is away: so is the lock, for everybody.
                continue


def _release(lock: Lock) -> None:
    try:
        lock.release()
    except (LockError, RedisError):
        # It expired already, or Redis is away and it will expire.
        return
