"""LLMs in a simulation: recorded answers, bought when the policy would ask for them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import Frame
from backend.domain.llm.choose import worth
from backend.domain.llm.votes import join
from backend.domain.questions import decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.reports.llm import MIN_COMPARED
from backend.domain.simulation.records import Gold, LabeledTasks, LlmUse
from backend.domain.sources import LLM
from backend.domain.statistics import cohen_kappa
from backend.domain.votes import VoteMatrix

SAMPLE = 100
"""Labeled tasks that an LLM is asked about before its votes count: the default of `LLM_SAMPLE`."""


class Desk:
    """Buys answers about the tasks of a pool and about held-out ones, and keeps count.

    As in a project: an LLM is first asked about tasks that people label, which should be random ones. Once enough of
    these answers can be compared and people agree, its votes count, and it is asked about its share of the other tasks,
    where its answer is worth most. Held-out tasks stand for those that nobody will label: answers about them are paid
    for, too. One LLM passes at a time, so that the next one is asked where suggestions with the one before are unsure.
    """

    def __init__(self, pool: LabeledTasks, test: LabeledTasks, llms: Sequence[LlmUse], gate_kappa: float) -> None:
        self._pool, self._test, self._gate_kappa = pool, test, gate_kappa
        self._llms = {use.name: use for use in llms}
        self._asked = {
            use.name: (np.zeros(len(pool.data), dtype=np.bool_), np.zeros(len(test.data), dtype=np.bool_))
            for use in llms
        }
        self._trusted: set[str] = set()

    @property
    def n_answers(self) -> int:
        """Answers bought so far."""
        return sum(int(ours.sum() + theirs.sum()) for ours, theirs in self._asked.values())

    @property
    def usd(self) -> float:
        """What they cost."""
        return sum(
            self._llms[name].usd * float(ours.sum() + theirs.sum()) for name, (ours, theirs) in self._asked.items()
        )

    def votes(self) -> tuple[dict[str, VoteMatrix], dict[str, VoteMatrix]]:
        """All votes that count, of the pool and of the held-out tasks, by `Decision.key`."""
        trusted = [name for name in self._llms if name in self._trusted]
        found = []
        for tasks, side in ((self._pool, 0), (self._test, 1)):
            masks = [self._asked[name][side] for name in trusted]
            bought = {key: _masked(matrix, trusted, masks) for key, matrix in tasks.answers.items()} if trusted else {}
            found.append(join(tasks.votes, bought))
        return found[0], found[1]

    @property
    def is_validating(self) -> bool:
        """Whether some LLM has neither passed nor been compared on its whole sample."""
        return any(name not in self._trusted and int(ours.sum()) < SAMPLE for name, (ours, _) in self._asked.items())

    def validate(self, gold: Gold) -> bool:
        """Ask about tasks that people labeled meanwhile; whether `buy` would let another LLM pass. gold: int64
        (n_units,) by `Decision.key`, -1 = unknown."""
        self._ask_about_labeled(gold)
        return self._next(gold) is not None

    def buy(
        self,
        gold: Gold,
        doubt: tuple[NDArray[np.float64], NDArray[np.float64]],
        against: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> None:
        """Let the next LLM pass, if one may, and ask it about its share of the tasks.

        Args:
            gold: what people said so far.
            doubt: float64 (n,), 1 - confidence of the suggestions for the pool and for the held-out tasks; those are
                wanted most that are worth most, see `worth`.
            against: share of the sources that contradict them.
        """
        name = self._next(gold)
        if name is None:
            return
        self._trusted.add(name)
        ours, theirs = self._asked[name]
        labeled = _labeled(gold)
        both = np.concatenate([np.where(labeled, -np.inf, doubt[0]), doubt[1]])
        order = worth(both, np.concatenate(against), np.ones(both.size))
        order = order[np.isfinite(both[order])]
        wanted = order[: round(self._llms[name].share * order.size)]
        ours[wanted[wanted < ours.size]] = True
        theirs[wanted[wanted >= ours.size] - ours.size] = True

    def buy_all(self) -> None:
        """Ask every LLM about all tasks, and let all votes count: the most that answers can give."""
        for name, (ours, theirs) in self._asked.items():
            self._trusted.add(name)
            ours[:], theirs[:] = True, True

    def _ask_about_labeled(self, gold: Gold) -> None:
        labeled = _labeled(gold)
        for ours in (ours for name, (ours, _) in self._asked.items() if name not in self._trusted):
            left = SAMPLE - int((ours & labeled).sum())
            ours[np.flatnonzero(labeled & ~ours)[: max(0, left)]] = True

    def _next(self, gold: Gold) -> str | None:
        return next((name for name in self._llms if name not in self._trusted and self._passes(name, gold)), None)

    def _passes(self, name: str, gold: Gold) -> bool:
        """Whether people agree with an LLM: see `SourceReport.passes`. Of several decisions, the mean kappa."""
        kappas, n_compared = [], 0
        for key, matrix in self._pool.answers.items():
            said = matrix.votes[:, matrix.sources.index(name)]
            rows = np.flatnonzero(self._asked[name][0] & (gold[key] >= 0) & (said != ABSTAIN))
            n_compared = max(n_compared, rows.size)
            if rows.size:
                kappas.append(cohen_kappa(said[rows].astype(np.int64), gold[key][rows])[0])
        return n_compared >= MIN_COMPARED and float(np.mean(kappas)) >= self._gate_kappa


def contradiction(frame: Frame) -> NDArray[np.float64]:
    """Share of the sources that vote against the suggestion, float64 (n_tasks,), the largest of all decisions; 0 where
    none votes."""
    found = []
    for question in frame.questions:
        for key in (decision.key for decision in decisions(question)):
            cast = frame.votes[key].votes
            chosen = np.nan_to_num(frame.posteriors[key], nan=0.0).argmax(axis=1)
            wrong = ((cast != ABSTAIN) & (cast != chosen[:, None])).sum(axis=1)
            share = wrong / np.maximum((cast != ABSTAIN).sum(axis=1), 1)
            found.append(frame.units[question.name].most(share))
    return np.asarray(np.max(found, axis=0), dtype=np.float64)


def _masked(matrix: VoteMatrix, names: Sequence[str], masks: Sequence[NDArray[np.bool_]]) -> VoteMatrix:
    """Columns of some LLMs, named as in a project, abstaining where they weren't asked."""
    columns = [matrix.sources.index(name) for name in names]
    votes = np.where(np.column_stack(masks), matrix.votes[:, columns], ABSTAIN).astype(np.int16)
    return replace(matrix, sources=tuple(f"{LLM}:{name}" for name in names), votes=votes, excluded=None)


def _labeled(gold: Gold) -> NDArray[np.bool_]:
    return np.asarray(np.any([known >= 0 for known in gold.values()], axis=0))
