"""PoolState: what is known of the tasks when the next ones are chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.frame import Frame
from backend.domain.priorities.classes import Label, chances
from backend.domain.priorities.geometry import coordinates, places
from backend.domain.priorities.relabels import Relabels
from backend.domain.priorities.variance import information
from backend.domain.questions import Question, decisions


@dataclass(frozen=True)
class PoolState:
    """What is known of the tasks when the next ones are chosen, labeled tasks included.

    frame: their units, with posteriors and members of the committee (NaN rows where nothing is known), votes and gold.
    is_open: bool (n_tasks,), what may be asked. features: (n_tasks, d). relabels: where open tasks may have labels
    already. doubts: float64 (n_tasks,), how unsure each task's spans are, where no question is made of decisions.
    hidden: question -> bool (n_tasks,), where other answers hide it; there its posteriors are NaN, and nobody
    votes.
    """

    frame: Frame
    is_open: NDArray[np.bool_]
    features: csr_matrix
    relabels: Relabels | None = field(default=None, kw_only=True)
    hidden: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict, kw_only=True)
    doubts: NDArray[np.float64] | None = field(default=None, kw_only=True)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions that are asked."""
        return self.frame.questions

    @cached_property
    def open_rows(self) -> NDArray[np.int64]:
        """Rows that may be asked: int64 (n_open,), ascending."""
        return np.flatnonzero(self.is_open)

    @cached_property
    def labeled(self) -> NDArray[np.int64]:
        """Rows that people labeled, in any question: int64 (n_labeled,), ascending."""
        known = np.zeros(len(self.is_open), dtype=np.bool_)
        for question in self.questions:
            for decision in decisions(question):
                known |= self.frame.units[question.name].any(self.frame.gold[decision.key] >= 0)
        return np.flatnonzero(known)

    def expected(self, labels: Sequence[Label]) -> NDArray[np.float64]:
        """Probability of each label for each task, float64 (n, n_labels), see `chances`; 0 where its question is
        hidden."""
        found = chances(labels, self.frame)
        for place, label in enumerate(labels):
            if label.question in self.hidden:
                found[self.hidden[label.question], place] = 0.0
        return found

    def told(self) -> NDArray[np.float64]:
        """How much a label of each task tells, float64 (n_tasks,), see `information`: the mean over all decisions, of
        several units the sum."""
        parts = [
            np.where(self.hidden.get(question.name, False), 0.0, self._told(question, decision.key))
            for question in self.questions
            for decision in decisions(question)
        ]
        return np.asarray(np.mean(parts, axis=0))

    def _told(self, question: Question, key: str) -> NDArray[np.float64]:
        return self.frame.units[question.name].total(information(self.frame.posteriors[key]))

    @cached_property
    def space(self) -> NDArray[np.float32]:
        """The space that tasks lie in, float32 (n_tasks, dimensions), see `coordinates`. The same in each version, as
        long as the features are."""
        return coordinates(self.features, seed=0)

    @cached_property
    def where(self) -> NDArray[np.float32]:
        """The place of each task, float32 (n_tasks, dimensions), see `places`."""
        return places(self.space)
