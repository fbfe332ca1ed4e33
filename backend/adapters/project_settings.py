"""Settings of single projects: the JSON that an admin types as the backend's extra parameters in Label Studio.

Label Studio sends it with each `/setup`. It is kept in SQL, and for one more release in `settings.json` in the
project's folder in `MODEL_DIR`.
"""

import json
import logging
from pathlib import Path

from sqlalchemy import Connection, select

from backend.adapters import project_params
from backend.adapters.sql.engine import Sql, save
from backend.adapters.sql.tables import project_settings
from backend.adapters.two_places import Kept, TwoPlaces
from backend.domain.policy import Policy, with_values
from backend.errors import ConfigurationError

log = logging.getLogger(__name__)


NO_PARAMS = "{}"
"""The text that is kept when nothing is set."""


class ProjectSettings:
    """Reads and keeps what is set for each project."""

    def __init__(self, sql: Sql, root: Path, defaults: Policy) -> None:
        """`root`: MODEL_DIR. `defaults`: what holds where a project says nothing."""
        self._places = TwoPlaces(sql, _SettingsRows(), root, "settings.json", _is_object)
        self._defaults = defaults

    def policy(self, key: str) -> Policy:
        """How the loop runs in a project."""
        try:
            text = self._places.read(key)
            given = project_params.read(NO_PARAMS if text is None else text)
        except (ValueError, OSError, ConfigurationError):
            # Written by another release, or damaged: the next /setup writes it anew. Until then nobody knows what may
            # leave, so nothing does.
            log.warning("The settings of project %s can't be read: nothing is sent to an LLM until it is saved", key)
            given = {"llm_forbidden": True}
        return with_values(self._defaults, given)

    def is_known(self, key: str) -> bool:
        """Whether anything of a project is kept."""
        return self._places.has_folder(key)

    def checked(self, extra_params: object) -> str:
        """What `/setup` brought (JSON text or an object, None for nothing) as the text that is kept.

        Raises:
            BadRequest: something in it is unknown or can't be used; the message names it.
        """
        return project_params.checked(extra_params)

    def save(self, key: str, extra_params: object) -> None:
        """Keep what `/setup` brought.

        Raises:
            BadRequest: as `checked`. What was set before stays.
            WrongDatabase: the database isn't ours.
            OSError: the file can't be written.
        """
        self._places.write(key, self.checked(extra_params))

    def settle(self, key: str) -> None:
        """Make SQL and MODEL_DIR say the same. Each job that holds its project begins with it.

        Raises:
            ConfigurationError: the database doesn't answer.
        """
        self._places.settle(key)


class _SettingsRows:
    """The table of projects' settings."""

    def read(self, connection: Connection, key: str) -> Kept | None:
        """What is kept of a project."""
        query = select(project_settings.c.params, project_settings.c.at).where(project_settings.c.key == key)
        row = connection.execute(query).first()
        return None if row is None else Kept(row.params, row.at)

    def write(self, connection: Connection, key: str, kept: Kept) -> None:
        """Insert or replace it."""
        save(connection, project_settings, [{"key": key, "params": kept.text, "at": kept.at}])


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
