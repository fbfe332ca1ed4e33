"""A real Postgres for the contract tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import start_postgres, url_of


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_postgres(tmp_path_factory.mktemp("postgres"))
    yield url_of(server)
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/folder/test.sqlite3"
    url: str = request.getfixturevalue("postgres")
    return url


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    # Postgres is shared by all tests, so each works on a project of its own.
    return f"1.1-{abs(hash(request.node.nodeid)) % 10**8:08d}"
