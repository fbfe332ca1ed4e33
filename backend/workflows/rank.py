"""Rank: suggestions for the open tasks of a new version, the most useful task first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.domain.audit.draw import is_audit, turn
from backend.domain.corpus import Corpus
from backend.domain.frame import Frame
from backend.domain.marking.learn import LearnedMarking, doubts_of
from backend.domain.marking.model import with_marks
from backend.domain.model.training import Trained
from backend.domain.next_tasks import pool_state_of
from backend.domain.policy import Policy
from backend.domain.priorities.audit_turns import AuditTasks, choose_with_audit
from backend.domain.reports.version import Round
from backend.domain.suggestions import Suggestion, suggest, task_answers
from backend.domain.visibility import hidden_rows
from backend.ports import Prediction
from backend.workflows.relabels import relabels_on


def ranked_predictions(
    corpus: Corpus,
    policy: Policy,
    trained: Trained,
    marking: Mapping[str, LearnedMarking],
    *,
    number: int,
    history: Sequence[Round],
) -> list[Prediction]:
    """Suggestions for the open tasks, most useful first; the first `top_tasks` have a strategy and a reason.

    Their scores make Label Studio's ascending order ours; behind them the score is the calibrated confidence. The
    suggestions of audit tasks are withheld. `marking`: what was learned of spans, see `learned_spans`. `history`: what
    strategies have brought so far.
    """
    questions, ids = trained.model.questions, corpus.ids.tolist()
    rows = np.flatnonzero(corpus.is_open)
    if not rows.size or not (questions or marking):
        return []
    frame = replace(trained.frame, posteriors=trained.model.posteriors_of(trained.frame))
    told = Frame(questions, frame.units, votes=frame.votes, posteriors=frame.posteriors)
    decided = suggest(told.tasks(rows)) if questions else [Suggestion() for _ in rows]
    suggestions = {
        row: with_marks(item, {name: about.marked[row] for name, about in marking.items()})
        for row, item in zip(rows.tolist(), decided, strict=True)
    }
    confidence: NDArray[np.float64] = np.zeros(len(ids))
    confidence[rows] = [suggestions[row].score for row in rows.tolist()]
    # Labeled by several people, a task is an audit task for the last of them too.
    audit = [row for row in rows.tolist() if is_audit(corpus.key, ids[row], policy.audit_share)]
    audit.sort(key=lambda row: turn(corpus.key, ids[row]))
    askable = corpus.is_open.copy()
    askable[audit] = False
    hidden = hidden_rows(questions, task_answers(frame)) if questions else {}
    relabels = relabels_on(corpus, trained, hidden) if questions else None
    state = pool_state_of(trained, frame, askable, relabels, hidden=hidden)
    if not questions:
        state = replace(state, doubts=doubts_of(marking, len(ids)))
    if relabels is not None:
        confidence = relabels.as_sure(confidence, state.open_rows)
    queue = choose_with_audit(
        state,
        confidence,
        AuditTasks(np.array(audit, dtype=np.int64), policy.audit_share),
        strategy=policy.query_strategy,
        n=policy.top_tasks,
        seed=number,
        history=history,
    )
    served = list(zip(queue.chosen_by, queue.reasons, strict=True))
    behind = [("", "")] * (len(queue.order) - len(served))
    places = zip(queue.order.tolist(), queue.scores.tolist(), [*served, *behind], strict=True)
    return [
        Prediction(ids[row], suggestions[row], score, *about, withheld=not askable[row]) for row, score, about in places
    ]
