"""The interface of label models, and the parts that all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.codec import Json
from backend.domain.label_model.patterns import CHUNK, indicator, n_votes_of, own_class, softmax
from backend.domain.questions.forms import Votes

BALANCE_IN_LABELS = 200.0
"""How many human labels it takes to outweigh the belief that classes are balanced among tasks with votes."""


VALIDATED_ACCURACY = 0.85
"""What a source is believed to be worth that people have validated, before their labels are counted."""
VALIDATED_LABELS = 20.0
"""How many human labels that belief is worth."""


class LabelModel(ABC):
    """A vote matrix in, a posterior over the classes out.

    Attributes:
        method: the name of the method, as `to_dict` records it.
        accuracies: float64 (m,), P(right | votes) of each source, within (0, 1).
        class_balance: float64 (k,), sums to 1; uniform before there are human labels.
    """

    method: ClassVar[str]
    accuracies: NDArray[np.float64]
    class_balance: NDArray[np.float64]

    @abstractmethod
    def fit(
        self,
        votes: Votes,
        n_classes: int,
        gold: NDArray[np.int64],
        *,
        start: "LabelModel | None" = None,
        validated: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Learn from votes and human labels; deterministic.

        Args:
            votes: int16 (n, m), -1 = abstain.
            n_classes: k.
            gold: int64 (n,), the class people chose, -1 = unknown.
            start: a model fitted before, to start from: the result is the same within the tolerance, sooner. Ignored if
                it is of another method, or of other numbers of sources or classes.
            validated: bool (m,), sources that people have validated, as LLMs past their gate; None = none. They are
                believed to be right as often as `VALIDATED_ACCURACY` says, whatever the other sources vote, until human
                labels say more.
        """

    def predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        """Posterior float64 (n, k), columns of `votes` as in `fit`.

        A row without any vote has no answer: NaN, because majority vote over nothing must not look like an opinion.

        Raises:
            ValueError: `votes` has another number of sources than in `fit`.
        """
        if votes.shape[1] != self.accuracies.size:
            raise ValueError(f"fitted on {self.accuracies.size} sources, got votes of {votes.shape[1]}")
        k = self.class_balance.size
        posterior = np.full((len(votes), k), np.nan)
        for first in range(0, len(votes), CHUNK):
            chunk = votes[first : first + CHUNK]
            n_votes = n_votes_of(chunk)
            voted = np.flatnonzero(n_votes)
            if not voted.size:
                # Without sources the parameters have no shape to compute with once they were stored.
                continue
            posterior[first + voted] = self._posterior(indicator(chunk[voted], k), n_votes[voted])
        return posterior

    @abstractmethod
    def _posterior(self, votes: csr_matrix, n_votes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Posterior (n, k) of rows of `indicator`, all with at least one vote."""

    def to_dict(self) -> dict[str, Json]:
        """All parameters, ready for JSON, and the method by name."""
        return {"method": self.method, **{name: value.tolist() for name, value in self._parameters().items()}}

    @classmethod
    def from_dict(cls, parameters: Mapping[str, object]) -> Self:
        """The model that `to_dict` described."""
        model = cls()
        for name, value in parameters.items():
            if name != "method":
                setattr(model, name, np.array(value))
        return model

    def _parameters(self) -> dict[str, NDArray[Any]]:
        """Arrays by attribute name."""
        return {"accuracies": self.accuracies, "class_balance": self.class_balance}


def validated_accuracies(gold_counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each source is believed to be right if people have validated it: float64 (m,), within (0, 1).

    Its share of right votes by human labels, joined by `VALIDATED_LABELS` of `VALIDATED_ACCURACY`. gold_counts: float64
    (m · k, k), see `VoteCounts`.
    """
    k = gold_counts.shape[1]
    m = len(gold_counts) // max(k, 1)
    right = (gold_counts * own_class(m, k)).reshape(m, k * k).sum(axis=1)
    judged = gold_counts.reshape(m, k * k).sum(axis=1)
    believed: NDArray[np.float64] = (VALIDATED_LABELS * VALIDATED_ACCURACY + right) / (VALIDATED_LABELS + judged)
    return believed


def posterior_of(
    votes: csr_matrix,
    weights: NDArray[np.float64],
    balance: NDArray[np.float64],
    sharpness: NDArray[np.float64] | float = 1.0,
) -> NDArray[np.float64]:
    """Posterior, float64 (n, k), ∝ balance · exp(sharpness · Σ weights of the votes); weights float64 (m · k, k),
    sharpness float64 (n,) or 1."""
    scores = np.asarray(votes @ weights)
    return softmax(scores * np.reshape(sharpness, (-1, 1)) + np.log(balance))


def matching_balance(
    balance: NDArray[np.float64], chosen: NDArray[np.int64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One step towards the balance whose expected number of each class is the number that people chose: float64 (k,)
    all.

    Iterative scaling (Darroch & Ratcliff 1972); the prior is `BALANCE_IN_LABELS` tasks without votes, evenly labeled.
    The share of each class would count it twice: how often a vote is right depends on the balance already (it lost 15
    points of macro-F1 on youtube).
    """
    uniform = BALANCE_IN_LABELS / balance.size
    matching: NDArray[np.float64] = balance * (chosen + uniform) / (expected + BALANCE_IN_LABELS * balance)
    matching /= matching.sum()
    return matching
