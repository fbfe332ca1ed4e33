"""Choices: one label of a list, or several; which may lie in each other."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from backend.domain.nesting import PATH_SEPARATOR, Nesting, Path, joined
from backend.domain.questions.base import Condition, Question
from backend.domain.tasks import Answer


@dataclass(frozen=True)
class Choices(Question):
    """`<Choices>`. With `paths`, Label Studio saves a chosen label with the choices above it."""

    kind = "choices"

    @cached_property
    def nesting(self) -> Nesting | None:
        """How its choices lie in each other; None where none of them stands for others."""
        return Nesting(self.paths, multiple=self.multiple) if self.paths else None

    def read(self, given: Iterable[str]) -> tuple[str, ...]:
        """See `Question`: a choice stands for all below it."""
        return self.nesting.read(given) if self.nesting else super().read(given)

    def has(self, name: str) -> bool:
        """See `Question`."""
        return self.nesting.has(name) if self.nesting else super().has(name)

    def leaves(self, answer: Answer) -> set[str]:
        """See `Question`: all below a choice."""
        return set(self.nesting.leaves(answer)) if self.nesting else super().leaves(answer)

    def short_name(self, label: str) -> str:
        """See `Question`."""
        return label.rsplit(PATH_SEPARATOR, 1)[-1] if self.paths else label

    def earlier(self, answer: Answer) -> Answer:
        """See `Question`: by the last part of a path."""
        return tuple(self.paths[self._places[label]][-1] for label in answer) if self.paths else answer

    def groups_at(self, path: Path) -> list[tuple[str, ...]]:
        """See `Question`."""
        return [tuple(self.nesting.leaves([joined(path)]))] if self.nesting else super().groups_at(path)

    def is_meant_by(self, condition: Condition) -> bool:
        """See `Question`: without a name, any Choices are meant; with groups, no path, which is no text to compare."""
        unnamed = not condition.question and not (condition.groups and self.paths)
        return unnamed or super().is_meant_by(condition)
