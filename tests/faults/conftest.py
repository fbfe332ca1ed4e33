"""One backend for all faults, beside the demo's own, on the demo's Label Studio.

They take 40 minutes, most of it spent in waiting for what was killed to be missed: only with `FAULTS=1`.
"""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import Demo
from tests.e2e.team import Team
from tests.faults.backend import Backend, Outcome
from tests.faults.story import label_all


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("FAULTS") == "1":
        return
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="takes 40 minutes: FAULTS=1 runs it"))


@pytest.fixture(scope="session")
def running(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with Backend(demo, tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture(scope="session")
def left_alone(demo: Demo, running: Backend) -> Outcome:
    """What is there after people did their work in a project to which nothing happened."""
    team = Team.with_reviews(demo, 60)
    found = label_all(running, team, lambda _: None)
    running.forget(team)
    return found


@pytest.fixture
def backend(running: Backend) -> Iterator[Backend]:
    """The backend, with all that goes wrong healed afterwards."""
    yield running
    running.outbound.heal()
    running.inbound.heal()
