"""Many tasks at once, column by column: what batch rules get."""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from backend.domain.questions import Question
from backend.domain.rules.task_fields import TaskFields
from backend.domain.rules.texts import Texts
from backend.domain.tasks import OWN_PREFIX

if TYPE_CHECKING:
    from backend.domain.rules.history import History

Column = TypeVar("Column")


class Tasks(Sequence[TaskFields]):
    """The fields of n tasks, and single fields of all of them as columns, made once and shared by all rules.

    `question` is the one that is being asked, None outside of a project. `history` is what annotators answered on
    earlier tasks, None when nobody gave it.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, object]],
        question: Question | None = None,
        history: "History | None" = None,
    ) -> None:
        self._data = data
        self._columns: dict[Hashable, Any] = {}
        self.question = question
        self.history = history

    @overload
    def __getitem__(self, index: int) -> TaskFields: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[TaskFields]: ...

    def __getitem__(self, index: int | slice) -> TaskFields | Sequence[TaskFields]:
        return self._tasks[index]

    def __iter__(self) -> Iterator[TaskFields]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._data)

    @property
    def _tasks(self) -> list[TaskFields]:
        return self.column("tasks", lambda: [TaskFields(item) for item in self._data])

    def asking(self, question: Question) -> "Tasks":
        """The same tasks and columns for another question."""
        same = Tasks(self._data, question, self.history)
        same._columns = self._columns
        return same

    def part(self, start: int, stop: int) -> "Tasks":
        """The tasks from one place up to another."""
        return Tasks(self._data[start:stop], self.question, self.history and self.history.part(start, stop))

    def values(self, field: str) -> tuple[Any, ...]:
        """A field as it is; None where it is missing."""
        if field.startswith(OWN_PREFIX):
            return (None,) * len(self)
        return self.column(("values", field), lambda: tuple([item.get(field) for item in self._data]))

    def texts(self, field: str) -> tuple[str, ...]:
        """A field's texts; "" where it is missing or isn't text."""
        return self.column(
            ("texts", field),
            lambda: tuple([item if isinstance(item, str) else "" for item in self.values(field)]),
        )

    def numbers(self, field: str) -> NDArray[np.float64]:
        """A field's numbers, float64 (n,), see `number_of`; NaN where there is none. Read-only."""

        def make() -> NDArray[np.float64]:
            values = self.values(field)
            # Most columns are numbers and gaps, which numpy converts at once, gaps to NaN.
            plain = set(map(type, values)) <= {int, float, type(None)}
            try:
                column = np.array(values if plain else [number_of(item) for item in values], dtype=np.float64)
            except OverflowError:
                column = np.array([number_of(item) for item in values], dtype=np.float64)
            column[~np.isfinite(column)] = np.nan
            column.flags.writeable = False
            return column

        return self.column(("numbers", field), make)

    def words(self, field: str, *, ignore_case: bool = True) -> Texts:
        """A field's texts, to search for words."""
        return self.column(("words", field, ignore_case), lambda: Texts(self.texts(field), ignore_case=ignore_case))

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
