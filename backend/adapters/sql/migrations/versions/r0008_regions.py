"""Regions of suspects and verdicts: several regions of a task may be suspect in the same question."""

import sqlalchemy as sa
from alembic import op

from backend.adapters.sql.migrations.missing import add_column

revision = "0008"
down_revision = "0007"

COLUMNS = ("key", "task_id", "question", "given", "expected", "quality", "status", "seen", "tagged", "reason", "shown")


def upgrade() -> None:
    """Add them; until now each was of a task's answer as a whole."""
    add_column("verdicts", sa.Column("region", sa.Text, nullable=False, server_default=""))
    if "region" in {found["name"] for found in sa.inspect(op.get_bind()).get_columns("suspects")}:
        return
    # SQLite can't change the columns of a primary key: the table is made anew.
    op.execute("CREATE TEMPORARY TABLE earlier_suspects AS SELECT * FROM suspects")
    op.drop_table("suspects")
    suspects = op.create_table(
        "suspects",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("task_id", sa.Integer, primary_key=True),
        sa.Column("question", sa.String(200), primary_key=True),
        sa.Column("region", sa.Text, primary_key=True, server_default=""),
        sa.Column("given", sa.JSON, nullable=False),
        sa.Column("expected", sa.JSON, nullable=False),
        sa.Column("quality", sa.Float, nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("seen", sa.JSON, nullable=False),
        sa.Column("tagged", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("shown", sa.Boolean),
    )
    earlier = sa.table("earlier_suspects", *map(sa.column, COLUMNS))
    op.execute(sa.insert(suspects).from_select(COLUMNS, sa.select(earlier)))
    op.execute("DROP TABLE earlier_suspects")
