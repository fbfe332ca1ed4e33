"""Propensity vote: how much likelier each vote is under each class."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.label_model.base import LabelModel, matching_balance, posterior_of, validated_accuracies
from backend.domain.label_model.copies import copies_of
from backend.domain.label_model.patterns import (
    VoteCounts,
    change,
    own_class,
    vote_counts_of,
    vote_shares,
)
from backend.domain.questions.forms import Votes

PRIOR_ACCURACY = 0.7
"""What a vote is believed to be worth before anything is known of it: people write rules that are mostly right."""
PRIOR_VOTES = 500.0
"""How many votes that belief outweighs. Sources copy each other's mistakes, so agreement persuades slowly."""
BALANCE_IN_TASKS = 500.0
"""How many tasks without labels the belief outweighs that classes are balanced in the votes."""
MOST = 0.95
"""A source that votes for a class on more tasks than the class has can't always be right: with balanced classes its
accuracy on that vote is at most 1 / (k · its share of tasks). The prior keeps to this share of that bound."""
ENOUGH = 10
"""Votes that a source must have on tasks with three votes or more to be judged by agreement. The agreement of two
sources doesn't say which of them is right (see `agreement`), so where there are no threes, all count the same."""
LEAST = 0.25
"""Agreement pulls a source that votes for one class only down at most to this share of the way from chance to
`PRIOR_ACCURACY`, one that votes for several at most to chance. Such votes would otherwise turn into votes for another
class, as soon as few classes are enough to explain the votes."""
CORRELATION = 0.1
"""How much two votes on a task are believed to be correlated, given its class."""
AGREEMENT_IN_LABELS = 30.0
"""How many human labels the agreement between sources is worth for each kind of vote."""
EVEN_LABELS = 20.0
"""Labels of evenly spread classes added to the human ones before each class is weighted as if all were as common."""
MAX_ROUNDS = 60
TOLERANCE = 1e-3


class PropensityVote(LabelModel):
    """EM for P(y | votes) ∝ balance_y · Π_j P(source j votes v_j | y) ^ (w_j · s), with strong priors.

    The propensity P(source j votes v | y) is taken over all tasks with votes, so it holds how often a source votes as
    well as how often it is right (Dawid & Skene 1979, with "abstains" as one more outcome), and a vote for a class may
    make some of the other classes likelier than others. What differs from Dawid-Skene:

    * A task's abstentions are left out of the product. Rules that look for different words don't abstain independently
      of each other: dozens of them would outvote the one that fires.
    * A vote is described by e(y) ∝ P(v_j | y), its evidence with balanced classes. Its prior is `PRIOR_ACCURACY` for
      its own class, worth `PRIOR_VOTES`, and agreement counts on unlabeled tasks with two votes or more, of sources
      that meet in threes (`ENOUGH`) and never below `LEAST`. So a handful of rules can't explain each other away.
    * The class balance in the votes is used to turn "share of the votes that were right" into propensities, and is not
      part of the posterior: a class has many votes because it has many rules.
    * w_j is 1 over the number of copies of source j: copies share one vote. s = 1 / (1 + ρ (n_votes - 1)) is the design
      effect (Kish 1965, section 5.4) of votes correlated by ρ = `CORRELATION`. It leaves the order of classes as it is
      and keeps ten agreeing sources from being believed as if they knew nothing of each other.
    * A source that people have validated isn't judged by its agreement with others: its prior is what human labels say
      of it over all its votes (`validated_accuracies`).
    * Human labels join the evidence of each kind of vote as counts, each class weighted as if all were as common, where
      all agreement is worth `AGREEMENT_IN_LABELS`. Only they can show that votes are worse than chance. The balance is
      fitted to them as the intercept of P(y | votes), see `matching_balance`.

    Attributes:
        weights: float64 (m · k, k), w_j log e at row j · k + v.
        judged: bool (m,), whether agreement or human labels said anything of a source; others keep the prior.
    """

    method = "propensity_vote"
    weights: NDArray[np.float64]
    judged: NDArray[np.bool_]

    def fit(
        self,
        votes: Votes,
        n_classes: int,
        gold: NDArray[np.int64],
        *,
        start: LabelModel | None = None,
        validated: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Learn evidence of each kind of vote, and class balance, from votes, int16 (n, m), and gold, int64 (n,); see
        `LabelModel`."""
        m, k = votes.shape[1], n_classes
        patterns = vote_counts_of(votes, k, gold)
        labeled = _LabeledVotes(patterns)
        trusted = validated if validated is not None else np.zeros(m, dtype=np.bool_)
        agreement = _Agreement(patterns, trusted)
        share = np.repeat(1 / copies_of(votes), k)[:, None]

        self.class_balance = np.full(k, 1 / k)
        self.weights = share * np.log(labeled.join(agreement.prior))
        posterior = vote_shares(patterns.votes, k)
        if isinstance(start, PropensityVote) and start.weights.shape == (m * k, k):
            self.weights, self.class_balance = start.weights, start.class_balance
            posterior = self._posterior(patterns.votes, patterns.n_votes)
        for _ in range(MAX_ROUNDS):
            before = self.weights, self.class_balance
            said = agreement.evidence(posterior)
            self.weights = share * np.log(labeled.join(said))
            posterior = self._posterior(patterns.votes, patterns.n_votes)
            expected = self._posterior(patterns.labeled, labeled.n_votes).sum(axis=0)
            self.class_balance = matching_balance(self.class_balance, patterns.chosen, expected)
            if change(before[0], self.weights) + change(before[1], self.class_balance) < TOLERANCE:
                break
        said = np.exp(self.weights / share)
        self.accuracies = _mean_by_source((said * own_class(m, k)).sum(axis=1), agreement.n_votes + labeled.total, m)
        self.judged = agreement.judged | (labeled.total.reshape(m, k).sum(axis=1) > 0)
        return self

    def _posterior(self, votes: csr_matrix, n_votes: NDArray[np.int64]) -> NDArray[np.float64]:
        return posterior_of(votes, self.weights, self.class_balance, 1 / (1 + CORRELATION * (n_votes - 1)))

    def _parameters(self) -> dict[str, NDArray[Any]]:
        return super()._parameters() | {"weights": self.weights, "judged": self.judged}


class _Agreement:
    """What agreement between sources says of each kind of vote."""

    def __init__(self, patterns: VoteCounts, validated: NDArray[np.bool_]) -> None:
        k, m = patterns.n_classes, validated.size
        self.k = k
        self.own = own_class(m, k)
        self.counts = patterns.counts
        self.together = patterns.n_votes > 1
        seen = patterns.votes[self.together]
        self.seen = seen.multiply(patterns.counts[self.together][:, None]).tocsr().T.tocsr()
        self.n_together = np.asarray(self.seen.sum(axis=1)).reshape(-1, 1)
        self.n_votes = np.asarray(patterns.votes.T @ patterns.counts)

        threes = patterns.n_votes > 2
        meetings = np.asarray(patterns.votes[threes].T @ patterns.counts[threes]).reshape(m, k).sum(axis=1)
        # Sources that all know one answer ("yes" to one label) can't disagree.
        several_answers = np.unique(patterns.votes.indices % k).size > 1
        self.judged = (meetings >= ENOUGH) & several_answers & ~validated
        self.is_judged = np.repeat(self.judged, k)[:, None]

        chance = 1 / max(k, 2)
        n_answers = (self.n_votes.reshape(m, k) > 0).sum(axis=1)
        self.least = chance + np.repeat(np.where(n_answers == 1, LEAST, 0.0), k) * (PRIOR_ACCURACY - chance)
        share = self.n_votes / max(patterns.counts.sum(), 1.0)
        bound = np.maximum(MOST / (k * np.maximum(share, 1 / (k * k))), chance)
        believed = np.where(validated, validated_accuracies(patterns.gold_counts), PRIOR_ACCURACY)
        self.prior = _accurate(np.repeat(believed, k), self.own)
        self.bounded_prior = _accurate(np.minimum(PRIOR_ACCURACY, bound), self.own)

    def evidence(self, posterior: NDArray[np.float64]) -> NDArray[np.float64]:
        """e(y) of each kind of vote (m · k, k), given a posterior of the distinct rows."""
        right = np.asarray(self.seen @ posterior[self.together])
        right = (right + PRIOR_VOTES * self.bounded_prior) / (self.n_together + PRIOR_VOTES)
        balance = (self.counts @ posterior + BALANCE_IN_TASKS / self.k) / (self.counts.sum() + BALANCE_IN_TASKS)
        said = right / balance
        said /= said.sum(axis=1, keepdims=True)
        return np.where(self.is_judged, self._at_least(said), self.prior)

    def _at_least(self, said: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same with `least` for the class that the vote is for."""
        for_own = (said * self.own).sum(axis=1)
        missing = np.maximum(0.0, self.least - for_own) / np.maximum(1 - for_own, 1e-12)
        raised: NDArray[np.float64] = said + missing[:, None] * (self.own - said)
        return raised


class _LabeledVotes:
    """What human labels say of each kind of vote."""

    def __init__(self, patterns: VoteCounts) -> None:
        k = patterns.n_classes
        counts = patterns.gold_counts
        balance = (patterns.chosen + EVEN_LABELS / k) / (patterns.gold.size + EVEN_LABELS)
        self.n_votes = np.diff(patterns.labeled.indptr).astype(np.int64)
        self.total = counts.sum(axis=1)
        self.counts = counts / (k * balance)

    def join(self, said: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evidence e(y) from agreement, float64 (m · k, k), joined by these labels."""
        total = self.counts.sum(axis=1, keepdims=True)
        joined: NDArray[np.float64] = (AGREEMENT_IN_LABELS * said + self.counts) / (AGREEMENT_IN_LABELS + total)
        return joined


def _accurate(accuracies: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evidence, float64 (m · k, k), of votes that are right with probabilities (m · k,), wrong ones spread evenly."""
    k = own.shape[1]
    # With one class there is nothing to spread over; the evidence is normalised away.
    spread = (1 - accuracies) / max(k - 1, 1)
    evidence: NDArray[np.float64] = own * accuracies[:, None] + (1 - own) * spread[:, None]
    return evidence


def _mean_by_source(values: NDArray[np.float64], weights: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """Mean of values (m · k,) over the votes of each source (m,), plain where it has none."""
    k = max(values.size // max(m, 1), 1)
    weights = weights.reshape(m, k) + 1e-9
    mean: NDArray[np.float64] = (values.reshape(m, k) * weights).sum(axis=1) / weights.sum(axis=1)
    return mean
