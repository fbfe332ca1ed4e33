"""Units: the rows that are decided, and which task each of them is of."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    # Types only: commands that ask no model start without it.
    from scipy.sparse import csr_matrix

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Units:
    """The units of one question in some tasks.

    Where each task is one unit, all that is asked here gives back the very array that it is given.

    n_tasks: number of tasks. of_task: int64 (n_units,), the place of each unit's task, never falling; None: each task
    is one unit. regions: of each unit the id of its region; () where units are no regions.
    """

    n_tasks: int
    of_task: NDArray[np.int64] | None = None
    regions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        tasks = self.of_task
        if (
            tasks is not None
            and tasks.size
            and (tasks[0] < 0 or tasks[-1] >= self.n_tasks or (np.diff(tasks) < 0).any())
        ):
            raise ValueError(f"the tasks of units must never fall, and be 0 to {self.n_tasks - 1}")
        if self.regions and len(self.regions) != self.n:
            raise ValueError(f"there are {len(self.regions)} regions of {self.n} units")

    @property
    def n(self) -> int:
        """Number of units."""
        return self.n_tasks if self.of_task is None else len(self.of_task)

    def task(self, unit: int) -> int:
        """The place of a unit's task."""
        return unit if self.of_task is None else int(self.of_task[unit])

    def region(self, unit: int) -> str:
        """The id of a unit's region; "" where it is none."""
        return self.regions[unit] if self.regions else ""

    @cached_property
    def firsts(self) -> NDArray[np.int64]:
        """int64 (n_tasks + 1,), where the units of each task begin; the last one is the number of units."""
        if self.of_task is None:
            return np.arange(self.n_tasks + 1)
        return np.searchsorted(self.of_task, np.arange(self.n_tasks + 1))

    def of_tasks(self, tasks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The units of some tasks, int64 (n_units,), in the order of these; tasks: int64 (n_some,)."""
        if self.of_task is None:
            return tasks
        first, last = self.firsts[tasks], self.firsts[tasks + 1]
        counts = last - first
        return np.asarray(np.repeat(first - (counts.cumsum() - counts), counts) + np.arange(counts.sum()))

    def part(self, tasks: NDArray[np.int64]) -> "Units":
        """The units of some tasks, int64 (n_some,), as if there were no others, in the order of these."""
        if self.of_task is None:
            return Units(len(tasks))
        counts = self.firsts[tasks + 1] - self.firsts[tasks]
        regions = tuple(self.regions[unit] for unit in self.of_tasks(tasks).tolist()) if self.regions else ()
        return Units(len(tasks), np.repeat(np.arange(len(tasks)), counts), regions)

    def spread(self, values: NDArray[Value]) -> NDArray[Value]:
        """Values of each task, of any dtype (n_tasks, ...), repeated for each of its units (n_units, ...)."""
        return values if self.of_task is None else values[self.of_task]

    def spread_rows(self, matrix: "csr_matrix") -> "csr_matrix":
        """The same of a sparse matrix (n_tasks, d)."""
        return matrix if self.of_task is None else matrix[self.of_task]

    def grouped(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        """Values of each unit, grouped by task."""
        firsts = self.firsts.tolist()
        return [values[first:last] for first, last in itertools.pairwise(firsts)]

    def least(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The least value of each task's units: float64 (n_tasks,). NaN counts for nothing; where there is no other
        value, NaN."""
        return self._reduced(np.fmin, values, np.nan)

    def most(self, values: NDArray[Value]) -> NDArray[Value]:
        """The largest value of each task's units, of the dtype that came, (n_tasks,); 0 where there are none."""
        return self._reduced(np.fmax, values, 0)

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over each task's units: float64 (n_tasks,)."""
        return self._reduced(np.add, values, 0.0)

    def any(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """In which tasks something holds for a unit: bool (n_tasks,)."""
        return self._reduced(np.logical_or, values, False)

    def all(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """In which tasks something holds for all units, and there are any: bool (n_tasks,)."""
        return self._reduced(np.logical_and, values, False)

    def _reduced(self, function: np.ufunc, values: NDArray[Value], empty: object) -> NDArray[Value]:
        """(n_tasks, ...) from (n_units, ...)."""
        if self.of_task is None:
            return values
        result: NDArray[Value] = np.full((self.n_tasks, *values.shape[1:]), empty, dtype=values.dtype)
        some = np.flatnonzero(np.diff(self.firsts))
        if some.size:
            # Between these beginnings lie the units of one task each: those without any are left out.
            result[some] = function.reduceat(values, self.firsts[some], axis=0)
        return result


def same_units(now: Units, ids: NDArray[np.int64], then: Units, then_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of today's units among those of another time: int64 (n_units,), -1 where they weren't.

    A task whose units are others by now has none that is the same.

    Args:
        now: units of today.
        ids: int64 (n_tasks,), the ids of their tasks.
        then, then_ids: the same of the other time.
    """
    order = np.argsort(then_ids, kind="stable")
    places = np.searchsorted(then_ids[order], ids)
    task = order[np.minimum(places, len(order) - 1)] if len(order) else np.zeros(len(ids), dtype=np.int64)
    is_there = then_ids[task] == ids if len(order) else np.zeros(len(ids), dtype=np.bool_)
    if now.of_task is None and then.of_task is None:
        return np.where(is_there, task, -1)
    if (now.of_task is None) != (then.of_task is None):
        return np.full(now.n, -1, dtype=np.int64)
    first = np.where(is_there, then.firsts[task], 0)
    is_there &= np.diff(now.firsts) == then.firsts[task + 1] - then.firsts[task]
    places = now.spread(first) + np.arange(now.n) - now.spread(now.firsts[:-1])
    found = np.where(now.spread(is_there), places, -1)
    if now.regions and then.regions:
        found[
            [place >= 0 and now.regions[unit] != then.regions[place] for unit, place in enumerate(found.tolist())]
        ] = -1
    return found
