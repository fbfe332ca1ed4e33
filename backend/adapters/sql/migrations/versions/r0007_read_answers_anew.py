"""Answers as Label Studio saves them: paths of nested choices in full, and what can't be read as a text."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Have all tasks read again: earlier releases kept the last part of a path only, and dropped what they couldn't
    read."""
    projects = sa.table("projects", sa.column("cursor", sa.String))
    op.execute(sa.update(projects).values(cursor=None))
