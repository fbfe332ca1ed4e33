"""Where answers came from, what was suggested when, and embeddings."""

import sqlalchemy as sa

from backend.adapters.sql.migrations.missing import add_column, create_table

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add these."""
    add_column("annotations", sa.Column("origins", sa.JSON))
    create_table(
        "past_suggestions",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("task_id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("answers", sa.JSON, nullable=False),
        sa.Column("per_question", sa.JSON, nullable=False),
    )
    create_table(
        "embeddings",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("content", sa.String(64), primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
