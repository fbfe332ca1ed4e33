"""The installation that a command works on, as its settings say, and what it knows of a project."""

from backend.bootstrap import WHICH_ONE, App, build
from backend.entrypoints.cli.settings import read_settings
from backend.errors import ConfigurationError
from backend.ports import ProjectInfo, ProjectRecord


def looked_at() -> App:
    """The application for a command that looks, asks or repairs: it makes no database where there is none."""
    return build(read_settings(), makes_database=False)


def key_of(app: App, project: int) -> str:
    """The key by which we know a project of Label Studio's; see `key_of_info`."""
    return key_of_info(app, app.label_studio.project(project))


def key_of_info(app: App, info: ProjectInfo) -> str:
    """The key by which we know a project as Label Studio describes it.

    Raises:
        ConfigurationError: it isn't known yet whether Label Studio moved, so that nothing seems to be known.
    """
    key = app.key(info.uid)
    if app.database.project(key) is None and app.may_have_moved():
        raise ConfigurationError(
            f"What is known of project {info.id} can't be told yet: Label Studio may be one that moved. {WHICH_ONE}"
        )
    return key


def record_of(app: App, key: str, project: int) -> ProjectRecord:
    """What we know of a project.

    Raises:
        ConfigurationError: nothing.
    """
    record = app.database.project(key)
    if record is None:
        raise ConfigurationError(f"Nothing is known of project {project} yet: `prelabel connect {project}`.")
    return record
