"""Weighted vote: one accuracy per source."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.label_model.base import LabelModel, matching_balance, posterior_of, validated_accuracies
from backend.domain.label_model.patterns import VoteCounts, change, own_class, vote_counts_of, vote_shares
from backend.domain.questions.forms import Votes

PRIOR_ACCURACY = 0.7
"""What a source is believed to be worth before anything is known of it: people write rules that are mostly right."""
PRIOR_VOTES = 100.0
"""How many votes that belief outweighs. Sources copy each other's mistakes, so agreement persuades slowly. On nine
public weak-supervision sets, 10 loses 1 point of macro-F1 on average against 100, mostly on trec (45 to 54)."""
AGREEMENT_IN_LABELS = 10.0
"""How many human labels the agreement between sources is worth, however many votes it comes from."""
LEAST = 0.5
"""Agreement pulls a source down at most to this share of the way from chance to `PRIOR_ACCURACY`: sources that rarely
agree with the others look like noise, and votes that count nothing would leave their tasks undecided."""
MAX_ROUNDS = 100
TOLERANCE = 1e-4


class WeightedVote(LabelModel):
    """Naive Bayes with one accuracy per source, fitted with EM (Dawid & Skene 1979, with one parameter per source).

    A source j that votes is right with probability a_j, and its wrong votes spread evenly over the other classes:
    P(vote = y | y) = a_j, P(vote = c | y) = (1 - a_j) / (k - 1). Abstaining says nothing. So

        log P(y | votes) = log balance_y + Σ_j log(a_j (k - 1) / (1 - a_j)) [vote_j = y] + constant

    Full Dawid-Skene (a confusion matrix per source) and a class balance learned from votes both collapse when each
    source votes for one class only, which is how rules are usually written: one class explains everything away. Hence:

    * Agreement between sources is evidence only on unlabeled tasks with two votes or more, and only if the sources
      vote for more than one class: sources that all know one answer ("yes" to one label) can't disagree.
    * It moves a_j away from `PRIOR_ACCURACY` by a Beta prior worth `PRIOR_VOTES`, and never down to chance.
    * All of it counts as `AGREEMENT_IN_LABELS` human labels. Human labels count one each, so they decide as soon as
      they exist, and only they can show that a source is worse than chance.
    * A source that people have validated isn't judged by agreement, see `validated_accuracies`.
    * The balance is fitted to human labels as the intercept of P(y | votes): on labeled tasks with votes, the
      posteriors of each class sum to the number of its labels.
    """

    method = "weighted_vote"

    def fit(
        self,
        votes: Votes,
        n_classes: int,
        gold: NDArray[np.int64],
        *,
        start: LabelModel | None = None,
        validated: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Learn accuracies and class balance from votes, int16 (n, m), and gold, int64 (n,); see `LabelModel`."""
        m = votes.shape[1]
        patterns = vote_counts_of(votes, n_classes, gold)
        own = own_class(m, n_classes)
        judged = patterns.gold_counts
        right = _by_source(judged * own, m)
        n_judged = _by_source(judged, m)

        agreeing = _agreeing(patterns)
        seen = patterns.votes.multiply((patterns.counts * agreeing)[:, None]).tocsr()
        n_evidence = _by_source(np.asarray(seen.sum(axis=0)), m)
        chance = 1 / max(n_classes, 2)
        least = chance + LEAST * (PRIOR_ACCURACY - chance)

        trusted = np.zeros(m, dtype=np.bool_) if validated is None else validated
        known = validated_accuracies(judged)
        posterior = vote_shares(patterns.votes, n_classes)
        self.accuracies = np.full(m, PRIOR_ACCURACY)
        self.class_balance = np.full(n_classes, 1 / n_classes)
        if isinstance(start, WeightedVote) and (start.accuracies.size, start.class_balance.size) == (m, n_classes):
            self.accuracies, self.class_balance = start.accuracies, start.class_balance
            posterior = self._posterior(patterns.votes, patterns.n_votes)
        for _ in range(MAX_ROUNDS):
            before = self.accuracies, self.class_balance
            agreed = _by_source(np.asarray(seen.T @ posterior) * own, m)
            agreement = (PRIOR_VOTES * PRIOR_ACCURACY + agreed) / (PRIOR_VOTES + n_evidence)
            agreement = np.maximum(agreement, least)
            believed = (AGREEMENT_IN_LABELS * agreement + right) / (AGREEMENT_IN_LABELS + n_judged)
            self.accuracies = np.where(trusted, known, believed)
            posterior = self._posterior(patterns.votes, patterns.n_votes)
            expected = self._posterior(patterns.labeled, patterns.gold).sum(axis=0)
            self.class_balance = matching_balance(self.class_balance, patterns.chosen, expected)
            if change(before[0], self.accuracies) + change(before[1], self.class_balance) < TOLERANCE:
                break
        return self

    def _posterior(self, votes: csr_matrix, n_votes: NDArray[np.int64]) -> NDArray[np.float64]:  # noqa: ARG002
        k = self.class_balance.size
        # With one class there is no other one to spread wrong votes over; any finite weight gives the answer 1.
        weights = np.log(self.accuracies * max(k - 1, 1) / (1 - self.accuracies))
        return posterior_of(votes, own_class(weights.size, k) * np.repeat(weights, k)[:, None], self.class_balance)


def _agreeing(patterns: VoteCounts) -> NDArray[np.bool_]:
    """Which rows say how often sources agree (p,): none if all votes are for one class."""
    answers = np.unique(patterns.votes.indices % patterns.n_classes)
    return np.asarray((patterns.n_votes > 1) & (answers.size > 1))


def _by_source(values: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """Sums over everything but the source (m,) of values (m · k, ...)."""
    sums: NDArray[np.float64] = values.reshape(m, -1).sum(axis=1) if m else np.zeros(0)
    return sums
