"""Query by committee: how far the sources and the classifier disagree on a decision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy

from backend.domain.posterior import is_known
from backend.domain.priorities.strategy import Strategy
from backend.domain.questions.forms import Votes


@dataclass(frozen=True)
class _Committee:
    """A committee to modAL: its members already know their answers, float64 (n, m, k)."""

    proba: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.proba.shape[1])

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def vote_proba(self, _: object) -> NDArray[np.float64]:
        return self.proba

    def predict_proba(self, _: object) -> NDArray[np.float64]:
        return np.asarray(self.proba.mean(axis=1))


def vote_entropy(votes: Votes, members: Sequence[NDArray[np.float64]], n_classes: int) -> NDArray[np.float64]:
    """Entropy of the votes on each unit (n,), 0..1 by log k; 0 where fewer than two vote (Dagan & Engelson 1995).

    modAL's measure knows no abstention; without any, this is the same.

    Args:
        votes: int16 (n, m), -1 = abstain.
        members: posteriors (n, k) of others that vote for their most probable class; NaN rows abstain.
        n_classes: k.
    """
    counts = np.zeros((len(votes), n_classes))
    for column in votes.T:
        rows = np.flatnonzero(column >= 0)
        counts[rows, column[rows]] += 1
    for member in members:
        rows = np.flatnonzero(is_known(member))
        counts[rows, member[rows].argmax(axis=1)] += 1
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full_like(counts, 1 / max(1, n_classes)), where=total > 0)
    result = entropy(shares, axis=1) / np.log(max(2, n_classes))
    return np.where(total[:, 0] > 1, result, 0.0)


def disagreement(members: Sequence[NDArray[np.float64]], strategy: str) -> NDArray[np.float64]:
    """How unsure or how divided posteriors are: float64 (n,), 0..1; 0 where fewer than two members know anything.

    consensus_entropy: entropy of their mean, by log k. disagreement: the largest Kullback-Leibler divergence of one of
    them from that mean (McCallum & Nigam 1998), by log m, which it can't exceed.

    Args:
        members: (n, k) each, NaN rows where one says nothing.
        strategy: `CONSENSUS_ENTROPY` or `DISAGREEMENT`.
    """
    from modAL.disagreement import KL_max_disagreement, consensus_entropy  # noqa: PLC0415 - see backend/__init__.py

    n, n_classes = members[0].shape
    result = np.zeros(n)
    known = np.column_stack([is_known(member) for member in members])
    # modAL's committees are complete: one for each set of members that knows something.
    for present in np.unique(known, axis=0):
        rows, who = np.flatnonzero((known == present).all(axis=1)), np.flatnonzero(present)
        if len(who) < 2:
            continue
        committee = _Committee(np.stack([members[member][rows] for member in who.tolist()], axis=1))
        if strategy == Strategy.CONSENSUS_ENTROPY:
            result[rows] = consensus_entropy(committee, rows) / np.log(max(2, n_classes))
        else:
            result[rows] = KL_max_disagreement(committee, rows) / np.log(len(who))
    return np.clip(result, 0.0, 1.0)
