"""The schema of the database, brought up to date by alembic.

`versions/` holds one file for each change, in order; a change is never edited once it was released. All processes do
this when they first use the database: one after the other, each under the database's own lock.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, inspect, text

from backend.adapters.sql import llm_tables as _  # noqa: F401 - adds its tables to those of `tables`
from backend.adapters.sql import tables
from backend.errors import ConfigurationError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0011"
"""The newest revision. Compared with before alembic is loaded, which takes half a second."""
FOLDER = Path(__file__).parent

log = logging.getLogger(__name__)


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables, or change them to today's schema. The caller holds the lock, and commits.

    A database of before alembic says no revision: the first ones make only what is missing in it.

    Raises:
        ConfigurationError: a newer release has changed the database.
    """
    found = revision(connection)
    if found == HEAD:
        return
    # Loaded only where there is something to do.
    from alembic import command  # noqa: PLC0415

    config = _config(connection, found)
    if found is None and not inspect(connection).has_table("projects"):
        all_tables().create_all(connection)
        command.stamp(config, HEAD)
        return
    log.info("the database is brought from revision %s to %s", found or "none", HEAD)
    command.upgrade(config, HEAD)


def make_at(connection: Connection, at: str, fill: Callable[[], None]) -> None:
    """Make all tables anew as they were at a revision, let them be filled, and bring them up to date.

    What is in them is gone. The caller holds the lock, and commits.

    Raises:
        ConfigurationError: the revision is a newer release's.
    """
    from alembic import command  # noqa: PLC0415 - as above

    config = _config(connection, at)
    for name in {*all_tables().tables, "alembic_version"} & set(inspect(connection).get_table_names()):
        connection.execute(text(f"DROP TABLE {name}"))
    command.upgrade(config, at)
    fill()
    bring_up_to_date(connection)


def _config(connection: Connection, at: str | None) -> "Config":
    """What alembic needs. Raises ConfigurationError for a revision that we don't know."""
    from alembic.config import Config  # noqa: PLC0415 - as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if at is not None and at not in known:
        raise ConfigurationError(
            f"The database (DATABASE_URL) or backup was made by a newer release of Prelabel (revision {at}, ours is "
            f"{HEAD}): use that release, or restore a backup of before with `prelabel restore`."
        )
    return config


def revision(connection: Connection) -> str | None:
    """The revision that a database says it has; None for a new one, and for one of before alembic."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def all_tables() -> MetaData:
    """The tables as they are today."""
    return tables.metadata
