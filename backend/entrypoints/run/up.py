"""`prelabel up`: everything but Label Studio itself."""

import os

from backend.adapters.label_studio.client import LabelStudioApi
from backend.entrypoints.console import say
from backend.entrypoints.run.processes import (
    Interrupted,
    Supervisor,
    backend_programs,
    check_port,
    redis_program,
    stop_on_signals,
)
from backend.entrypoints.web.access import listen_address
from backend.settings import Settings


def run_up(settings: Settings) -> None:
    """Start Redis (unless REDIS_URL is set), web service, workers and scheduler; run until Ctrl-C.

    Raises:
        ConfigurationError: a port is in use, a setting is missing, or a part doesn't start.
        LabelStudioError: Label Studio doesn't answer, or refuses the key.
    """
    api_key = settings.label_studio_api_key.get_secret_value()
    who = LabelStudioApi(settings.label_studio_url, api_key, settings.label_studio_timeout_s).whoami()
    say(f"Label Studio at {settings.label_studio_url} answers {who}.")
    check_port(settings.port, "PORT")
    stop = stop_on_signals()
    supervisor = Supervisor(settings.model_dir.resolve() / "logs", say, stop)
    try:
        programs = backend_programs(settings, os.environ)
        for program in programs if settings.redis_url else [redis_program(settings), *programs]:
            supervisor.start(program)
            say(f"{program.name} runs.")
        say(f"Prelabel listens on {settings.public_url}. Now connect a project: prelabel connect PROJECT")
        say(f"Logs: {settings.model_dir.resolve() / 'logs'}. Ctrl-C stops it.")
        _, why = listen_address(settings)
        if why:
            say(why)
        supervisor.watch()
    except Interrupted:
        say("Interrupted.")
    finally:
        supervisor.stop()
        say("Stopped.")
