"""The settings of a command, with one sentence about all that is wrong with them."""

from pydantic import ValidationError

from backend.bootstrap import start_logging
from backend.errors import ConfigurationError
from backend.settings import Settings


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
