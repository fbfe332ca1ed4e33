"""The tab of data issues."""

import sqlalchemy as sa

from backend.adapters.sql.migrations.missing import add_column

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add it."""
    add_column("projects", sa.Column("data_tab", sa.Integer))
