"""What a simulation works on, how it is run, and what comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.priorities.strategy import Strategy
from backend.domain.questions import Question, Spans
from backend.domain.spans.text import Span
from backend.domain.votes import VoteMatrix

NOTHING = "nothing"
"""What may be done with labels that are probably wrong, besides `Action`: they are not even looked for."""
Gold = Mapping[str, NDArray[np.int64]]
"""int64 (n,) by `Decision.key`, class index or -1 = unknown."""
Marked = Sequence[tuple[Span, ...] | None]
"""What people marked in each text, None where nobody looked."""


@dataclass(frozen=True, slots=True)
class LabeledTasks:
    """Tasks whose labels are known, rows in one order.

    votes: of the rules, by `Decision.key`. answers: of LLMs, one column each, all that were recorded; {} without any.
    truth: what people chose. given: what annotators say when they are asked; with noise it differs from the truth.
    """

    questions: Sequence[Question]
    data: Sequence[Mapping[str, object]]
    votes: Mapping[str, VoteMatrix]
    answers: Mapping[str, VoteMatrix]
    truth: Gold
    given: Gold

    def rows(self, rows: NDArray[np.int64]) -> "LabeledTasks":
        """Some of the tasks: int64 (n_some,), their rows."""
        return LabeledTasks(
            questions=self.questions,
            data=[self.data[row] for row in rows],
            votes={key: matrix.rows(rows) for key, matrix in self.votes.items()},
            answers={key: matrix.rows(rows) for key, matrix in self.answers.items()},
            truth={key: known[rows] for key, known in self.truth.items()},
            given={key: known[rows] for key, known in self.given.items()},
        )

    def without_votes(self) -> "LabeledTasks":
        """The same tasks, about which no rule and no LLM says anything."""
        return replace(self, votes={key: _no_sources(matrix) for key, matrix in self.votes.items()}, answers={})

    @property
    def llms(self) -> tuple[str, ...]:
        """Names of the LLMs that answers were recorded of."""
        return next((matrix.sources for matrix in self.answers.values()), ())


@dataclass(frozen=True, slots=True)
class MarkedData:
    """Texts with what people marked in them. notes: sentences about what was left out, or is odd."""

    question: Spans
    data: Sequence[Mapping[str, object]]
    gold: Marked
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LlmUse:
    """How one LLM is used: the price of an answer in USD, and the share of all tasks that it is asked about, 0..1."""

    name: str
    usd: float
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a project is labeled.

    strategy: how the next tasks are chosen. manual: rules and LLMs have no votes. batch: tasks that are labeled before
    the first training, and the fewest between two; growth: share of the labels so far that is labeled between two, if
    that is more. usd_per_label: what people cost. max_labels, budget_usd: where it ends; None = when all are labeled.
    llms: who is asked, in this order. gate_kappa: Cohen's kappa with people from which an LLM's votes count.
    label_noise: share of the tasks (0..1) about which annotators are wrong. after_finding: an `Action`, or `NOTHING`.
    """

    name: str
    strategy: str = Strategy.AUTO
    manual: bool = False
    batch: int = 10
    growth: float = 0.15
    usd_per_label: float = 0.30
    max_labels: int | None = None
    budget_usd: float | None = None
    llms: Sequence[LlmUse] = field(default=())
    gate_kappa: float = 0.4
    label_noise: float = 0.0
    after_finding: str = NOTHING


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a learning curve: what was spent, and the accuracy on the held-out tasks, 0..1.

    n_labels: given by people, those about suspects included, `n_again` of them. n_tokens: of the texts that they read,
    where spans are marked; accuracy is the F1 of these then.
    """

    n_labels: int
    n_answers: int
    usd: float
    accuracy: float
    n_again: int = 0
    n_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Curve:
    """One run of a plan, points in the order in which they came. full: the accuracy with all labels, 0..1, of which
    shares are to be reached."""

    plan: str
    seed: int
    points: Sequence[Point]
    full: float


def _no_sources(matrix: VoteMatrix) -> VoteMatrix:
    return replace(matrix, sources=(), votes=matrix.votes[:, :0], excluded=None)
