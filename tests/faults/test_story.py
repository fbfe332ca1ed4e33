"""Each part of the house breaks while people work, and in the end all is as if nothing had happened."""

import itertools
import shutil
import sqlite3
import time
from collections.abc import Callable

import pytest

from tests.conftest import Demo, wait_for
from tests.e2e.team import Team
from tests.faults.backend import Backend, Outcome
from tests.faults.story import assert_same, label_all
from tests.proxy import Trouble

OUTLASTS_RETRIES_S = 15.0
"""A job is tried again after 0, 1, 2 and 2 seconds here, see `backend.QUICK`."""


def kill_web_service(backend: Backend) -> None:
    backend.kill("Web service")


def kill_redis(backend: Backend) -> None:
    backend.kill("Redis")


def kill_redis_and_lose_its_file(backend: Backend) -> None:
    shutil.rmtree(backend.settings.redis_socket.parent / "appendonlydir", ignore_errors=True)
    (backend.settings.redis_socket.parent / "appendonly.aof").unlink(missing_ok=True)
    backend.kill("Redis")


def lock_database(backend: Backend) -> None:
    lock = sqlite3.connect(backend.settings.model_dir / "prelabel.sqlite3", isolation_level=None, timeout=60)
    lock.execute("BEGIN IMMEDIATE")
    time.sleep(OUTLASTS_RETRIES_S)
    lock.execute("ROLLBACK")
    lock.close()


def refuse_everything(backend: Backend) -> None:
    backend.outbound.trouble = lambda *_: Trouble(502)
    time.sleep(OUTLASTS_RETRIES_S)
    backend.outbound.heal()


def lose_double_and_reorder_events(backend: Backend) -> None:
    turns = itertools.cycle(("drop", "double", "", "drop", "", "double", "", "drop", "", ""))
    backend.inbound.trouble = lambda method, path: (
        Trouble(how=how) if method == "POST" and path.startswith("/webhook") and (how := next(turns)) else None
    )


FAULTS: dict[str, Callable[[Backend], None]] = {
    "web service killed": kill_web_service,
    "Redis killed": kill_redis,
    "Redis killed without its file": kill_redis_and_lose_its_file,
    "database locked": lock_database,
    "Label Studio answers 502": refuse_everything,
    "events lost and doubled": lose_double_and_reorder_events,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS)
def test_in_the_end_all_is_as_if_nothing_had_happened(
    demo: Demo, backend: Backend, left_alone: Outcome, fault: str
) -> None:
    team = Team.with_reviews(demo, 60)

    def disturb(batch: int) -> None:
        if batch:
            # As soon as the version is being trained that the labels brought.
            backend.wait_for_stage(1, team)
        FAULTS[fault](backend)
        wait_for(backend.is_ready, 120, "all parts are there again")

    assert_same(label_all(backend, team, disturb), left_alone)
    backend.assert_nothing_double(team)
    backend.forget(team)
