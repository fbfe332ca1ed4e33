"""Requests for jobs from an event loop.

The same write as `RedisQueue.request`, without a thread: to hand a webhook to a thread and back took a third of its
processor time, and let it wait behind predictions that compute.
"""

import asyncio
import time

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from backend.adapters.redis.access import ANSWER_S, BACKOFF, TRIES, named_errors
from backend.adapters.redis.queue import DUE, request_member
from backend.adapters.redis.wishes import WISH_TTL_S, is_wish, wish_key
from backend.ports import PLAIN, Job, JobOptions

CONNECTIONS = 16
"""Events beyond these wait for one: in the second that a Redis takes to restart, hundreds may come."""


class EventRequests:
    """Asks for jobs. Opens nothing before its first call."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop: asyncio.AbstractEventLoop | None = None
        self._redis: Redis | None = None

    async def request(self, job: Job, key: str, *, delay_s: float = 0.0, options: JobOptions = PLAIN) -> None:
        """Ask for a job in `delay_s` seconds; one round trip.

        A request that waits already runs at the earlier of both times. A person's wish replaces those before it.

        Raises:
            ConfigurationError: Redis doesn't answer, or refuses.
        """
        member = request_member(job, key, options)
        with named_errors():
            try:
                # redis-py takes the silence of a Redis on a unix socket for a failed connection, and tries again.
                async with asyncio.timeout(ANSWER_S):
                    async with self._client().pipeline(transaction=False) as pipeline:
                        if is_wish(job, options):
                            pipeline.set(wish_key(key), member, ex=WISH_TTL_S)
                        pipeline.zadd(DUE, {member: time.time() + delay_s}, lt=True)
                        await pipeline.execute()
            except TimeoutError as error:
                raise RedisTimeoutError("no answer") from error

    def _client(self) -> Redis:
        # Connections belong to the loop that opened them. A service has one loop, its tests have many.
        loop = asyncio.get_running_loop()
        if self._redis is None or self._loop is not loop:
            retry = Retry(BACKOFF, TRIES, (RedisConnectionError,))
            pool = BlockingConnectionPool.from_url(
                self._url,
                max_connections=CONNECTIONS,
                timeout=ANSWER_S,
                socket_timeout=ANSWER_S,
                socket_connect_timeout=ANSWER_S,
                retry=retry,
            )
            self._redis = Redis(connection_pool=pool)
            self._loop = loop
        return self._redis
