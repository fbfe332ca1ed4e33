"""Corpus: what a job works on, read once: the tasks of a project, and what people said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import Frame
from backend.domain.label_config import LabelConfig
from backend.domain.model.gold import gold_of
from backend.domain.questions import Question
from backend.domain.questions.forms import Gold
from backend.domain.questions.units import Units
from backend.domain.rules import History
from backend.domain.tasks import Annotation, Answer, MirroredTask, content_hash


@dataclass(frozen=True)
class Corpus:
    """The tasks of a project and their annotations. Rows of all arrays and lists are in the order of `items`."""

    key: str
    config: LabelConfig
    items: Sequence[MirroredTask]

    def fitted(self) -> "Corpus":
        """The same, with the labels that follow from what people answered: what a version is trained on."""
        return replace(self, config=self.config.fitted(self.answers)) if self.config.unlisted else self

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions of the label config."""
        return self.config.questions

    @property
    def compared(self) -> tuple[tuple[str, str], ...]:
        """Pairs of fields of which it matters for some question how they differ."""
        return tuple(dict.fromkeys(pair for question in self.questions for pair in question.compared))

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """The tasks' ids: int64 (n,)."""
        return np.array([item.task.id for item in self.items], dtype=np.int64)

    @cached_property
    def data(self) -> list[Mapping[str, object]]:
        """The tasks' data."""
        return [item.task.data for item in self.items]

    @cached_property
    def hashes(self) -> list[bytes]:
        """Hashes of the contents of the tasks, see `content_hash`."""
        return [content_hash(item) for item in self.data]

    @cached_property
    def is_open(self) -> NDArray[np.bool_]:
        """Whether Label Studio still wants an annotation for each task: bool (n,)."""
        return np.array([item.task.is_open for item in self.items], dtype=np.bool_)

    @cached_property
    def labeled(self) -> list[tuple[Annotation, ...]]:
        """The annotations of each task that say something: neither skipped nor empty."""
        return [item.labels for item in self.items]

    @cached_property
    def answers(self) -> list[list[Mapping[str, Answer]]]:
        """The answers of each task's annotations in `labeled`: question name -> labels."""
        return [[entry.answers for entry in entries] for entries in self.labeled]

    @cached_property
    def units(self) -> dict[str, Units]:
        """The units of the tasks, by question."""
        return {question.name: question.units(self.data) for question in self.questions}

    @cached_property
    def frame(self) -> Frame:
        """The units of all questions, with what people chose; see `gold_of`."""
        return Frame(self.questions, self.units, gold=gold_of(self.questions, self.answers, self.units))

    @property
    def gold(self) -> Gold:
        """The classes that people chose: int64 (n_units,) by `Decision.key`, class index or -1 = unknown."""
        return self.frame.gold

    @cached_property
    def history(self) -> History:
        """What people answered, for rules that vote by it: none of a task's own answers counts for it."""
        return History(self.data, self.answers, range(len(self.items)))

    @property
    def n_labels(self) -> int:
        """Number of annotations that say something."""
        return sum(map(len, self.labeled))

    @property
    def seen_until(self) -> str:
        """The newest `updated_at` of these; "" without any."""
        return max((entry.updated_at for entries in self.labeled for entry in entries), default="")
