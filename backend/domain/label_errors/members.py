"""Members: the posterior, classifiers, neighbours, rules and LLMs, each with a posterior of each task's label."""

import numpy as np
from numpy.typing import NDArray

from backend.domain.classifier.candidates import Candidate, suitable
from backend.domain.frame import Frame
from backend.domain.label_errors.combine import Member
from backend.domain.label_errors.held_out import SMALL, Apart, held_out_classifier, held_out_label_model
from backend.domain.label_errors.neighbours import Neighbours
from backend.domain.label_errors.records import SearchInputs
from backend.domain.posterior import is_known
from backend.domain.questions.forms import ABSTAIN

POSTERIOR, LOGISTIC, BAYES, NEIGHBOURS, VOTES = "posterior", "logistic regression", "naive Bayes", "neighbours", "votes"
WEIGHTS = {POSTERIOR: 0.7, LOGISTIC: 0.5, BAYES: 0.1, NEIGHBOURS: 0.3, VOTES: 0.5}
"""Exponents before there is evidence. They add up to more than 1: each member alone is timid about labels that many of
them agree on. Naive Bayes takes every word for news and is far too sure."""
UNSURE = 0.02
"""Share of an even distribution mixed into the neighbours' votes: ten neighbours can't rule a class out."""


def members_on(key: str, frame: Frame, inputs: SearchInputs, neighbours: Neighbours | None) -> list[Member]:
    """All there is, each made without the row's own label. The posterior stands alone when there is no other evidence.

    Args:
        key: `Decision.key`.
        frame: held-out posteriors and gold, and votes where there are any.
        inputs: see `SearchInputs`.
        neighbours: of the same rows.
    """
    posterior, gold = frame.held_out[key], frame.gold[key]
    k, found = posterior.shape[1], [Member(POSTERIOR, posterior, 1.0)]
    apart, rubber_stamped = Apart(inputs.groups, inputs.rubber_stamped), inputs.rubber_stamped
    trusted = gold if rubber_stamped is None else np.where(rubber_stamped, -1, gold)
    features = inputs.joined
    if features is not None and np.unique(trusted[trusted >= 0]).size > 1:
        labeled = gold >= 0
        if labeled.sum() * k <= SMALL or not is_known(posterior)[labeled].all():
            found.append(_member(LOGISTIC, held_out_classifier(features, gold, k, apart)))
        # It counts: embeddings are negative here and there, and no counts.
        if inputs.features is not None and Candidate.BAYES in suitable(inputs.features, is_table=False):
            bayes = Candidate.BAYES
            found.append(_member(BAYES, held_out_classifier(inputs.features, gold, k, apart, candidate=bayes)))
    if neighbours is not None:
        shares = neighbours.shares(trusted, k)
        found.append(_member(NEIGHBOURS, (1 - UNSURE) * shares + UNSURE / k))
    matrix = frame.votes.get(key)
    if matrix is not None and (matrix.votes != ABSTAIN).any():
        found.append(_member(VOTES, held_out_label_model(matrix.votes, gold, k, apart)))
    if len(found) > 1:
        found[0] = _member(POSTERIOR, posterior)
    return found


def _member(name: str, proba: NDArray[np.float64]) -> Member:
    return Member(name, proba, WEIGHTS[name])
