"""The settings of a command, with one sentence about all that is wrong with them."""

from collections.abc import Callable

import structlog
from pydantic import ValidationError

from backend.adapters.files import make_private
from backend.bootstrap import start_logging
from backend.errors import BackendError, ConfigurationError
from backend.settings import Settings

log = structlog.get_logger()


def service_settings() -> Settings:
    """Settings of a process that works on `MODEL_DIR`, which is made, and made private, first.

    Raises:
        ConfigurationError: as `read_settings`, or `MODEL_DIR` can't be made.
    """
    settings = read_settings()
    try:
        said = make_private(settings.model_dir.resolve())
    except OSError as error:
        raise ConfigurationError(f"MODEL_DIR ({settings.model_dir}) can't be used: {error.strerror}.") from error
    for sentence in said:
        log.warning(sentence)
    return settings


def read_settings() -> Settings:
    """Settings of the environment.

    Raises:
        ConfigurationError: a variable has a value that can't be used; each one is named.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))} {item['msg']}".strip() for item in error.errors())
        raise ConfigurationError(f"Settings can't be used: {problems}") from None
    start_logging(settings)
    return settings


def serve(run: Callable[[Settings], None], settings: Settings) -> None:
    """Run a service. Nobody watches it: what ends it unexpectedly stands in its log as a whole."""
    try:
        run(settings)
    except (BackendError, OSError):
        raise
    except Exception:
        structlog.get_logger().exception("the service ended")
        raise
