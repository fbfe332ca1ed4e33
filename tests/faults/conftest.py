"""One backend for all faults, beside the demo's own, on the demo's Label Studio."""

from collections.abc import Iterator

import pytest

from tests.conftest import Demo
from tests.faults.backend import Backend


@pytest.fixture(scope="session")
def running(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with Backend(demo, tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture
def backend(running: Backend) -> Iterator[Backend]:
    """The backend, with all that goes wrong healed afterwards."""
    yield running
    running.outbound.heal()
    running.inbound.heal()
