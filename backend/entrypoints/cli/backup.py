"""`prelabel backup` and `prelabel restore`."""

from pathlib import Path

from backend.adapters.backup import Summary
from backend.bootstrap import backup_of, build
from backend.domain.words import counted
from backend.entrypoints.cli.settings import read_settings
from backend.entrypoints.console import say
from backend.entrypoints.run.processes import alone, answers
from backend.errors import ConfigurationError
from backend.settings import Settings


def back_up(file: Path) -> None:
    """Write the database and all versions into one file."""
    settings = read_settings()
    if file.is_dir() or not file.resolve().parent.is_dir():
        raise ConfigurationError(f"{file} can't be written: name a file in a folder that exists.")
    done = backup_of(settings, makes_database=False).write(file)
    say(f"{file}: {_holds(done)}, {done.size / 1e6:.1f} MB. It holds tasks and a secret.")


def bring_back(file: Path, *, force: bool) -> None:
    """Bring an installation back from a backup, into an empty one or, if forced, in place of what is there."""
    settings = read_settings()
    if not file.is_file():
        raise ConfigurationError(f"There is no file {file}.")
    backup = backup_of(settings, makes_database=True)
    with alone(settings):
        _check_nothing_runs(settings)
        there = backup.what_is_there()
        if there and not force:
            raise ConfigurationError(
                f"This installation is not empty: it has {', '.join(there[:5])}{' ...' if there[5:] else ''}. Back it "
                "up, then restore with --force, which replaces all of it."
            )
        done = backup.restore(file)
    say(f"Restored {_holds(done)}. Start the services: they catch up with Label Studio.")
    if done.note:
        say(done.note)


def _holds(done: Summary) -> str:
    return f"{counted(done.rows, 'row')} and {counted(done.files, 'file')}"


def _check_nothing_runs(settings: Settings) -> None:
    """Services that run would write what they remember over what was restored. Raises ConfigurationError."""
    running = ["the web service"] if answers(f"http://127.0.0.1:{settings.port}/health", frozenset({200, 401})) else []
    try:
        workers, scheduler = build(settings).queue.alive()
    except ConfigurationError:
        # Without Redis no worker does anything; the embedded one is away when `prelabel up` is.
        workers, scheduler = 0, False
    running += [counted(workers, "worker")] if workers else []
    running += ["the scheduler"] if scheduler else []
    if running:
        raise ConfigurationError(
            f"Stop the services first: {', '.join(running)} still run (or ended less than half a minute ago)."
        )
