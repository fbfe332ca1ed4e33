"""Labels that came later, and those that were renamed."""

import sqlalchemy as sa

from backend.adapters.sql.migrations.missing import create_table

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add their tables."""
    create_table(
        "added_labels",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("question", sa.String(200), primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("since", sa.String(40), nullable=False),
    )
    create_table(
        "renamed_labels",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("question", sa.String(200), primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("now", sa.Text, nullable=False),
    )
