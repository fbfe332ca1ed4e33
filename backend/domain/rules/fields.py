"""Rules about the fields of a task: comparisons, and what a table says of their values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from backend.domain.rules.interface import Rule, Vote, batch_rule, labels_in, vote_where
from backend.domain.rules.tasks import Tasks, key_of
from backend.errors import RuleError

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Field:
    """Another field of the same task, to compare with."""

    name: str


Bound = float | Field | None


@dataclass(frozen=True, slots=True)
class When:
    """A condition on one field; all that is given has to hold.

    `above`, `at_least`, `below`, `at_most` compare numbers ("8.6" is one too) with a number or another `Field`; a
    missing one never holds. `equals` and `one_of` compare values, text without regard to case and surrounding space.
    `missing`: whether the field is missing or empty.
    """

    field: str
    above: Bound = None
    at_least: Bound = None
    below: Bound = None
    at_most: Bound = None
    equals: Value | Field | None = None
    one_of: Sequence[Value] | None = None
    missing: bool | None = None

    @property
    def has_bound(self) -> bool:
        """Whether it compares numbers."""
        return any(bound is not None for bound in (self.above, self.at_least, self.below, self.at_most))

    @property
    def is_empty(self) -> bool:
        """Whether it asks nothing."""
        return not self.has_bound and self.equals is None and self.one_of is None and self.missing is None

    def holds(self, tasks: Tasks) -> NDArray[np.bool_]:
        """For which tasks: bool (n_tasks,)."""
        result = np.ones(len(tasks), dtype=np.bool_)
        if self.has_bound:
            result &= self.within(tasks.numbers(self.field), tasks)
        if self.equals is not None or self.one_of is not None or self.missing is not None:
            result &= np.array(self._allowed(tasks), dtype=np.bool_)
        return result

    def within(self, numbers: NDArray[np.float64], tasks: Tasks) -> NDArray[np.bool_]:
        """Whether numbers, float64 (n,), are within the bounds: bool (n,); NaN never is."""
        result = ~np.isnan(numbers)
        comparisons: tuple[tuple[Bound, Callable[..., NDArray[np.bool_]]], ...] = (
            (self.above, np.greater),
            (self.at_least, np.greater_equal),
            (self.below, np.less),
            (self.at_most, np.less_equal),
        )
        for bound, compare in comparisons:
            if bound is not None:
                result &= compare(numbers, tasks.numbers(bound.name) if isinstance(bound, Field) else bound)
        return result

    def _allowed(self, tasks: Tasks) -> list[bool]:
        keys = keys_of(tasks, self.field)
        allowed = [self.missing is None or self.missing == (key is None) for key in keys]
        if isinstance(self.equals, Field):
            others = keys_of(tasks, self.equals.name)
            allowed = [
                ok and key is not None and key == other for ok, key, other in zip(allowed, keys, others, strict=True)
            ]
        elif self.equals is not None:
            wanted = key_of(self.equals)
            allowed = [ok and wanted is not None and key == wanted for ok, key in zip(allowed, keys, strict=True)]
        if self.one_of is not None:
            accepted = {key_of(value) for value in self.one_of} - {None}
            allowed = [ok and key in accepted for ok, key in zip(allowed, keys, strict=True)]
        return allowed


def keys_of(tasks: Tasks, field: str, *, domain: bool = False) -> Sequence[str | None]:
    """`key_of` each value of a field; with `domain`, of the host name in the web addresses it holds."""
    if domain:
        return tasks.column(("domains", field), lambda: tuple(map(domain_of, tasks.texts(field))))
    return tasks.column(("keys", field), lambda: tuple(map(key_of, tasks.values(field))))


def domain_of(address: str) -> str | None:
    """Host name of a web address, without "www."; None if it is none."""
    try:
        host = urlsplit(address.strip() if "//" in address else f"//{address.strip()}").hostname
    except ValueError:
        return None
    return host.removeprefix("www.") if host else None


def compare_rule(
    name: str,
    *,
    when: When | Sequence[When],
    vote: Vote,
    question: str | None = None,
    description: str = "",
) -> Rule:
    """Vote where all conditions hold: `compare_rule("praised", when=When("rating", above=8), vote="Positive")`.

    Raises:
        RuleError: there is no condition, or one that asks nothing.
    """
    conditions = (when,) if isinstance(when, When) else tuple(when)
    if not conditions or any(condition.is_empty for condition in conditions):
        raise RuleError(f"{name}: give above, at_least, below, at_most, equals, one_of or missing")

    def find(tasks: Tasks) -> NDArray[np.bool_]:
        holds: NDArray[np.bool_] = np.logical_and.reduce([condition.holds(tasks) for condition in conditions])
        return holds

    return vote_where(name, find, vote, question, description)


def lookup_rule(
    name: str,
    *,
    field: str,
    table: Mapping[str, Vote],
    domain: bool = False,
    question: str | None = None,
    description: str = "",
) -> Rule:
    """Vote what a table says of a field's value.

    Args:
        name: the rule's name.
        field: what is looked up; text without regard to case and surrounding space.
        table: value -> vote.
        domain: look up the host name of the web address in the field.
        question: the question; None for every one that has the labels.
        description: what the rule means.
    """
    votes = {known: vote for value, vote in table.items() if (known := key_of(value)) is not None}
    labels = dict.fromkeys(label for vote in votes.values() for label in labels_in(vote))

    def batch(tasks: Tasks) -> list[Vote]:
        return [None if key is None else votes.get(key) for key in keys_of(tasks, field, domain=domain)]

    return batch_rule(name, batch, question=question, labels=tuple(labels), description=description)
