"""A labeling function, and how it is called.

It gets the fields of a task and votes for a label, for several labels of a multiple question, against a label with
`Not`, or abstains with None::

    from backend.domain.rules import TaskFields, Vote, labeling_function

    @labeling_function(question="sentiment", labels=["Positive"])
    def high_rating(task: TaskFields) -> Vote:
        \"\"\"A rating above 8 is praise.\"\"\"
        return "Positive" if task.rating is not None and task.rating > 8 else None
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from backend.domain.outside import storable
from backend.domain.questions import Question
from backend.domain.rules.task_fields import TaskFields
from backend.domain.rules.tasks import Tasks
from backend.domain.rules.terms import Folded
from backend.errors import RuleError

MAX_NAME = 200
"""Characters of a rule's name."""


ANY = "*"
"""`Not` of it: a part of a text is no span, of whatever label."""


@dataclass(frozen=True, slots=True)
class Not:
    """A vote against one label: it isn't this one, whichever it is."""

    label: str


Vote = str | Not | Sequence[str | Not] | None
"""A label, `Not` a label, several of these (multiple question), or None to abstain."""

SpanVote = tuple[int, int, str | Not]
"""Start and end of a part of a text, in code points, and its label, or what it isn't."""

Function = Callable[[TaskFields], Vote]
MarkingFunction = Callable[[TaskFields], Iterable[SpanVote] | None]
"""Of a question of spans."""
BatchFunction = Callable[[Tasks], Sequence[Vote | RuleError]]
"""One vote per task, in order; a RuleError in the place of a vote abstains there and counts as a fault."""


@dataclass(frozen=True, slots=True)
class Marking:
    """How a rule about texts marks them, where spans are asked for: `find`, in those of a field."""

    field: str
    find: Callable[[Folded], Iterable[SpanVote]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One labeling function. `question` None: any question whose labels it votes for; `labels` None: any label.

    `batch`, where given, is what is applied: all tasks at once. `function` then does the same for one task.
    `needs_history`: it abstains unless it is told what annotators answered before (`Tasks.history`). `folder`: where it
    lies below `LF_RULES_DIR`, "" for none; the rules of a folder vote in the projects that are bound to it. `place`:
    file and line where it is written, to be named with its faults. `marking`: what it does where spans are asked for,
    instead of calling `function`.
    """

    name: str
    function: Function
    question: str | None = None
    labels: tuple[str, ...] | None = None
    description: str = ""
    batch: BatchFunction | None = None
    needs_history: bool = False
    folder: str = ""
    place: str = ""
    marking: Marking | None = None

    def __post_init__(self) -> None:
        """Raises RuleError when a part of it isn't what everything else takes it for."""
        # Exactly text: a subclass may compare and print itself as it likes.
        if type(self.name) is not str or not self.name.strip() or storable(self.name, MAX_NAME) != self.name:
            raise RuleError(f"a rule's name must be text of 1 to {MAX_NAME} characters that can be stored")
        if not (self.question is None or type(self.question) is str) or type(self.description) is not str:
            raise RuleError(f"{self.name}: question and description must be text")
        labels = self.labels
        if labels is not None:
            if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
                raise RuleError(f"{self.name}: labels must be texts")
            object.__setattr__(self, "labels", tuple(map(str.__str__, labels)))
        if not callable(self.function) or not (self.batch is None or callable(self.batch)):
            raise RuleError(f"{self.name}: there is no function to call")

    @property
    def key(self) -> str:
        """Its name among the rules of all folders."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    def answers(self, question: Question) -> bool:
        """Whether this rule is about a question, by its name and labels."""
        if self.question is not None and self.question != question.name:
            return False
        return self.labels is None or all(question.index(label) is not None for label in self.labels)


def batch_rule(
    name: str,
    batch: BatchFunction,
    *,
    question: str | None,
    labels: Sequence[str] | None,
    description: str,
    needs_history: bool = False,
) -> Rule:
    """A rule of a function over all tasks."""

    def function(task: TaskFields) -> Vote:
        (vote,) = batch(Tasks([task]))
        if isinstance(vote, RuleError):
            raise vote
        return vote

    names = None if labels is None else tuple(labels)
    return Rule(name, function, question, names, description, batch, needs_history)


def vote_where(
    name: str, find: Callable[[Tasks], NDArray[np.bool_]], vote: Vote, question: str | None, description: str
) -> Rule:
    """A rule that gives one vote where `find` says so, bool (n_tasks,), and abstains elsewhere."""

    def batch(tasks: Tasks) -> list[Vote]:
        votes: list[Vote] = [None] * len(tasks)
        for row in np.flatnonzero(find(tasks)).tolist():
            votes[row] = vote
        return votes

    return batch_rule(name, batch, question=question, labels=labels_in(vote), description=description)


def labels_in(vote: Vote) -> tuple[str, ...]:
    """The labels that a vote names, for or against, each once."""
    named = (part.label if isinstance(part, Not) else part for part in parts_of(vote))
    return tuple(dict.fromkeys(label for label in named if label != ANY))


def parts_of(vote: Vote) -> Sequence[str | Not]:
    """What a vote says, one by one."""
    if vote is None:
        return ()
    return (vote,) if isinstance(vote, str | Not) else vote


@overload
def labeling_function(
    bare: object = None,
    /,
    *,
    question: str | None = None,
    labels: Sequence[str] | None = None,
    name: str | None = None,
    batch: Literal[False] = False,
) -> Callable[[Function | MarkingFunction], Rule]: ...


@overload
def labeling_function(
    bare: object = None,
    /,
    *,
    question: str | None = None,
    labels: Sequence[str] | None = None,
    name: str | None = None,
    batch: Literal[True],
) -> Callable[[BatchFunction], Rule]: ...


def labeling_function(
    bare: object = None,
    /,
    *,
    question: str | None = None,
    labels: Sequence[str] | None = None,
    name: str | None = None,
    batch: bool = False,
) -> Callable[[Any], Rule]:
    """Make a labeling function of a function `task -> label | Not(label) | labels | None`.

    Args:
        bare: what Python passes when the parentheses are missing.
        question: name of the control tag it votes on; None for every question that has its labels.
        labels: the labels it can vote for or against; a vote for another one counts as a fault.
        name: its name as a source; default: the function's name.
        batch: the function takes all tasks at once (`Tasks`) and returns a vote for each, in order.

    Raises:
        RuleError: it was used without parentheses, or `labels` is a plain string.
    """
    if bare is not None:
        function_name = getattr(bare, "__name__", "the function")
        raise RuleError(f"write @labeling_function() with parentheses above {function_name}")
    if isinstance(labels, str):
        raise RuleError(f"labels must be a list, not the string {labels!r}: write labels=[{labels!r}]")

    def make(function: Any) -> Rule:
        called = name or str(function.__name__)
        description = (function.__doc__ or "").strip()
        if batch:
            return batch_rule(called, function, question=question, labels=labels, description=description)
        return Rule(called, function, question, None if labels is None else tuple(labels), description)

    return make
