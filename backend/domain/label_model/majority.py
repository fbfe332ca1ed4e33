"""Majority vote."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.label_model.base import LabelModel
from backend.domain.label_model.patterns import own_class, vote_counts_of, vote_shares
from backend.domain.questions.forms import Votes


class MajorityVote(LabelModel):
    """The share of votes that each class got. The first thing to try, and the baseline.

    `accuracies` are measured on human labels, as the share that was right with one right and one wrong vote added.
    """

    method = "majority_vote"

    def fit(
        self,
        votes: Votes,
        n_classes: int,
        gold: NDArray[np.int64],
        *,
        start: LabelModel | None = None,  # noqa: ARG002 - shared interface
        validated: NDArray[np.bool_] | None = None,  # noqa: ARG002
    ) -> Self:
        """Count how often sources were right, from votes, int16 (n, m), and gold, int64 (n,), see `LabelModel`. The
        posterior doesn't depend on it."""
        m = votes.shape[1]
        labeled = gold >= 0
        judged = vote_counts_of(votes[labeled], n_classes, gold[labeled]).gold_counts
        right = (judged * own_class(m, n_classes)).sum(axis=1).reshape(m, n_classes).sum(axis=1)
        self.accuracies = (right + 1) / (judged.sum(axis=1).reshape(m, n_classes).sum(axis=1) + 2)
        self.class_balance = np.full(n_classes, 1 / n_classes)
        return self

    def _posterior(self, votes: csr_matrix, n_votes: NDArray[np.int64]) -> NDArray[np.float64]:  # noqa: ARG002
        return vote_shares(votes, self.class_balance.size)
