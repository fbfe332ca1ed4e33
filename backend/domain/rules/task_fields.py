"""The fields of one task, as rules read them."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from backend.domain.tasks import user_fields


class TaskFields(Mapping[str, object]):
    """The fields of a task, by attribute or item; a missing field is None. Our own `prelabel_*` keys are not there.

    `"name" in task` tells a missing field from one that is None, and `task.get("name", default)` gives the default only
    for a missing one. Fields that are called like something a mapping has (`keys`, `items`, `values`, `get`) or that
    aren't Python names are read by item: `task["items"]`.
    """

    __slots__ = ("__dict__", "_fields")

    def __init__(self, data: Mapping[str, object]) -> None:
        fields = user_fields(data)
        object.__setattr__(self, "_fields", fields)
        # Fields as real attributes: rules read them millions of times, and `__getattr__` would cost more than the rule.
        object.__setattr__(self, "__dict__", fields if _RESERVED.isdisjoint(fields) else _readable(fields))

    def __getitem__(self, key: str) -> Any:
        return self._fields.get(key)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # Protocol look-ups (copy, pickle) must fail as usual instead of getting None.
            raise AttributeError(name)
        return None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"rules can't change a task: {name} was set")

    def __contains__(self, key: object) -> bool:
        return key in self._fields

    def get(self, key: str, default: Any = None) -> Any:
        """The field, or the default if the task doesn't have it."""
        return self._fields.get(key, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __reduce__(self) -> tuple[type["TaskFields"], tuple[dict[str, object]]]:
        return TaskFields, (self._fields,)


_RESERVED = frozenset(dir(TaskFields))


def _readable(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if key not in _RESERVED}
