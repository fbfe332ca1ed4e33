"""For the revisions of before alembic: make what is missing.

Databases of that time made each group of tables when it was first used, and added columns by themselves, so they are of
many shapes.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op


def create_table(name: str, *columns: sa.Column[Any]) -> None:
    """Make a table with its indexes, if it isn't there."""
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *columns)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column that may be NULL, if it isn't there."""
    there = {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)
