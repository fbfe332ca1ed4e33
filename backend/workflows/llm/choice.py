"""Which tasks an LLM is asked about, as rows of a view; the most valuable ones first."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.domain.llm.choose import doubts, paying, sample_order, worth
from backend.domain.llm.options import LlmPolicyName
from backend.domain.llm.price import estimated_tokens
from backend.domain.llm.records import Calibration, LlmSource
from backend.domain.questions import Question
from backend.domain.reports.llm import MIN_COMPARED
from backend.domain.sources import is_llm
from backend.workflows.llm.view import LlmProject, Prompt

Rows = NDArray[np.int64]


def sample_rows(view: LlmProject, question: Question, source: LlmSource) -> Rows:
    """The source's validation sample: random tasks that people labeled, filled up with random ones of the rest.

    What is in it stays in it. So when people label others than it was filled up with, it grows, to twice the policy's
    size at most. Random by content, whatever the order in which people label.
    """
    record = view.record(source)
    before = record.sample if record else frozenset[str]()
    labeled = view.human(question)
    order = view.sendable[sample_order([view.hashes[row] for row in view.sendable])]
    inside = [row for row in order.tolist() if view.hashes[row] in before]
    outside = [row for row in view.shown(question.name, order).tolist() if view.hashes[row] not in before]
    size = view.policy.sample
    judged = sum(row in labeled for row in inside)
    added = [row for row in outside if row in labeled][: max(0, size - judged)]
    fill = [row for row in outside if row not in labeled][: max(0, size - len(inside) - len(added))]
    return np.array([*inside, *added, *fill], dtype=np.int64)


def policy_rows(view: LlmProject, question: Question, prompt: Prompt, sources: Sequence[LlmSource]) -> Rows:
    """The rows that the policy names besides the sample: open tasks that none of some sources has answered."""
    left = _without(_open_rows(view, question.name), answered(view, sources))
    match view.policy.policy:
        case LlmPolicyName.ALL:
            return left
        case LlmPolicyName.UNCERTAIN:
            # Whatever was asked beyond the sample is part of the share, also if people have labeled it since.
            beyond = len(answered(view, sources) - set(sample_rows(view, question, prompt.source).tolist()))
            quota = int(view.policy.share * len(view.corpus.items)) - beyond
            return _by_worth(view, question, prompt, left)[: max(quota, 0)]
        case _:
            return left[:0]


def unsure_rows(view: LlmProject, prompt: Prompt, first: Sequence[LlmSource], second: Sequence[LlmSource]) -> Rows:
    """Open tasks of which a first model's answer isn't sure, and on which a second one, which hasn't answered, pays;
    those where it saves most errors for its money come first."""
    answered_before = answered(view, second)
    doubt: dict[int, float] = {}
    for source in first:
        rows = _without(_open_rows(view, source.question), answered_before)
        answers = view.answers(source, rows)
        record = view.record(source)
        calibration = record.calibration if record else Calibration()
        of_source = doubts(list(answers.values()), calibration).tolist()
        doubt |= {row: max(value, doubt.get(row, 0.0)) for row, value in zip(answers, of_source, strict=True)}
    unsure = np.array(sorted(doubt), dtype=np.int64)
    values = np.array([doubt[row] for row in unsure.tolist()], dtype=np.float64)
    wrong = _share_wrong(view, second)
    return unsure[paying(values, _prices(view, prompt, unsure), view.policy.sure, wrong)]


def _share_wrong(view: LlmProject, sources: Sequence[LlmSource]) -> float:
    """How often the answers of the best of some sources are wrong, as far as enough were judged; 0 otherwise."""
    records = filter(None, map(view.record, sources))
    shares = [
        1.0 - report.agreement
        for report in (record.report for record in records)
        if report is not None and report.agreement is not None and report.n_compared >= MIN_COMPARED
    ]
    return min(shares, default=0.0)


def answered(view: LlmProject, sources: Sequence[LlmSource]) -> set[int]:
    """Rows that any of some sources has answered."""
    return set[int]().union(*(view.answers(source, view.sendable) for source in sources))


def _open_rows(view: LlmProject, question: str) -> Rows:
    """Of the tasks that may be labeled, those in which the question is asked."""
    is_open = np.array([view.corpus.items[row].task.is_open for row in view.sendable], dtype=np.bool_)
    return view.shown(question, view.sendable[is_open])


def _without(rows: Rows, others: set[int]) -> Rows:
    return np.array([row for row in rows if int(row) not in others], dtype=np.int64)


def _by_worth(view: LlmProject, question: Question, prompt: Prompt, rows: Rows) -> Rows:
    """Tasks where an answer is worth most for its money come first.

    What the current version says of a task that no LLM has answered, it says from rules and classifier alone.
    """
    # One that no version knows yet has no suggestion: nothing is known of it.
    suggested = [view.suggested.get(view.corpus.items[row].task.id) for row in rows]
    uncertainty = np.array([1.0 - (item.per_question.get(question.name, 0.0) if item else 0.0) for item in suggested])
    # A source that contradicts the suggestion: the classifier is part of the suggestion, and so it may contradict it.
    disagreement = np.array(
        [
            _disagreement(item.votes.get(question.name, {}), item.answers.get(question.name, ())) if item else 0.0
            for item in suggested
        ]
    )
    return rows[worth(uncertainty, disagreement, _prices(view, prompt, rows))]


def _prices(view: LlmProject, prompt: Prompt, rows: Rows) -> NDArray[np.float64]:
    """Tokens that asking about each row takes, float64 (n_rows,): its share of what all tasks of a request have in
    common, and the task itself."""
    shared = estimated_tokens(prompt.text) / view.policy.tasks_per_request
    return np.array([shared + estimated_tokens(str(view.contents[row].fields)) for row in rows], dtype=np.float64)


def _disagreement(votes: Mapping[str, str], answer: tuple[str, ...]) -> float:
    """Share of the rules that vote for something else than the suggestion."""
    said = [vote for source, vote in votes.items() if not is_llm(source)]
    return sum(vote != ", ".join(answer) for vote in said) / len(said) if said else 0.0
