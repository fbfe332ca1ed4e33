"""Labeling functions: what a user writes in `lf_rules/`, and how it is called.

A labeling function gets the fields of a task and votes for a label, for several labels of a multiple question, or
abstains with None::

    from backend.domain.rules import TaskFields, Vote, labeling_function

    @labeling_function(question="sentiment", labels=["Positive"])
    def high_rating(task: TaskFields) -> Vote:
        \"\"\"A rating above 8 is praise.\"\"\"
        return "Positive" if task.rating is not None and task.rating > 8 else None
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.domain.questions import Question
from backend.domain.tasks import user_fields
from backend.errors import RuleError

Vote = str | Sequence[str] | None
"""A label, several labels (multiple question), or None to abstain."""


class TaskFields(Mapping[str, Any]):
    """The fields of a task, by attribute or item; a missing field is None. Our own `prelabel_*` keys are not there."""

    __slots__ = ("_fields",)

    def __init__(self, data: Mapping[str, object]) -> None:
        self._fields = user_fields(data)

    def __getitem__(self, key: str) -> Any:
        return self._fields.get(key)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # Protocol look-ups (copy, pickle) must fail as usual instead of getting None.
            raise AttributeError(name)
        return self._fields.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(frozen=True, slots=True)
class Rule:
    """One labeling function. `question` None: any question whose labels it votes for; `labels` None: any label."""

    name: str
    function: Callable[[TaskFields], Vote]
    question: str | None = None
    labels: tuple[str, ...] | None = None
    description: str = ""

    def answers(self, question: Question) -> bool:
        """Whether this rule is about a question, by its name and labels."""
        if self.question is not None and self.question != question.name:
            return False
        return self.labels is None or set(self.labels) <= set(question.labels)


def labeling_function(
    bare: object = None,
    /,
    *,
    question: str | None = None,
    labels: Sequence[str] | None = None,
    name: str | None = None,
) -> Callable[[Callable[[TaskFields], Vote]], Rule]:
    """Make a labeling function of a function `task -> label | labels | None`.

    Args:
        bare: what Python passes when the parentheses are missing.
        question: name of the control tag it votes on; None for every question that has its labels.
        labels: the labels it can vote for; a vote for another one counts as a fault.
        name: its name as a source; default: the function's name.

    Raises:
        RuleError: it was used without parentheses, or `labels` is a plain string.
    """
    if bare is not None:
        function_name = getattr(bare, "__name__", "the function")
        raise RuleError(f"write @labeling_function() with parentheses above {function_name}")
    if isinstance(labels, str):
        raise RuleError(f"labels must be a list, not the string {labels!r}: write labels=[{labels!r}]")

    def make(function: Callable[[TaskFields], Vote]) -> Rule:
        return Rule(
            name=name or function.__name__,
            function=function,
            question=question,
            labels=None if labels is None else tuple(labels),
            description=(function.__doc__ or "").strip(),
        )

    return make
