"""Extra parameters: what an admin types for a project in Label Studio, as JSON, read and checked."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails, PydanticSerializationError

from backend.domain.policy import PARAMETERS, Parameter
from backend.errors import BadRequest

UNITS = {item.name: f" ({item.unit})" for item in PARAMETERS if item.unit}


def _field(item: Parameter) -> Any:
    """A field of the model: None where a project says nothing."""
    # In JSON, an enum is a text and a tuple a list.
    is_plain = item.kind in {bool, int, float, str}
    kind: Any = Annotated[item.kind, Field(ge=item.low, le=item.high, strict=None if is_plain else False)]
    if item.check is not None:
        kind = Annotated[kind, AfterValidator(_raising(item.check))]
    return (kind | None, None)


def _raising(check: Callable[[object], object]) -> Callable[[object], object]:
    def checked(value: object) -> object:
        try:
            check(value)
        except BadRequest as error:
            raise ValueError(str(error)) from error
        return value

    return checked


_FIELDS: dict[str, Any] = {item.name: _field(item) for item in PARAMETERS}
_Params: type[BaseModel] = create_model(
    "_Params", __config__=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False), **_FIELDS
)


def read(kept: str | bytes) -> dict[str, object]:
    """The values in the text that `checked` gave, by the names of parameters.

    Raises:
        ValueError: it was written by another release, or is damaged.
    """
    params = _Params.model_validate_json(kept)
    return {name: value for name in _FIELDS if (value := getattr(params, name)) is not None}


def checked(extra_params: object) -> str:
    """What `/setup` brought (JSON text or an object, None for nothing) as the text that is kept.

    Raises:
        BadRequest: something in it is unknown or can't be used; the message names it.
    """
    try:
        params = _Params.model_validate(_as_object(extra_params))
    except ValidationError as error:
        problems = "; ".join(map(_told, error.errors()))
        raise BadRequest(f"extra parameters can't be used: {problems}. Known: {', '.join(_FIELDS)}.") from error
    try:
        return params.model_dump_json(exclude_none=True)
    except PydanticSerializationError as error:
        raise BadRequest("extra parameters have half a character (a lone surrogate) in a text.") from error


def _told(problem: ErrorDetails) -> str:
    """One problem, with the parameter that it is about, if it is about one."""
    place = problem["loc"]
    if not place:
        return problem["msg"]
    return f"{'.'.join(map(str, place))}{UNITS.get(str(place[0]), '')}: {problem['msg']}"


def _as_object(extra_params: object) -> Mapping[str, Any]:
    if not extra_params:
        return {}
    if isinstance(extra_params, str):
        try:
            extra_params = json.loads(extra_params)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"extra parameters are not JSON that can be read ({error}).") from error
    if not isinstance(extra_params, Mapping):
        raise BadRequest('extra parameters must be a JSON object, for example {"rules": "movies"}.')
    return extra_params
