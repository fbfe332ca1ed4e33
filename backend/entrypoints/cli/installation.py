"""The installation that a command works on, as its settings say, and what it knows of a project."""

from backend.bootstrap import App, build
from backend.entrypoints.cli.settings import read_settings
from backend.errors import ConfigurationError
from backend.ports import ProjectRecord


def looked_at() -> App:
    """The application for a command that looks, asks or repairs: it makes no database where there is none."""
    return build(read_settings(), makes_database=False)


def key_of(app: App, project: int) -> str:
    """The key by which we know a project of Label Studio's."""
    return app.key(app.label_studio.project(project).uid)


def record_of(app: App, key: str, project: int) -> ProjectRecord:
    """What we know of a project.

    Raises:
        ConfigurationError: nothing.
    """
    record = app.database.project(key)
    if record is None:
        raise ConfigurationError(f"Nothing is known of project {project} yet: `prelabel connect {project}`.")
    return record
