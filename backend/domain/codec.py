"""Records (dataclasses) as JSON, and back.

A record's fields are plain values, words of an enum, records, `X | None`, tuples, and mappings from names; no record
holds one of its own kind. JSON of an earlier release may lack what a record has now: the field's default is taken. What
a newer release added is left out.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Self, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from backend.domain.outside import bounded_number, bounded_whole, one_line

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]
Value = TypeVar("Value")
OMITTED, SPREAD = "omitted", "spread"
"""Keys in the metadata of a field."""
LARGEST = 2**63
"""Of whole numbers."""
_fields: Callable[[type], "tuple[Field[object], ...]"] = cache(fields)


def omitted(default: Value) -> Value:
    """A field that JSON doesn't have while it is the default."""
    if isinstance(default, dict):
        return field(default_factory=cast("Callable[[], Value]", default.copy), metadata={OMITTED: True})
    return field(default=default, metadata={OMITTED: True})


def spread(default: Value, read: Callable[[JsonObject], Value], write: Callable[[Value], JsonObject]) -> Value:
    """A field that is all the keys of the record's JSON that no other field has."""
    return field(default=default, metadata={SPREAD: (read, write)})


def to_json(record: object) -> dict[str, Json]:
    """A record for JSON.

    Raises:
        TypeError: it holds what JSON has no form for.
    """
    written: dict[str, Json] = {}
    for item in _fields(type(record)):
        value: object = getattr(record, item.name)
        if SPREAD in item.metadata:
            written |= item.metadata[SPREAD][1](value)
        elif not (OMITTED in item.metadata and value == _default(item)):
            written[item.name] = _written(value)
    return written


def _written(value: object) -> Json:
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Mapping):
        return {str(key): _written(inner) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [_written(inner) for inner in value]
    if is_dataclass(value):
        return to_json(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


class Unreadable(ValueError):
    """JSON that is no such record; the message names the place and what stands there."""

    def __init__(self, problem: str) -> None:
        """`problem`: "is missing", say."""
        super().__init__(problem)
        self._place: list[str] = []

    def below(self, name: str) -> Self:
        """The same place in a document, as seen from one level up."""
        self._place.insert(0, name)
        return self

    def __str__(self) -> str:
        return f"{'.'.join(self._place) or 'it'} {super().__str__()}"


def from_json(kind: type[Value], value: object) -> Value:
    """A record out of JSON.

    Raises:
        Unreadable: something in it is of another type, is missing, or is a number that isn't finite.
    """
    return cast("Value", _reader(kind)(value))


Reader = Callable[[object], object]
"""Makes a value of one type out of JSON. Made once for a type: a question may have thousands of labels."""


def _reader_of(kind: object) -> Reader:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        (only,) = (item for item in inner if item is not NoneType)
        return _read_unless_none(_reader(only))
    if origin is tuple and inner[-1] is not Ellipsis:
        return _read_row([_reader(item) for item in inner])
    if origin in {tuple, Sequence}:
        return _read_list(_reader(inner[0]))
    if origin is Mapping:
        return _read_mapping(_reader(inner[1]))
    if isinstance(kind, type) and is_dataclass(kind):
        return _read_record(kind)
    if kind in {float, int}:
        return _read_float if kind is float else _read_int
    if isinstance(kind, type):
        return _read_enum(kind) if issubclass(kind, Enum) else _read_as_is(kind)
    raise TypeError(f"no JSON is read as {kind}")


_reader: Callable[[object], Reader] = cache(_reader_of)


def _read_record(kind: type) -> Reader:
    hints = get_type_hints(kind)
    known = [(item.name, _reader(hints[item.name])) for item in fields(kind) if SPREAD not in item.metadata]
    needed = [item.name for item in fields(kind) if _default(item) is MISSING]
    rest = [(item.name, item.metadata[SPREAD][0]) for item in fields(kind) if SPREAD in item.metadata]
    names = {name for name, _ in known}

    def read(value: object) -> object:
        if not isinstance(value, Mapping):
            raise _wrong(value, "JSON object")
        given, name = dict[str, object](), ""
        try:
            for name, of in known:
                if name in value:
                    given[name] = of(value[name])
        except Unreadable as error:
            raise error.below(name) from None
        for name in needed:
            if name not in given:
                raise Unreadable("is missing").below(name)
        for name, of_rest in rest:
            given[name] = of_rest({key: item for key, item in value.items() if key not in names})
        return kind(**given)

    return read


def _read_unless_none(of: Reader) -> Reader:
    # NaN, which earlier releases wrote where nothing is known, is no JSON.
    return lambda value: None if value is None or value != value else of(value)  # noqa: PLR0124


def _read_list(of: Reader) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise _wrong(value, "list")
        found: list[object] = []
        try:
            for item in value:
                found.append(of(item))
        except Unreadable as error:
            raise error.below(str(len(found))) from None
        return tuple(found)

    return read


def _read_row(each: Sequence[Reader]) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, list | tuple) or len(value) != len(each):
            raise _wrong(value, f"list of {len(each)}")
        found: list[object] = []
        try:
            for of, item in zip(each, value, strict=True):
                found.append(of(item))
        except Unreadable as error:
            raise error.below(str(len(found))) from None
        return tuple(found)

    return read


def _read_mapping(of: Reader) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, Mapping):
            raise _wrong(value, "JSON object")
        found, name = dict[str, object](), ""
        try:
            for name, item in value.items():
                found[name] = of(item)
        except Unreadable as error:
            raise error.below(name) from None
        return found

    return read


def _read_float(value: object) -> object:
    number = finite(value)
    if number is None:
        raise _wrong(value, "number")
    return number


def _read_int(value: object) -> object:
    number = bounded_whole(value, -LARGEST, LARGEST)
    if number is None:
        raise _wrong(value, "whole number")
    return number


def _read_enum(kind: type[Enum]) -> Reader:
    members = {item.value: item for item in kind}

    def read(value: object) -> object:
        if not isinstance(value, str) or value not in members:
            raise _wrong(value, f"word of {', '.join(map(str, members))}")
        return members[value]

    return read


def _read_as_is(kind: type) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, kind):
            raise _wrong(value, kind.__name__)
        return value

    return read


def _wrong(value: object, wanted: str) -> Unreadable:
    return Unreadable(f"is {one_line(repr(value), 60)}, not a {wanted}")


def finite(value: object) -> float | None:
    """A number of JSON; None for anything else, NaN and infinite ones too."""
    return bounded_number(value, -sys.float_info.max, sys.float_info.max)


def _default(item: "Field[object]") -> object:
    return item.default_factory() if item.default_factory is not MISSING else item.default
