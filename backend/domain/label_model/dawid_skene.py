"""Dawid-Skene with abstention as an outcome and a class balance."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.label_model.base import BALANCE_IN_LABELS, LabelModel, posterior_of, validated_accuracies
from backend.domain.label_model.patterns import change, own_class, softmax, vote_counts_of, vote_shares
from backend.domain.questions.forms import Votes

PRIOR_ACCURACY = 0.7
PRIOR_VOTES = 100.0
"""How many votes of each kind the belief in `PRIOR_ACCURACY` outweighs."""
SURE = 1e-6
MAX_ROUNDS = 60
TOLERANCE = 1e-3


class DawidSkene(LabelModel):
    """MAP-EM of a full confusion matrix per source (Dawid & Skene 1979); a source that abstains has said so.

    log P(y | votes) = log balance_y + Σ_j log P(outcome_j | y), outcomes being the k classes and "abstains". The right
    model for sources that answer (nearly) every task, such as annotators and language models. Among rules that look for
    different words abstentions are anything but independent; `PropensityVote` is for those.

    The prior of P(y | source j votes c) is `PRIOR_ACCURACY` for y = c, that of the balance is even. A human label
    stands for the posterior of its task.

    Attributes:
        weights: float64 (m · k, k), log P(votes c | y) - log P(abstains | y) at row j · k + c.
        intercept: float64 (k,), Σ_j log P(abstains | y).
    """

    method = "dawid_skene"
    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]

    def fit(
        self,
        votes: Votes,
        n_classes: int,
        gold: NDArray[np.int64],
        *,
        start: LabelModel | None = None,
        validated: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Learn confusion matrices and class balance from votes, int16 (n, m), and gold, int64 (n,); see
        `LabelModel`."""
        m, k = votes.shape[1], n_classes
        patterns = vote_counts_of(votes, k, gold)
        own = own_class(m, k)
        labeled, chosen = patterns.gold_counts, patterns.chosen
        trusted = np.zeros(m, dtype=np.bool_) if validated is None else validated
        believed = np.repeat(np.where(trusted, validated_accuracies(labeled), PRIOR_ACCURACY), k)[:, None]
        prior = PRIOR_VOTES * (own * believed + (1 - own) * (1 - believed) / max(k - 1, 1))
        seen = patterns.votes.multiply(patterns.counts[:, None]).tocsr().T.tocsr()
        n = patterns.counts.sum() + patterns.gold.size
        n_kind = np.asarray(seen.sum(axis=1)).reshape(-1, 1) + labeled.sum(axis=1, keepdims=True)

        self.weights, self.intercept, self.class_balance = np.zeros((m * k, k)), np.zeros(k), np.full(k, 1 / k)
        posterior = vote_shares(patterns.votes, k)
        if isinstance(start, DawidSkene) and start.weights.shape == (m * k, k):
            self.weights, self.intercept, self.class_balance = start.weights, start.intercept, start.class_balance
            posterior = self._posterior(patterns.votes, patterns.n_votes)
        for _ in range(MAX_ROUNDS):
            before = posterior
            total = patterns.counts @ posterior + chosen
            self.class_balance = (total + BALANCE_IN_LABELS / k) / (n + BALANCE_IN_LABELS)
            right = (np.asarray(seen @ posterior) + labeled + prior) / (n_kind + PRIOR_VOTES)
            votes_given_class = right * n_kind / max(n, 1.0) / self.class_balance
            abstains = 1 - votes_given_class.reshape(m, k, k).sum(axis=1)
            abstains = np.log(np.clip(abstains, SURE, 1.0))
            self.intercept = abstains.sum(axis=0)
            self.weights = np.log(np.maximum(votes_given_class, SURE)) - np.repeat(abstains, k, axis=0)
            posterior = self._posterior(patterns.votes, patterns.n_votes)
            if change(before, posterior) < TOLERANCE:
                break
        kinds = n_kind.reshape(m, k) + 1e-9
        self.accuracies = (((right * own).sum(axis=1).reshape(m, k)) * kinds).sum(axis=1) / kinds.sum(axis=1)
        return self

    def _posterior(self, votes: csr_matrix, n_votes: NDArray[np.int64]) -> NDArray[np.float64]:  # noqa: ARG002
        return posterior_of(votes, self.weights, self.class_balance * softmax(self.intercept[None, :])[0])

    def _parameters(self) -> dict[str, NDArray[Any]]:
        return super()._parameters() | {"weights": self.weights, "intercept": self.intercept}
