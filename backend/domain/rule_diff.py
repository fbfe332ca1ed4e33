"""The effect of edited rules, computed before they are used."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backend.domain.alike import Alike, fingerprint
from backend.domain.frame import Frame
from backend.domain.label_model.propensity import PropensityVote
from backend.domain.posterior import rule_out_held_out
from backend.domain.questions import decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.rule_report import codes_of
from backend.domain.votes import VoteMatrix

N_FOLDS = 5


@dataclass(frozen=True, slots=True)
class QuestionDiff:
    """What the edit does to one question.

    suggestions_changed: of n_tasks, how many get another answer. On the n_labels tasks with a complete human answer:
    how many are answered rightly before and after; better: rightly only after; worse: rightly only before.
    """

    question: str
    n_tasks: int
    suggestions_changed: int
    n_labels: int
    right_before: int
    right_after: int
    better: int
    worse: int


def changed_votes(before: Frame, after: Frame) -> dict[tuple[str, str], int]:
    """(question, rule) -> on how many units it votes otherwise than before; rules that vote the same are left out.

    A rule that isn't there abstains. A vote on each label of a multiple question counts.
    """
    changed: dict[tuple[str, str], int] = {}
    for question in after.questions:
        asked = decisions(question)
        sources = dict.fromkeys(before.votes[asked[0].key].sources + after.votes[asked[0].key].sources)
        for decision in asked:
            old, new = before.votes[decision.key], after.votes[decision.key]
            for source in sources:
                n = int((_column(old, source) != _column(new, source)).sum())
                if n:
                    changed[question.name, source] = changed.get((question.name, source), 0) + n
    return changed


def compare_suggestions(before: Frame, after: Frame, *, seed: int = 0) -> list[QuestionDiff]:
    """The answers that the label model gives with one set of rules and with another, question by question.

    The same method for both, fitted to each with the human labels; a task's own label has no say in its answer. The
    classifier is left out: it learns from the label model, and only training shows what it makes of it.

    Args:
        before: votes and gold.
        after: the same tasks' votes by other rules, with the same gold.
        seed: draws the folds.
    """
    found = []
    for question in after.questions:
        asked, units, gold = decisions(question), after.units[question.name], after.gold
        labeled = after.labeled(question)
        truth = {decision.key: np.eye(len(decision.classes))[gold[decision.key]] for decision in asked}
        given = question.join(question.answers(truth), units)
        alike: Alike[NDArray[np.float64]] = Alike()
        old, new = (
            question.join(
                question.answers(
                    {
                        item.key: alike.get(
                            (frame.votes[item.key].fingerprint, fingerprint(gold[item.key])),
                            partial(_posterior, frame.votes[item.key], gold[item.key], seed),
                        )
                        for item in asked
                    }
                ),
                units,
            )
            for frame in (before, after)
        )
        was_right = np.array([answer == right for answer, right in zip(old, given, strict=True)], dtype=np.bool_)
        is_right = np.array([answer == right for answer, right in zip(new, given, strict=True)], dtype=np.bool_)
        found.append(
            QuestionDiff(
                question=question.name,
                n_tasks=len(labeled),
                suggestions_changed=sum(one != other for one, other in zip(old, new, strict=True)),
                n_labels=int(labeled.sum()),
                right_before=int((labeled & was_right).sum()),
                right_after=int((labeled & is_right).sum()),
                better=int((labeled & is_right & ~was_right).sum()),
                worse=int((labeled & was_right & ~is_right).sum()),
            )
        )
    return found


def _posterior(matrix: VoteMatrix, gold: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """The label model's posterior (n, k), each labeled row's by a model that didn't see its label."""
    k = len(matrix.decision.classes)
    model = PropensityVote().fit(matrix.votes, k, gold, validated=matrix.validated)
    posterior = model.predict_proba(matrix.votes)
    labeled = np.random.default_rng(seed).permutation(np.flatnonzero(gold >= 0))
    folds = np.array_split(labeled, min(N_FOLDS, labeled.size)) if labeled.size else []
    for fold in folds:
        hidden = gold.copy()
        hidden[fold] = -1
        without = PropensityVote().fit(matrix.votes, k, hidden, start=model, validated=matrix.validated)
        posterior[fold] = without.predict_proba(matrix.votes[fold])
    return posterior if matrix.excluded is None else rule_out_held_out(posterior, matrix.excluded, gold, folds)


def _column(matrix: VoteMatrix, source: str) -> NDArray[np.int16]:
    if source not in matrix.sources:
        return np.full(len(matrix.votes), ABSTAIN, dtype=np.int16)
    return codes_of(matrix)[:, matrix.sources.index(source)]
