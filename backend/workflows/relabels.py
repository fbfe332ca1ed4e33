"""Relabels: what another label would teach of tasks that have some, but fewer than Label Studio still wants."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from backend.domain.corpus import Corpus
from backend.domain.model.training import Trained
from backend.domain.priorities.relabels import Relabels
from backend.domain.questions import decisions
from backend.workflows.check.inputs import crowd_of, texts_of


def relabels_on(corpus: Corpus, trained: Trained, hidden: Mapping[str, NDArray[np.bool_]]) -> Relabels | None:
    """ActiveLab's scores of all tasks; None where no open task has a label, so that nothing is to be compared.

    Of several questions, and of several labels of one, that which most wants another label decides. `hidden`: bool
    (n_tasks,) by question, where it is left out, see `hidden_rows`.
    """
    begun = corpus.is_open & np.array([bool(entries) for entries in corpus.labeled], dtype=np.bool_)
    if not begun.any():
        return None
    texts = [texts_of(corpus.config, item) for item in corpus.items]
    lowest = np.full(len(corpus.items), np.inf)
    for question in trained.model.questions:
        units = trained.frame.units[question.name]
        posteriors = {
            decision.key: trained.frame.held_out_without_votes(decision.key) for decision in decisions(question)
        }
        crowd = crowd_of(question, units, corpus.labeled, texts, posteriors)
        shown = ~hidden[question.name] if question.name in hidden else True
        for consensus in crowd.consensus.values():
            lowest = np.fmin(lowest, np.where(shown, units.least(consensus.relabel_scores), np.nan))
    return Relabels(begun, np.where(np.isfinite(lowest), lowest, np.nan))
