"""Spans that people marked."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Have all tasks read again: earlier releases didn't keep what is marked in a text."""
    projects = sa.table("projects", sa.column("cursor", sa.String))
    op.execute(sa.update(projects).values(cursor=None))
