"""What every question is, whatever its type: a control tag of the label config that we can answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from backend.domain.codec import Json
from backend.domain.nesting import Path
from backend.domain.questions.forms import AnswerForm, Decision, Gold, LabelSet, OneLabel, Posteriors
from backend.domain.questions.units import Units
from backend.domain.reports.figures import Metric
from backend.domain.tasks import Annotation, Answer, MirroredTask

if TYPE_CHECKING:
    # Types only: commands that ask no model start without it.
    from scipy.sparse import csr_matrix


class Learner(StrEnum):
    """How the answers to a question are learned."""

    DECISIONS = "decisions"
    """An answer is made of choices among classes: label models and classifiers."""
    SPANS = "spans"
    """An answer is marked parts of a text: a vote on spans, and a tagger that sees it."""


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
    """One control tag: what annotators are asked, with its labels. Each type is a class below this one.

    `labels` are unique and in the config's order (those that Label Studio saves as paths are paths joined by " / ", and
    `paths` has their parts in the same order). `multiple`: an answer is a set of labels instead of one. `shown_when`:
    it is shown if all of these hold.
    """

    kind: ClassVar[str]
    """Name of the type: Label Studio's own for such an answer."""
    ordered: ClassVar[bool] = False
    """Whether its labels are a scale: then an answer is the worse the farther it is from the truth."""
    learner: ClassVar[Learner] = Learner.DECISIONS
    """How its answers are learned."""

    name: str
    to_name: str
    labels: tuple[str, ...]
    multiple: bool = False
    paths: tuple[tuple[str, ...], ...] = field(default=())
    shown_when: tuple[Condition, ...] = ()

    @property
    def compared(self) -> tuple[tuple[str, str], ...]:
        """Pairs of fields of task data of which it matters how they differ."""
        return ()

    def index(self, label: str) -> int | None:
        """Place of a label in `labels`; None when the question doesn't have it (any more)."""
        return self._places.get(label)

    def read(self, given: Iterable[str]) -> tuple[str, ...]:
        """The labels that an answer saved by Label Studio means, without those that the question doesn't have."""
        return tuple(label for label in given if label in self._places)

    def has(self, name: str) -> bool:
        """Whether a saved answer may have this name in it: that of a label, or of a choice above labels."""
        return name in self._places

    def places(self, given: Iterable[str]) -> list[int]:
        """Places in `labels` of what an answer means."""
        return [self._places[label] for label in self.read(given)]

    def accepts(self, labels: Sequence[object]) -> bool:
        """Whether an answer may have so many labels."""
        return len(labels) <= self.form.most_labels

    def regions(self, answer: Answer) -> list[Answer]:  # noqa: ARG002 - of types whose answers are regions
        """The parts of an answer that Label Studio keeps as a region each; none where the answer is of the task."""
        return []

    def lost(self, answer: Answer, data: Mapping[str, object]) -> Answer:  # noqa: ARG002 - of some types
        """What of an answer that people gave to a task can't be learned from; () = nothing.

        An answer of several labels where one is asked for is lost, and so is a label that the question doesn't have.
        """
        unknown = tuple(label for label in answer if not self.has(label))
        return unknown or (() if self.accepts(self.read(answer)) else answer)

    def label_of(self, item: object) -> str | None:
        """The label that an item of a model's reply stands for, if it is one; None for what can't be one."""
        return item if isinstance(item, str) else None

    @property
    def marked(self) -> str:
        """The field of task data whose text it marks; "" where an answer marks nothing."""
        return ""

    def text(self, data: Mapping[str, object]) -> str:  # noqa: ARG002 - of some types
        """The text of a task that it marks; "" where there is none."""
        return ""

    def meant(self, given: Sequence[str], text: str) -> tuple[Answer, bool]:  # noqa: ARG002 - of some types
        """The answer that a model's labels mean, see `label_of`, and whether it has all of them. A label that the
        question doesn't have is none of it, and takes the others with it, unless a type says otherwise.

        text: what was sent of the text that the question marks, for types that do.
        """
        if not all(label in self.labels for label in given):
            return (), False
        return tuple(label for label in self.labels if label in given), True

    def reply_item(self, label: Json) -> Json:
        """JSON schema of what stands for a label in a model's reply. label: of its name."""
        return label

    def reply_bytes(self, text: str) -> int:  # noqa: ARG002 - of some types
        """The most that the labels of a reply take, in bytes. text: see `meant`."""
        return sum(sorted(len(label.encode()) for label in self.labels)[-self.form.most_labels :])

    def example(self, answer: Answer, text: str) -> list[object]:  # noqa: ARG002 - of some types
        """An answer as a model would give it. text: see `meant`."""
        return list(answer)

    @property
    def is_unlisted(self) -> bool:
        """Whether its labels follow from what people answer, and are not known yet: nothing can be suggested so far."""
        return False

    def fitted(self, answers: Iterable[Answer]) -> "Question":  # noqa: ARG002 - of some types
        """The question with the labels that follow from what people answered; itself where its config lists them."""
        return self

    def as_in(self, version: "Question") -> "Question":  # noqa: ARG002 - of some types
        """The question with the labels that it had when a version was trained; itself where its config lists them."""
        return self

    def short_name(self, label: str) -> str:
        """A label without what stands above it."""
        return label

    def earlier(self, answer: Answer) -> Answer:
        """An answer as earlier releases named it."""
        return answer

    def units(self, data: Sequence[Mapping[str, object]]) -> Units:
        """The units of some tasks: each task as a whole, unless a type says otherwise.

        data: of the tasks.
        """
        return Units(len(data))

    def unit_features(self, units: Units, data: Sequence[Mapping[str, object]], features: "csr_matrix") -> "csr_matrix":  # noqa: ARG002 - of some types
        """Features that a classifier reads of each unit, sparse float32 (n_units, d): those of its task, unless a type
        has more to say.

        data, features: of the tasks, (n_tasks, d).
        """
        return units.spread_rows(features)

    def split(self, answer: Answer, units: Units, task: int) -> list[Answer]:  # noqa: ARG002 - of some types
        """The answers of each of a task's units, from the answer of the task."""
        return [answer]

    def join(self, answers: Sequence[Answer], units: Units) -> list[Answer]:  # noqa: ARG002 - of some types
        """The answers to tasks that are made of those to their units."""
        return list(answers)

    def certainty(self, units: Units, of_units: NDArray[np.float64]) -> NDArray[np.float64]:
        """How sure the whole answer to a task is, or how good: float64 (n_tasks,), from the same of its units, 0..1,
        NaN where nothing is known. That of its least sure unit, unless a type says otherwise."""
        return units.least(of_units)

    def said_in(self, item: MirroredTask) -> tuple[Annotation, ...]:
        """The annotations of a task that say something of the question."""
        return item.labels

    def of_region(self, answer: Answer, region: str) -> Answer:  # noqa: ARG002 - of types that are asked of regions
        """The answer of one of a task's regions, from the answer of the task."""
        return answer

    def leaves(self, answer: Answer) -> set[str]:
        """What is chosen at the lowest level of the form that shows an answer."""
        return set(answer)

    def groups_at(self, path: Path) -> list[tuple[str, ...]]:
        """Sets of labels: where all of one are chosen, so is the choice with this path."""
        return [path] if len(path) == 1 else []

    def is_meant_by(self, condition: Condition) -> bool:
        """Whether its answers count for a condition."""
        return condition.question == self.name

    def answers(self, posteriors: Posteriors) -> list[Answer]:
        """The most probable answer for each unit; empty where nothing is known, or no label is likely. posteriors:
        float64 (n_units, k) by `Decision.key`."""
        chosen = self.form.chosen(posteriors)
        return [tuple(self.labels[place] for place in np.flatnonzero(row)) for row in chosen]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label: place for place, label in enumerate(self.labels)}

    @cached_property
    def form(self) -> AnswerForm:
        """How an answer is made of decisions."""
        form = LabelSet if self.multiple else OneLabel
        return form(self.name, self.labels, ordered=self.ordered)

    def figures(self, posteriors: Posteriors, gold: Gold) -> tuple[Metric, ...]:  # noqa: ARG002 - of some types
        """Figures that only this type has, for the metrics; None where no label supports one. Other names than those in
        `QuestionFigures`.

        posteriors: float64 (n, k) by `Decision.key`, made without the rows' own labels. gold: int64 (n,), all known.
        """
        return ()


def closed(properties: Mapping[str, Json]) -> dict[str, Json]:
    """JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def decisions(question: Question) -> list[Decision]:
    """The decisions a question consists of, in the order of its labels."""
    return list(question.form.decisions)
