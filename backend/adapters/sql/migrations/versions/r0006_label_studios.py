"""The addresses that a Label Studio was known by."""

import sqlalchemy as sa

from backend.adapters.sql.migrations.missing import create_table

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add them."""
    create_table(
        "label_studios",
        sa.Column("address", sa.String(8), primary_key=True),
        sa.Column("mark", sa.String(8), nullable=False),
        sa.Column("shown", sa.Text, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
    )
