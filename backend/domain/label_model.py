"""Label models: a vote matrix in, a posterior over the classes out.

Both models share one interface. `fit` takes votes (int16 (n, m), -1 = abstain), the number of classes k, and gold
(int64 (n,), the class people chose, -1 = unknown). `predict_proba` gives float64 (n, k); a row without any vote has no
answer: NaN, because majority vote over nothing must not look like an opinion.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.votes import ABSTAIN, Votes

PRIOR_ACCURACY = 0.7
"""What a source is believed to be worth before anything is known of it: people write rules that are mostly right."""
PRIOR_VOTES = 100.0
"""How many votes that belief outweighs. Sources copy each other's mistakes, so agreement persuades slowly. On nine
public weak-supervision sets, 10 loses 1 point of macro-F1 on average against 100, mostly on trec (45 to 54)."""
AGREEMENT_IN_LABELS = 10.0
"""How many human labels the agreement between sources is worth, however many votes it comes from."""
BALANCE_IN_LABELS = 50.0
"""How many human labels it takes to outweigh the belief that classes are balanced among tasks with votes."""
LEAST = 0.5
"""Agreement pulls a source down at most to this share of the way from chance to `PRIOR_ACCURACY`: sources that rarely
agree with the others look like noise, and votes that count nothing would leave their tasks undecided."""
MAX_ROUNDS = 100
TOLERANCE = 1e-4


class MajorityVote:
    """The share of votes that each class got. The first thing to try, and the baseline."""

    n_classes: int

    def fit(self, votes: Votes, n_classes: int, gold: NDArray[np.int64]) -> Self:  # noqa: ARG002 - shared interface
        """Nothing to learn but the number of classes."""
        self.n_classes = n_classes
        return self

    def predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        """Vote shares (n, k); NaN rows where nobody votes."""
        return _vote_shares(_indicator(votes, self.n_classes), self.n_classes)


class WeightedVote:
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
    * The balance is fitted to human labels as the intercept of P(y | votes): on labeled tasks with votes, the
      posteriors of each class sum to the number of its labels. The share of each class would count it twice, because
      the accuracy of a source that votes for one class contains it already (it lost 15 points of macro-F1 on youtube).

    Attributes:
        accuracies: float64 (m,), P(right | votes), within (0, 1).
        class_balance: float64 (k,), sums to 1; uniform before there are human labels.
    """

    accuracies: NDArray[np.float64]
    class_balance: NDArray[np.float64]

    def fit(self, votes: Votes, n_classes: int, gold: NDArray[np.int64]) -> Self:
        """Learn accuracies and class balance; deterministic. See the module for the arguments."""
        n, m = votes.shape
        indicator = _indicator(votes, n_classes)
        n_votes = (votes != ABSTAIN).sum(axis=1)
        taught = np.flatnonzero((gold >= 0) & (n_votes > 0))
        right = (votes[taught] == gold[taught, None]).sum(axis=0)
        judged = (votes[taught] != ABSTAIN).sum(axis=0)
        chosen = np.bincount(gold[taught], minlength=n_classes)

        several_answers = np.unique(votes[votes != ABSTAIN]).size > 1
        agreeing = (gold < 0) & (n_votes > 1) & several_answers
        evidence = indicator.multiply(np.repeat(agreeing, n_classes)[:, None]).tocsr()
        n_evidence = np.asarray(evidence.sum(axis=0)).reshape(m)
        chance = 1 / max(n_classes, 2)
        least = chance + LEAST * (PRIOR_ACCURACY - chance)

        posterior = np.nan_to_num(_vote_shares(indicator, n_classes))
        self.accuracies = np.full(m, PRIOR_ACCURACY)
        self.class_balance = np.full(n_classes, 1 / n_classes)
        for _ in range(MAX_ROUNDS):
            before = self.accuracies, self.class_balance
            agreed = evidence.T @ posterior.ravel()
            agreement = (PRIOR_VOTES * PRIOR_ACCURACY + agreed) / (PRIOR_VOTES + n_evidence)
            agreement = np.maximum(agreement, least)
            self.accuracies = (AGREEMENT_IN_LABELS * agreement + right) / (AGREEMENT_IN_LABELS + judged)
            posterior = self._posterior(indicator, n)
            self.class_balance = _matching_balance(self.class_balance, chosen, posterior[taught].sum(axis=0))
            if _change(before[0], self.accuracies) + _change(before[1], self.class_balance) < TOLERANCE:
                break
        return self

    def predict_proba(self, votes: Votes) -> NDArray[np.float64]:
        """Posterior (n, k), columns of `votes` as in `fit`; NaN rows where nobody votes.

        Raises:
            ValueError: `votes` has another number of sources than in `fit`.
        """
        if votes.shape[1] != self.accuracies.size:
            raise ValueError(f"fitted on {self.accuracies.size} sources, got votes of {votes.shape[1]}")
        posterior = self._posterior(_indicator(votes, self.class_balance.size), len(votes))
        posterior[(votes == ABSTAIN).all(axis=1)] = np.nan
        return posterior

    def to_dict(self) -> dict[str, list[float]]:
        """All parameters, ready for JSON."""
        return {"accuracies": self.accuracies.tolist(), "class_balance": self.class_balance.tolist()}

    @classmethod
    def from_dict(cls, parameters: Mapping[str, Any]) -> Self:
        """The model that `to_dict` described."""
        model = cls()
        model.accuracies = np.array(parameters["accuracies"], dtype=np.float64)
        model.class_balance = np.array(parameters["class_balance"], dtype=np.float64)
        return model

    def _posterior(self, indicator: csr_matrix, n: int) -> NDArray[np.float64]:
        """Posterior (n, k); the class balance where nobody votes."""
        k = self.class_balance.size
        # With one class there is no other one to spread wrong votes over; any finite weight gives the answer 1.
        weights = np.log(self.accuracies * max(k - 1, 1) / (1 - self.accuracies))
        scores = (indicator @ weights).reshape(n, k) + np.log(self.class_balance)
        # Shifting by the largest score keeps exp from overflowing and cancels out in the division.
        posterior: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        return posterior


def _matching_balance(
    balance: NDArray[np.float64], chosen: NDArray[np.int64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One step towards the balance whose expected number of each class (k,) is the number that people chose (k,).

    Iterative scaling (Darroch & Ratcliff 1972); the prior is `BALANCE_IN_LABELS` tasks without votes, evenly labeled.
    """
    uniform = BALANCE_IN_LABELS / balance.size
    matching: NDArray[np.float64] = balance * (chosen + uniform) / (expected + BALANCE_IN_LABELS * balance)
    matching /= matching.sum()
    return matching


def _change(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    return float(np.abs(after - before).max(initial=0.0))


def _indicator(votes: Votes, n_classes: int) -> csr_matrix:
    """Sparse (n * k, m): row i * k + c, column j is 1 where source j votes c on task i.

    With it, sums over votes by class and by source are sparse products: milliseconds for 100,000 × 20.
    """
    n, m = votes.shape
    rows, sources = np.nonzero(votes != ABSTAIN)
    places = rows * n_classes + votes[rows, sources]
    return csr_matrix((np.ones(rows.size), (places, sources)), shape=(n * n_classes, m))


def _vote_shares(indicator: csr_matrix, n_classes: int) -> NDArray[np.float64]:
    """Share of each class in the votes on a task (n, k); NaN rows where nobody votes."""
    counts = np.asarray(indicator.sum(axis=1)).reshape(-1, n_classes)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares
