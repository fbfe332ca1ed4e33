"""`prelabel connect`, `retrain` and `rollback`: what a project is trained for, and which version it shows."""

from backend.bootstrap import build
from backend.entrypoints.cli import installation
from backend.entrypoints.cli.settings import read_settings
from backend.entrypoints.connect import connect_project, outlook
from backend.entrypoints.console import say
from backend.errors import ConfigurationError
from backend.ports import FORCED, LET_GO, Job, JobOptions, version_name
from backend.workflows.asked import can_learn
from backend.workflows.config_notes import why_nothing
from backend.workflows.trained import TRAINED


def connect(project: int) -> None:
    """Connect a project, and say what comes next."""
    settings = read_settings()
    connect_project(settings, project)
    app = build(settings)
    say(f"Project {project} is connected. {outlook(app, app.label_studio.project(project))}")


def ask_for_training(project: int) -> None:
    """Ask for a training at once.

    Raises:
        ConfigurationError: nothing of the project can be trained.
    """
    app = installation.looked_at()
    info = app.label_studio.project(project)
    if not can_learn(app.deps, info.label_config):
        raise ConfigurationError(f"Nothing is trained: {why_nothing(app.deps.parse_label_config(info.label_config))}")
    app.queue.request(Job.TRAIN, app.key(info.uid), options=FORCED)
    say(f"Training of project {project} is asked for: see `prelabel jobs`.")


def roll_back(project: int, version: str) -> None:
    """Ask for an older version to be shown again.

    Raises:
        ConfigurationError: there is no such version.
    """
    app = installation.looked_at()
    key = installation.key_of(app, project)
    numbers = {record.name: record.number for record in app.database.versions(key) if record.status in TRAINED}
    number = numbers.get(version, numbers.get(f"v{version}"))
    if number is None:
        raise ConfigurationError(f"There is no version {version}: `prelabel versions {project}` lists them.")
    app.queue.request(Job.ROLLBACK, key, options=JobOptions(version=number))
    say(
        f"Rolling back to {version_name(number)}: see `prelabel jobs`. The project stays there, and new labels are "
        f"only counted, until `prelabel retrain {project}`, Start Training or `prelabel rollback {project} --release`."
    )


def let_go(project: int) -> None:
    """Let automatic trainings of a project that was rolled back go on."""
    app = installation.looked_at()
    app.queue.request(Job.ROLLBACK, installation.key_of(app, project), options=LET_GO)
    say(f"Project {project} is let go: the next training replaces what it shows.")
