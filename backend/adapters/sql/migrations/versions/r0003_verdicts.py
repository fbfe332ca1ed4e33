"""Reasons and turns of suspects, verdicts, reports of checks, and how long annotators took."""

import sqlalchemy as sa

from backend.adapters.sql.migrations.missing import add_column, create_table

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add these."""
    add_column("annotations", sa.Column("lead_time_s", sa.Float))
    add_column("suspects", sa.Column("reason", sa.Text))
    add_column("suspects", sa.Column("shown", sa.Boolean))
    create_table(
        "verdicts",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("question", sa.String(200), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("quality", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    create_table(
        "check_reports",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("report", sa.JSON, nullable=False),
    )
