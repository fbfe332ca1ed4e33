"""Next tasks: what a trained model says of the tasks, as evidence for choosing among them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.domain.model import ProjectModel
from backend.domain.priorities import Evidence, Opinions
from backend.domain.votes import VoteMatrix


def evidence_of(
    model: ProjectModel,
    posteriors: Mapping[str, NDArray[np.float64]],
    votes: Mapping[str, VoteMatrix],
    gold: Mapping[str, NDArray[np.int64]],
    is_open: NDArray[np.bool_],
    features: csr_matrix,
    opinions: Opinions | None = None,
) -> Evidence:
    """What is known of the tasks when the next ones are chosen.

    Args:
        model: the new version's.
        posteriors: float64 (n, k) by `Decision.key`, what `model` says of the tasks.
        votes: by `Decision.key`, same rows.
        gold: int64 (n,) by `Decision.key`, class index or -1 = unknown.
        is_open: bool (n,), what may be asked.
        features: (n, d), of the model's extractor.
        opinions: of the tasks, where some that may be asked have labels.
    """
    parts = model.decisions
    return Evidence(
        questions=model.questions,
        posteriors=posteriors,
        label_model={key: part.label_model.predict_proba(votes[key].votes) for key, part in parts.items()},
        classifier={
            key: np.full_like(posteriors[key], np.nan)
            if part.classifier is None
            else part.classifier.predict_proba(features)
            for key, part in parts.items()
        },
        votes=votes,
        gold=gold,
        is_open=is_open,
        features=features,
        opinions=opinions,
    )
