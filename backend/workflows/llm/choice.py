"""Which tasks a policy names, as rows of a view; the most valuable ones first."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.llm.choose import sample_order, unsure, worth
from backend.domain.llm.price import estimated_tokens
from backend.domain.llm.records import Calibration, LlmSource
from backend.domain.questions import Question
from backend.errors import ModelMissing
from backend.ports.llm import LlmPolicyName
from backend.workflows.llm.view import LlmView

Rows = NDArray[np.int64]


def sample_rows(view: LlmView, question: Question) -> Rows:
    """The validation sample: a random one of what people labeled, filled up with a random one of the rest.

    Random by content, so that it stays the same while the project grows.
    """
    labeled = view.human(question)
    order = view.sendable[sample_order([view.hashes[row] for row in view.sendable])].tolist()
    first = [row for row in order if row in labeled]
    rest = [row for row in order if row not in labeled]
    return np.array([*first, *rest][: view.policy.sample], dtype=np.int64)


def policy_rows(view: LlmView, question: Question, sources: Sequence[LlmSource]) -> Rows:
    """The rows that the policy names besides the sample: open tasks that none of some sources has answered."""
    rows = _open_rows(view)
    asked = set[int]().union(*(view.answers(source, rows) for source in sources))
    left = np.array([row for row in rows if int(row) not in asked], dtype=np.int64)
    match view.policy.policy:
        case LlmPolicyName.ALL:
            return left
        case LlmPolicyName.UNCERTAIN:
            beyond_sample = asked - set(sample_rows(view, question).tolist())
            quota = int(view.policy.share * len(view.items)) - len(beyond_sample)
            return _by_worth(view, question, left)[: max(quota, 0)]
        case _:
            return left[:0]


def unsure_rows(view: LlmView, first: Sequence[LlmSource], second: Sequence[LlmSource]) -> Rows:
    """Open tasks of which a first model's answer isn't sure, and that a second one hasn't answered."""
    rows = _open_rows(view)
    done = set[int]().union(*(view.answers(source, rows) for source in second))
    found: list[int] = []
    for source in first:
        answers = {row: answer for row, answer in view.answers(source, rows).items() if row not in done}
        record = view.record(source)
        calibration = record.calibration if record else Calibration()
        places = unsure(list(answers.values()), calibration, view.policy.sure)
        found += np.array(list(answers), dtype=np.int64)[places].tolist()
    return np.array(sorted(set(found)), dtype=np.int64)


def _open_rows(view: LlmView) -> Rows:
    is_open = np.array([view.items[row].task.is_open for row in view.sendable], dtype=np.bool_)
    return view.sendable[is_open]


def _by_worth(view: LlmView, question: Question, rows: Rows) -> Rows:
    """Tasks where an answer is worth most for its money come first.

    What the current version says of a task that no LLM has answered, it says from rules and classifier alone.
    """
    number = view.deps.versions.current(view.key)
    try:
        predictions = view.deps.versions.predictions(view.key, number) if number else []
    except ModelMissing:
        predictions = []
    known = {item.task_id: item.suggestion for item in predictions}
    # One that no version knows yet has no suggestion: nothing is known of it.
    suggested = [known.get(view.items[row].task.id) for row in rows]
    uncertainty = np.array([1.0 - (item.per_question.get(question.name, 0.0) if item else 0.0) for item in suggested])
    # A source that contradicts the suggestion: the classifier is part of the suggestion, and so it may contradict it.
    disagreement = np.array(
        [
            _disagreement(item.votes.get(question.name, {}), item.answers.get(question.name, ())) if item else 0.0
            for item in suggested
        ]
    )
    price = np.array([estimated_tokens(str(view.contents[row].fields)) for row in rows], dtype=np.float64)
    order = worth(uncertainty, disagreement, price)
    return rows[order]


def _disagreement(votes: Mapping[str, str], answer: tuple[str, ...]) -> float:
    """Share of the rules that vote for something else than the suggestion."""
    said = [vote for source, vote in votes.items() if not source.startswith("llm:")]
    return sum(vote != ", ".join(answer) for vote in said) / len(said) if said else 0.0
