"""Many tasks at once, column by column: what batch rules get."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Question
from backend.domain.rules.tokens import Tokens

if TYPE_CHECKING:
    from backend.domain.rules.history import History
    from backend.domain.rules.interface import TaskFields

Column = TypeVar("Column")


class Tasks(Sequence["TaskFields"]):
    """The fields of n tasks, and single fields of all of them as columns, made once and shared by all rules.

    `question` is the one that is being asked, None outside of a project. `history` is what annotators answered on
    earlier tasks, None when nobody gave it.
    """

    def __init__(
        self, tasks: Sequence["TaskFields"], question: Question | None = None, history: "History | None" = None
    ) -> None:
        self._tasks = tasks
        self._columns: dict[Hashable, Any] = {}
        self.question = question
        self.history = history

    @overload
    def __getitem__(self, index: int) -> "TaskFields": ...

    @overload
    def __getitem__(self, index: slice) -> Sequence["TaskFields"]: ...

    def __getitem__(self, index: int | slice) -> "TaskFields | Sequence[TaskFields]":
        return self._tasks[index]

    def __iter__(self) -> Iterator["TaskFields"]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def asking(self, question: Question) -> "Tasks":
        """The same tasks and columns for another question."""
        same = Tasks(self._tasks, question, self.history)
        same._columns = self._columns
        return same

    def values(self, field: str) -> tuple[Any, ...]:
        """A field as it is; None where it is missing."""
        return self.column(("values", field), lambda: tuple(task[field] for task in self._tasks))

    def texts(self, field: str) -> tuple[str, ...]:
        """A field's texts; "" where it is missing or isn't text."""
        return self.column(
            ("texts", field), lambda: tuple(item if isinstance(item, str) else "" for item in self.values(field))
        )

    def numbers(self, field: str) -> NDArray[np.float64]:
        """A field's numbers, float64 (n,), see `number_of`; NaN where there is none. Read-only."""

        def make() -> NDArray[np.float64]:
            column = np.array([number_of(item) for item in self.values(field)], dtype=np.float64)
            column.flags.writeable = False
            return column

        return self.column(("numbers", field), make)

    def tokens(self, field: str, *, ignore_case: bool = True) -> Tokens:
        """A field's texts, split into words."""
        return self.column(("tokens", field, ignore_case), lambda: Tokens(self.texts(field), ignore_case=ignore_case))

    def column(self, key: Hashable, make: Callable[[], Column]) -> Column:
        """What was made under this key for these tasks; made now if nothing was."""
        if key not in self._columns:
            self._columns[key] = make()
        made: Column = self._columns[key]
        return made


def number_of(value: object) -> float:
    """A finite number, also when it comes as a string (CSV imports bring strings); NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def key_of(value: object) -> str | None:
    """What a value is compared and looked up by; None when there is nothing to compare (missing, empty, a container).

    Text without surrounding space and case, so that " Fr" is "FR"; numbers as text, so that 7, 7.0 and "7" are one.
    """
    if isinstance(value, str):
        return value.strip().casefold() or None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else None
