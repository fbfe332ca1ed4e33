"""Next tasks: what a trained model says of the tasks, as evidence for choosing among them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.model.project import DecisionModel
from backend.domain.model.training import Trained
from backend.domain.posterior import is_known
from backend.domain.priorities.queue import PoolState
from backend.domain.priorities.relabels import Relabels
from backend.domain.questions import decisions
from backend.domain.questions.forms import ABSTAIN
from backend.domain.votes import VoteMatrix


def pool_state_of(
    trained: Trained,
    posteriors: Mapping[str, NDArray[np.float64]],
    votes: Mapping[str, VoteMatrix],
    gold: Mapping[str, NDArray[np.int64]],
    is_open: NDArray[np.bool_],
    opinions: Relabels | None = None,
    *,
    hidden: Mapping[str, NDArray[np.bool_]] | None = None,
) -> PoolState:
    """What is known of the tasks when the next ones are chosen.

    Args:
        trained: the new version.
        posteriors: float64 (n, k) by `Decision.key`, what its model says of the tasks.
        votes: by `Decision.key`, same rows.
        gold: int64 (n,) by `Decision.key`, class index or -1 = unknown.
        is_open: bool (n,), what may be asked.
        opinions: of the tasks, where some that may be asked have labels.
        hidden: see `hidden_rows`.
    """
    parts, features = trained.model.decisions, trained.features
    classified = {
        key: np.full_like(posteriors[key], np.nan)
        if part.classifier is None
        else part.classifier.predict_proba(features)
        for key, part in parts.items()
    }
    evidence = PoolState(
        questions=trained.model.questions,
        posteriors={
            key: doubted(classified[key], posteriors[key]) if _learns_from_people_alone(part) else posteriors[key]
            for key, part in parts.items()
        },
        label_model={key: part.label_model.predict_proba(votes[key].votes) for key, part in parts.items()},
        classifier=classified,
        votes=votes,
        gold=gold,
        is_open=is_open,
        features=features,
        opinions=opinions,
    )
    return _without_hidden(evidence, hidden) if hidden else evidence


def _without_hidden(evidence: PoolState, hidden: Mapping[str, NDArray[np.bool_]]) -> PoolState:
    """The same, in which nothing is known of a question where it is hidden."""
    rows = {
        decision.key: hidden[question.name]
        for question in evidence.questions
        if question.name in hidden
        for decision in decisions(question)
    }

    def unknown(of_decisions: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        return {
            key: np.where(rows[key][:, None], np.nan, posterior) if key in rows else posterior
            for key, posterior in of_decisions.items()
        }

    votes = {
        key: replace(matrix, votes=np.where(rows[key][:, None], ABSTAIN, matrix.votes)) if key in rows else matrix
        for key, matrix in evidence.votes.items()
    }
    return replace(
        evidence,
        posteriors=unknown(evidence.posteriors),
        label_model=unknown(evidence.label_model),
        classifier=unknown(evidence.classifier),
        votes=votes,
        hidden=hidden,
    )


def _learns_from_people_alone(part: DecisionModel) -> bool:
    return part.choice is not None and part.choice.recipe.trust == 0


def doubted(classified: NDArray[np.float64], posterior: NDArray[np.float64]) -> NDArray[np.float64]:
    """What says how much a task's label would teach a classifier that learns from people alone: its own posterior.

    That rules are sure of a task says nothing of that. (Six text sets with rules, five seeds: chosen by the posterior
    of rules and classifier together, a fifth more labels are needed to reach 95 % of full accuracy.)

    Args:
        classified: float64 (n, k), NaN rows where the classifier knows nothing.
        posterior: the same of rules and classifier, which counts for those rows.
    """
    return np.where(is_known(classified)[:, None], classified, posterior)
