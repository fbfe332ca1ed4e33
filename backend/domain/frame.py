"""Frame: all that is known of the units of a project's questions, in one place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backend.domain.posterior import first_known
from backend.domain.questions import Question, decisions
from backend.domain.questions.forms import Gold, Posteriors
from backend.domain.questions.units import Units
from backend.domain.votes import VoteMatrix

if TYPE_CHECKING:
    # Types only: commands that ask no model start without it.
    from scipy.sparse import csr_matrix

LABEL_MODEL, CLASSIFIER = "label model", "classifier"
"""Names of the members of a committee, see `Frame.members`."""


@dataclass(frozen=True, eq=False)
class Frame:
    """All that is known of the units of some questions. All rows of a question are in the order of its units.

    units: by question, those of the same tasks. votes, gold, posteriors, held_out: by `Decision.key`; posteriors are a
    model's, float64 (n_units, k), NaN rows where nothing is known; held_out the same without any influence of the row's
    own label. members: what `LABEL_MODEL` and `CLASSIFIER` say for themselves. weights: float64 (n_units,) by question,
    how much a human answer counts; 1 where a question is missing. features: (n_units, d) by question.

    What isn't known yet is empty.

    Raises:
        ValueError: something has other rows than the units of its question.
    """

    questions: tuple[Question, ...]
    units: Mapping[str, Units]
    votes: Mapping[str, VoteMatrix] = field(default_factory=dict)
    gold: Gold = field(default_factory=dict)
    posteriors: Posteriors = field(default_factory=dict)
    held_out: Posteriors = field(default_factory=dict)
    members: Mapping[str, Posteriors] = field(default_factory=dict)
    weights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    features: Mapping[str, "csr_matrix"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self._arrays()
        for question in self.questions:
            n, name = self.units[question.name].n, question.name
            sizes = {
                "weights": len(self.weights[name]) if name in self.weights else n,
                "features": self.features[name].shape[0] if name in self.features else n,
            }
            for key in (decision.key for decision in question.form.decisions):
                if key in self.votes and len(self.votes[key].votes) != n:
                    sizes[f"votes of {key!r}"] = len(self.votes[key].votes)
                for what, arrays in known:
                    if key in arrays and len(arrays[key]) != n:
                        sizes[f"{what} of {key!r}"] = len(arrays[key])
            odd = {what: size for what, size in sizes.items() if size != n}
            if odd:
                raise ValueError(f"{name!r} has {n} units, but other rows in {odd}")

    def _arrays(self) -> list[tuple[str, Gold | Posteriors]]:
        """All that has an array for each decision."""
        known: list[tuple[str, Gold | Posteriors]] = [
            ("gold", self.gold),
            ("posteriors", self.posteriors),
            ("held-out posteriors", self.held_out),
        ]
        return known + [(f"posteriors of the {name}", of_member) for name, of_member in self.members.items()]

    @property
    def n_tasks(self) -> int:
        """Number of tasks; 0 without questions."""
        return next((units.n_tasks for units in self.units.values()), 0)

    def with_votes(self, votes: Mapping[str, VoteMatrix]) -> "Frame":
        """The same frame with votes on tasks, by `Decision.key`: each is one on all units of its task."""
        of_units = dict(votes)
        for question in self.questions:
            of_task = self.units[question.name].of_task
            if of_task is not None:
                keys = {decision.key for decision in question.form.decisions} & of_units.keys()
                of_units |= {key: votes[key].rows(of_task) for key in keys}
        return replace(self, votes=of_units)

    def only(self, questions: Iterable[Question]) -> "Frame":
        """The frame of some of the questions."""
        return replace(self, questions=tuple(questions))

    def held_out_without_votes(self, key: str) -> NDArray[np.float64]:
        """The classifier's held-out posterior of a `Decision.key`, float64 (n_units, k); the model's where it knows
        nothing. A search for wrong labels takes it beside the votes, which would count twice in the model's."""
        return first_known(self.members[CLASSIFIER][key], self.held_out[key])

    def labeled(self, question: Question) -> NDArray[np.bool_]:
        """In which tasks people answered a question completely: bool (n_tasks,)."""
        known = np.all([self.gold[decision.key] >= 0 for decision in decisions(question)], axis=0)
        return self.units[question.name].all(known)

    def judged(self, question: Question, tasks: NDArray[np.int64], posteriors: Posteriors) -> "Frame":
        """One question in some tasks that people answered completely: gold, and posteriors to compare with it, of all
        units of this frame. tasks: int64 (n_some,), rows; posteriors: float64 (n_units, k) by `Decision.key`."""
        units = self.units[question.name]
        rows, keys = units.of_tasks(tasks), [decision.key for decision in decisions(question)]
        return Frame(
            (question,),
            {question.name: units.part(tasks)},
            gold={key: self.gold[key][rows] for key in keys},
            posteriors={key: posteriors[key][rows] for key in keys},
        )

    def tasks(self, rows: NDArray[np.int64]) -> "Frame":
        """The frame of some tasks, int64 (n_some,) their rows, in this order; without features."""
        places = {question.name: self.units[question.name].of_tasks(rows) for question in self.questions}
        of_key = {item.key: places[question.name] for question in self.questions for item in decisions(question)}

        def some(arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
            return {key: arrays[key][of_key[key]] for key in of_key if key in arrays}

        return Frame(
            self.questions,
            {name: self.units[name].part(rows) for name in places},
            {key: self.votes[key].rows(of_key[key]) for key in of_key if key in self.votes},
            {key: self.gold[key][of_key[key]] for key in of_key if key in self.gold},
            some(self.posteriors),
            some(self.held_out),
            {name: some(of_member) for name, of_member in self.members.items()},
            {name: self.weights[name][of_name] for name, of_name in places.items() if name in self.weights},
        )


def frame_of(
    questions: Sequence[Question],
    data: Sequence[Mapping[str, object]],
    *,
    votes: Mapping[str, VoteMatrix] | None = None,
    gold: Gold | None = None,
) -> Frame:
    """A frame of the units of some tasks.

    Args:
        questions: what is asked.
        data: of the tasks.
        votes, gold: by `Decision.key`, where they are known already: gold int64 (n_units,), -1 = unknown.
    """
    units = {question.name: question.units(data) for question in questions}
    return Frame(tuple(questions), units, votes or {}, gold or {})
