"""What we wrote into task data last, and versions that projects are held at."""

import sqlalchemy as sa
from alembic import op

from backend.adapters.sql.migrations.missing import create_table

revision = "0005"
down_revision = "0004"

NAMES = ("prelabel_quality", "prelabel_expected", "prelabel_reason", "prelabel_check")
ISSUE = "prelabel_issue"


def upgrade() -> None:
    """Add these. Of tags that earlier releases wrote it is known that they are ours (NULL), not what they say."""
    create_table(
        "holds",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
    )
    if sa.inspect(op.get_bind()).has_table("tags"):
        return
    op.create_table(
        "tags",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("task_id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.JSON(none_as_null=True)),
    )
    _remember_earlier_ones(op.get_bind())


def _remember_earlier_ones(connection: sa.Connection) -> None:
    metadata = sa.MetaData()
    metadata.reflect(connection, only=["suspects", "check_reports", "tags"])
    suspects, reports, tags = (metadata.tables[name] for name in ("suspects", "check_reports", "tags"))
    # Of before `shown` every suspect was tagged.
    shown = suspects.c.shown.is_(None) | suspects.c.shown.is_(sa.true())
    of_suspects = sa.select(suspects.c.key, suspects.c.task_id).where(shown).distinct()
    places = {(key, task_id, name) for key, task_id in connection.execute(of_suspects) for name in NAMES}
    for key, report in connection.execute(sa.select(reports.c.key, reports.c.report)).all():
        places |= {(key, int(task_id), ISSUE) for task_id in (report or {}).get("issue_tags", {})}
    rows = [{"key": key, "task_id": task_id, "name": name, "value": sa.null()} for key, task_id, name in sorted(places)]
    for row in rows:
        connection.execute(sa.insert(tags).values(**row))
