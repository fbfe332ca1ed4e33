"""Next tasks: what a trained model says of the tasks, for choosing among them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.frame import CLASSIFIER, LABEL_MODEL, Frame
from backend.domain.model.project import DecisionModel
from backend.domain.model.training import Trained
from backend.domain.posterior import first_known
from backend.domain.priorities.pool_state import PoolState
from backend.domain.priorities.relabels import Relabels
from backend.domain.questions import decisions
from backend.domain.questions.forms import ABSTAIN, Posteriors


def pool_state_of(
    trained: Trained,
    frame: Frame,
    is_open: NDArray[np.bool_],
    relabels: Relabels | None = None,
    *,
    hidden: Mapping[str, NDArray[np.bool_]] | None = None,
) -> PoolState:
    """What is known of the tasks when the next ones are chosen.

    Args:
        trained: the new version.
        frame: what its model says of the units, their features, votes and gold.
        is_open: bool (n_tasks,), what may be asked.
        relabels: of the tasks, where some that may be asked have labels.
        hidden: see `hidden_rows`.
    """
    parts, posteriors, by_classifier, by_label_model = trained.model.decisions, {}, {}, {}
    for question in frame.questions:
        features = frame.features[question.name]
        for key in (decision.key for decision in decisions(question)):
            part, posterior = parts[key], frame.posteriors[key]
            by_classifier[key] = (
                np.full_like(posterior, np.nan) if part.classifier is None else part.classifier.predict_proba(features)
            )
            by_label_model[key] = part.label_model.predict_proba(frame.votes[key].votes)
            alone = _learns_from_people_alone(part)
            # That rules are sure of a task doesn't say that its label teaches a classifier little that learns from
            # people alone. (Six text sets with rules, five seeds: chosen by the posterior of rules and classifier
            # together, a fifth more labels are needed to reach 95 % of full accuracy.)
            posteriors[key] = first_known(by_classifier[key], posterior) if alone else posterior
    doubts = replace(frame, posteriors=posteriors, members={LABEL_MODEL: by_label_model, CLASSIFIER: by_classifier})
    state = PoolState(doubts, is_open, trained.features, relabels=relabels)
    return _without_hidden(state, hidden) if hidden else state


def _without_hidden(state: PoolState, hidden: Mapping[str, NDArray[np.bool_]]) -> PoolState:
    """The same, in which nothing is known of a question where it is hidden."""
    frame = state.frame
    rows = {
        decision.key: frame.units[question.name].spread(hidden[question.name])
        for question in frame.questions
        if question.name in hidden
        for decision in decisions(question)
    }

    def unknown(of_decisions: Posteriors) -> Posteriors:
        return {
            key: np.where(rows[key][:, None], np.nan, posterior) if key in rows else posterior
            for key, posterior in of_decisions.items()
        }

    votes = {
        key: replace(matrix, votes=np.where(rows[key][:, None], ABSTAIN, matrix.votes)) if key in rows else matrix
        for key, matrix in frame.votes.items()
    }
    members = {name: unknown(of_member) for name, of_member in frame.members.items()}
    seen = replace(frame, posteriors=unknown(frame.posteriors), members=members, votes=votes)
    return replace(state, frame=seen, hidden=hidden)


def _learns_from_people_alone(part: DecisionModel) -> bool:
    return part.choice is not None and part.choice.recipe.trust == 0
