"""Questions: the control tags of a label config that we can answer."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from backend.domain.nesting import Nesting


class Kind(StrEnum):
    """The control tag behind a question."""

    CHOICES = "choices"
    RATING = "rating"
    TAXONOMY = "taxonomy"


@dataclass(frozen=True, slots=True)
class Condition:
    """What the answer to another question has to be, so that Label Studio shows a question (`visibleWhen`).

    question: the other question; "" = any other Choices. groups: all labels of one of these are chosen; () = any label
    is. chosen: False turns it round.
    """

    question: str
    groups: tuple[tuple[str, ...], ...] = ()
    chosen: bool = True


@dataclass(frozen=True)
class Question:
    """One control tag: what annotators are asked, with its labels.

    `labels` are unique and in the config's order (a rating's are "1".."n"; a taxonomy's, and those of choices that
    Label Studio saves as paths, are paths joined by " / ", and `paths` has their parts in the same order). `multiple`:
    an answer is a set of labels instead of one. `shown_when`: it is shown if all of these hold.
    """

    name: str
    to_name: str
    kind: Kind
    labels: tuple[str, ...]
    multiple: bool = False
    paths: tuple[tuple[str, ...], ...] = field(default=())
    shown_when: tuple[Condition, ...] = ()

    def index(self, label: str) -> int | None:
        """Place of a label in `labels`; None when the question doesn't have it (any more)."""
        return self._places.get(label)

    def read(self, given: Iterable[str]) -> tuple[str, ...]:
        """The labels that an answer saved by Label Studio means, without those that the question doesn't have."""
        return self.nesting.read(given) if self.nesting else tuple(label for label in given if label in self._places)

    def has(self, name: str) -> bool:
        """Whether a saved answer may have this name in it: that of a label, or of a choice above labels."""
        return self.nesting.has(name) if self.nesting else name in self._places

    def places(self, given: Iterable[str]) -> list[int]:
        """Places in `labels` of what an answer means."""
        return [self._places[label] for label in self.read(given)]

    @cached_property
    def nesting(self) -> Nesting | None:
        """How its choices lie in each other; None where none of them stands for others."""
        return Nesting(self.paths, multiple=self.multiple) if self.paths and self.kind is Kind.CHOICES else None

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label: place for place, label in enumerate(self.labels)}

    @cached_property
    def decided(self) -> tuple["Decision", ...]:
        """See `decisions`."""
        if self.multiple:
            return tuple(Decision(self.name, ("no", "yes"), label) for label in self.labels)
        return (Decision(self.name, self.labels),)


@dataclass(frozen=True)
class Decision:
    """One thing to decide with exclusive classes: what label models and classifiers work on.

    A question with one answer is one decision over its labels. A question with several answers is one yes/no decision
    for each label, with class 0 = no and 1 = yes.
    """

    question: str
    classes: tuple[str, ...]
    label: str | None = None

    @cached_property
    def key(self) -> str:
        """Unique name within a project: "sentiment", or "genre=drama" for one label of a multiple question.

        A "=" in the question's own name is escaped, so that no question is named like another one's label.
        """
        name = self.question.replace("%", "%25").replace("=", "%3D")
        return name if self.label is None else f"{name}={self.label}"


def decisions(question: Question) -> list[Decision]:
    """The decisions a question consists of, in the order of its labels."""
    return list(question.decided)
