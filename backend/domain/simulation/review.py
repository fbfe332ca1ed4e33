"""Wrong labels in a simulation: they are planted, looked for, and dealt with as the plan says."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.label_errors.action import WEIGHTS, Action
from backend.domain.label_errors.held_out import groups_of
from backend.domain.label_errors.records import SearchInputs
from backend.domain.label_errors.search import search
from backend.domain.model.training import Trained
from backend.domain.questions import Question, decisions
from backend.domain.simulation.records import NOTHING, Gold, LabeledTasks, Plan
from backend.domain.tasks import content_hash

FIRST_SEARCH = 50
"""Labels from which wrong ones are looked for."""
SEARCH_GROWTH = 0.3
"""Labels are searched again when there are so many more: a search takes as long as several trainings."""
MOST_AGAIN = 200
"""Suspects that people look at after a search: the default of `CHECK_BUDGET`."""


def with_errors(
    questions: Sequence[Question], truth: Gold, share: float, random: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Labels of annotators who are wrong about a share of the tasks (0..1): int64 (n_units,) by `Decision.key`.

    Any other label is as likely. Of a set of labels, one is left out and another one chosen instead.
    """
    given = dict(truth)
    for question in questions:
        asked = decisions(question)
        rows = np.flatnonzero(np.all([truth[item.key] >= 0 for item in asked], axis=0))
        wrong = rows[random.random(rows.size) < share]
        given |= question.form.mistaken(truth, wrong, random)
    return given


class Review:
    """What annotators have said so far, and what is done with suspects.

    A person who looks at a suspect again errs as often as anybody, costs as much as for a new label, and has the last
    word: the label isn't doubted again.
    """

    def __init__(self, pool: LabeledTasks, plan: Plan, *, seed: int) -> None:
        self._pool, self._plan = pool, plan
        random = np.random.default_rng([seed, 1])
        noise = plan.label_noise
        self.given: Gold = pool.given
        self._again: Gold = pool.given
        if noise:
            # From the truth: what was in the data as noise is no reference for what a person says.
            self.given = with_errors(pool.questions, pool.truth, noise, random)
            self._again = with_errors(pool.questions, pool.truth, noise, random)
        self.n_again = 0
        n = len(pool.data)
        self._settled = np.zeros(n, dtype=np.bool_)
        self._suspect = {question.name: np.zeros(n, dtype=np.bool_) for question in pool.questions}
        self._groups = groups_of([content_hash(item) for item in pool.data])
        self._searched = 0

    def gold(self, is_labeled: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
        """Labels to learn from, int64 (n_units,) by `Decision.key`: those given so far, without suspects that are
        excluded."""
        found = {}
        for question in self._pool.questions:
            counted = is_labeled & ~self._suspect[question.name] if self._weight == 0 else is_labeled
            for decision in decisions(question):
                found[decision.key] = np.where(counted, self.given[decision.key], -1)
        return found

    def weights(self) -> dict[str, NDArray[np.float64]] | None:
        """How much each label counts, float64 (n,), by question; None where all count in full."""
        if self._weight in (0, 1):
            return None
        return {name: np.where(suspect, self._weight, 1.0) for name, suspect in self._suspect.items()}

    def is_due(self, n_labeled: int, *, is_last: bool) -> bool:
        """Whether labels are to be searched now; `is_last`: no others will come."""
        if self._plan.after_finding == NOTHING or n_labeled < FIRST_SEARCH:
            return False
        return n_labeled > self._searched if is_last else n_labeled >= (1 + SEARCH_GROWTH) * self._searched

    def look(
        self,
        trained: Trained,
        is_labeled: NDArray[np.bool_],
        most: int,
    ) -> None:
        """Search the labels, and do as planned. is_labeled: bool (n_tasks,). most: labels that can still be paid
        for."""
        self._searched = int(is_labeled.sum())
        frame, inputs = trained.frame, SearchInputs(features=trained.features, groups=self._groups)
        worst: dict[int, float] = {}
        for question in self._pool.questions:
            asked = decisions(question)
            gold = {item.key: np.where(is_labeled, self.given[item.key], -1) for item in asked}
            alone = {item.key: frame.held_out_without_votes(item.key) for item in asked}
            judged = search(question, replace(frame, held_out=alone, gold=gold), inputs)
            found = [item for item in judged.suspects if not self._settled[item.row]]
            self._suspect[question.name][:] = False
            self._suspect[question.name][[item.row for item in found]] = True
            for item in found:
                worst[item.row] = min(item.quality, worst.get(item.row, 1.0))
        if self._plan.after_finding == Action.RELABEL:
            self._ask_again(sorted(worst, key=lambda row: (worst[row], row))[: max(0, min(most, MOST_AGAIN))])

    @property
    def _weight(self) -> float:
        action = self._plan.after_finding
        return 1.0 if action == NOTHING else WEIGHTS[Action(action)]

    def _ask_again(self, rows: Sequence[int]) -> None:
        said = {key: known.copy() for key, known in self.given.items()}
        for key, known in said.items():
            known[list(rows)] = self._again[key][list(rows)]
        self.given = said
        self._settled[list(rows)] = True
        for suspect in self._suspect.values():
            suspect[list(rows)] = False
        self.n_again += len(rows)
