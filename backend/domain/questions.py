"""Questions: the control tags of a label config that we can answer."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The control tag behind a question."""

    CHOICES = "choices"
    RATING = "rating"
    TAXONOMY = "taxonomy"


@dataclass(frozen=True, slots=True)
class Question:
    """One control tag: what annotators are asked, with its labels.

    `labels` are unique and in the config's order (a rating's are "1".."n"; a taxonomy's are paths joined by " / ", and
    `paths` has their parts in the same order). `multiple`: an answer is a set of labels instead of one.
    """

    name: str
    to_name: str
    kind: Kind
    labels: tuple[str, ...]
    multiple: bool = False
    paths: tuple[tuple[str, ...], ...] = field(default=())

    def index(self, label: str) -> int | None:
        """Place of a label in `labels`; None when the question doesn't have it (any more)."""
        return self.labels.index(label) if label in self.labels else None

    def places(self, labels: Iterable[str]) -> list[int]:
        """Places in `labels` of those that the question has."""
        indices = [self.index(label) for label in labels]
        return [index for index in indices if index is not None]


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing to decide with exclusive classes: what label models and classifiers work on.

    A question with one answer is one decision over its labels. A question with several answers is one yes/no decision
    for each label, with class 0 = no and 1 = yes.
    """

    question: str
    classes: tuple[str, ...]
    label: str | None = None

    @property
    def key(self) -> str:
        """Unique name within a project: "sentiment", or "genre=drama" for one label of a multiple question.

        A "=" in the question's own name is escaped, so that no question is named like another one's label.
        """
        name = self.question.replace("%", "%25").replace("=", "%3D")
        return name if self.label is None else f"{name}={self.label}"


def decisions(question: Question) -> list[Decision]:
    """The decisions a question consists of, in the order of its labels."""
    if question.multiple:
        return [Decision(question.name, ("no", "yes"), label) for label in question.labels]
    return [Decision(question.name, question.labels)]
