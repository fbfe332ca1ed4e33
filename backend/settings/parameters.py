"""The parameters of projects as settings: what holds for all projects that don't say otherwise."""

from typing import Any, TypeVar

from pydantic import Field, create_model
from pydantic_settings import BaseSettings

from backend.domain.policy import PARAMETERS

SETTINGS = tuple(item for item in PARAMETERS if item.is_setting)
Model = TypeVar("Model", bound=BaseSettings)


def with_parameters(base: type[Model]) -> type[Model]:
    """A class of settings that has a field, and an environment variable, for each of `SETTINGS`, too."""
    fields: dict[str, Any] = {
        item.name: (
            item.kind,
            Field(
                default=item.default,
                ge=item.low,
                le=item.high,
                validation_alias=item.name.upper(),
                description=item.help,
            ),
        )
        for item in SETTINGS
    }
    return create_model(base.__name__, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **fields)
