"""A YAML file with the line of each of its parts, checked against a JSON Schema."""

import difflib
import json
import math
import re
import reprlib
import sys
from collections.abc import Hashable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, TypeChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from backend.errors import RuleError

SCHEMA_PATH = Path(__file__).with_name("rules.schema.json")
MAX_FILE_BYTES = 1_000_000
TYPE_NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping (name: value)",
}


class YamlFile:
    """A parsed file. `content` is plain data; errors name the file, the line, and what was expected."""

    def __init__(self, text: bytes, name: str) -> None:
        self._name = name
        if len(text) > MAX_FILE_BYTES:
            raise RuleError(f"{name} is larger than {MAX_FILE_BYTES:,} bytes: split it")
        try:
            loader = _Loader(text)
            self._root = loader.get_single_node()
            self.content: Any = None if self._root is None else loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            raise self.error(f"this isn't YAML: {error.problem or error.context}", line) from error
        except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError, UnicodeError) as error:
            raise self.error(f"this isn't YAML: {_first_line(error)}", 1) from error

    def error(self, message: str, line: int) -> RuleError:
        """An error at a line."""
        return RuleError(f"{self._name}, line {line}: {message}")

    def place(self, path: Iterable[str | int]) -> str:
        """File and line of a part, see `line`."""
        return f"{self._name}, line {self.line(path)}"

    def line(self, path: Iterable[str | int]) -> int:
        """Line, from 1, of the part at a path of keys and places; of the last part of it that there is."""
        node, line = self._root, 1 if self._root is None else self._root.start_mark.line + 1
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pairs = [(key, value) for key, value in node.value if key.value == step]
                if not pairs:
                    return line
                key, node = pairs[0]
                line = key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
        return line

    def check(self, part: str, path: tuple[str | int, ...] = ()) -> None:
        """Check a part of the content against the schema's definition of the same kind.

        Raises:
            RuleError: it doesn't fit: the first reason in the file.
        """
        value = self.content
        for step in path:
            value = value[step]
        found = [(self._where(error, path), error) for error in _validator(part).iter_errors(value)]
        if found:
            line, error = min(found, key=lambda pair: pair[0])
            raise self.error(_explain(error), line)

    def _where(self, error: ValidationError, path: tuple[str | int, ...]) -> int:
        inside = [*path, *error.absolute_path]
        if error.validator == "additionalProperties":
            inside.append(_unknown(error)[0])
        return self.line(inside)


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of rule files."""
    loaded: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return loaded


@cache
def _validator(part: str) -> Draft202012Validator:
    whole = schema()
    if part == "file":
        # Each rule is checked on its own: a broken one doesn't take the others with it.
        listed = {"type": "array"}
        return _Validator({**whole, "properties": {**whole["properties"], "rules": listed}})
    return _Validator({"$defs": whole["$defs"], "$ref": f"#/$defs/{part}"})


def _is_integer(_: TypeChecker, value: object) -> bool:
    """JSON Schema takes 3.0 for a whole number, and Python counts with 3 only."""
    return isinstance(value, int) and not isinstance(value, bool)


_Validator: type[Draft202012Validator] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
)


def _explain(error: ValidationError) -> str:
    """What was expected, in words; `schema()` has few enough keywords to name each."""
    names = [str(step) if isinstance(step, str) else f"entry {step + 1}" for step in error.absolute_path]
    where = f"`{', '.join(names)}` " if names else ""
    expected: Any = error.validator_value
    instance: Any = error.instance
    got = f", got {reprlib.repr(instance)}"
    match error.validator:
        case "type":
            kinds = expected if isinstance(expected, list) else [expected]
            return f"{where or 'this '}must be {' or '.join(TYPE_NAMES[kind] for kind in kinds)}{got}"
        case "required":
            missing = next(name for name in expected if name not in instance)
            return f"{where}lacks `{missing}`".lstrip() if where else f"`{missing}` is missing"
        case "additionalProperties":
            unknown, known = _unknown(error)
            near = difflib.get_close_matches(unknown, known, n=1)
            return f"`{unknown}` isn't known here; " + (
                f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
            )
        case "enum":
            return f"{where}must be one of {', '.join(map(str, expected))}{got}"
        case "anyOf":
            plain = "a number" if expected[0].get("type") == "number" else "a plain value"
            return f"{where}must be {plain} or {{field: name}}{got}"
        case "minItems" | "minLength" | "minProperties":
            return f"{where}must not be empty" if expected == 1 else f"{where}needs a condition beside `field`"
        case "pattern":
            return f"{where}must begin with http:// or https://"
        case "minimum" | "maximum" | "exclusiveMinimum" | "maxLength":
            bound = {"minimum": "at least", "maximum": "at most", "maxLength": "no longer than"}
            return f"{where}must be {bound.get(str(error.validator), 'above')} {expected}{got}"
    return f"{where}doesn't fit: {_first_line(error.message)}"


def _unknown(error: ValidationError) -> tuple[str, list[str]]:
    """The key that an object may not have, and those it may."""
    definition: Any = error.schema
    instance: Any = error.instance
    known = list(definition["properties"])
    return next(str(key) for key in instance if key not in known), known


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [""])[0][:200]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values, in which `no` and `yes` are words and `1:30` is text; no aliases, tags, doubled keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - the base class has it so

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        # A few lines of aliases to aliases can stand for billions of entries.
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) aren't allowed", mark)
        # A tag makes something else of a value than what it looks like, and most of these no rule could use.
        if getattr(event, "tag", None) not in {None, "!"}:
            raise yaml.constructor.ConstructorError(None, None, "tags (!!name) aren't allowed", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is there twice", key.start_mark)
            seen.add(key.value)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    """A number that comparisons and counts can be made with."""
    value: int | float
    try:
        value = loader.construct_yaml_int(node) if node.tag.endswith(":int") else loader.construct_yaml_float(node)
    except ValueError:
        # More digits than Python reads.
        value = math.inf
    if not abs(value) <= sys.float_info.max or (isinstance(value, int) and abs(value) > sys.maxsize):
        raise yaml.constructor.ConstructorError(None, None, "this number is too large", node.start_mark)
    return value


_PLAIN = {
    "null": (r"~|null|", ["~", "n", ""]),
    "bool": (r"true|false", ["t", "f"]),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
}
for _tag, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)
for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _number)
