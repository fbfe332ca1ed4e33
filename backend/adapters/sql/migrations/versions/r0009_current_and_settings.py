"""Since when a version is current, and the settings of projects."""

import sqlalchemy as sa
from alembic import op

from backend.adapters.sql.migrations.missing import add_column

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add them. Both were in files only, which are taken over by the projects' next jobs."""
    add_column("versions", sa.Column("current_at", sa.Float))
    if sa.inspect(op.get_bind()).has_table("project_settings"):
        # Of before an earlier release's backup was restored, which knew no such table: the files are newer.
        op.drop_table("project_settings")
    op.create_table(
        "project_settings",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
