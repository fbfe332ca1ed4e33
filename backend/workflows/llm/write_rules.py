"""Write rules: an LLM is asked for rules, as YAML, by what labels mean and by tasks that people labeled.

What it writes is read, never run: see `RuleFiles.parse`. Money is reserved before, and no answer is paid for twice.
"""

import hashlib
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.domain.corpus import Corpus
from backend.domain.llm.records import LlmAnswer, LlmReply, LlmRequest, LlmSource
from backend.domain.llm.rule_prompt import MOST_EXAMPLES, reply_of, reply_schema, system_message, user_message
from backend.domain.outside import one_line
from backend.domain.questions import Question
from backend.errors import BackendError
from backend.ports import Deps
from backend.ports.llm import Claim
from backend.workflows.llm.requests import CLAIM_S, cost_of, most_usd, price_of
from backend.workflows.llm.view import LlmProject, llm_disabled_reason, view_of

OUTPUT_TOKENS = 3_000
"""Room for the rules of one reply."""


@dataclass(frozen=True, slots=True)
class WrittenRules:
    """What an LLM wrote. by: its model. text: YAML; "" without any. problem: why there is none; "" = there is."""

    by: str
    text: str = ""
    problem: str = ""


def written_rules(
    deps: Deps, corpus: Corpus, question: Question, rows: NDArray[np.int64], *, asks: bool
) -> WrittenRules:
    """The rules that the first model of a project writes for a question.

    Args:
        deps: the ports; an LLM is set up.
        corpus: the project.
        question: one of its questions.
        rows: tasks that may be shown to it with their labels.
        asks: False: only what it has written before for the same tasks counts.
    """
    idle = llm_disabled_reason(deps, corpus.key)
    record = deps.database.project(corpus.key)
    if idle or record is None:
        return WrittenRules("LLM", problem=idle or "the project is gone")
    view = view_of(deps, record, deps.label_studio.project(record.project_id).instructions)
    model = view.policy.models[0]
    try:
        request = _request(view, question, rows, model)
        if request is None:
            return WrittenRules(model, problem="nothing of the labeled tasks can be sent")
        return _known(view, request) or (
            _asked(view, request) if asks else WrittenRules(model, problem="it was not asked for these tasks yet")
        )
    except BackendError as error:
        # Rules are proposed without it.
        return WrittenRules(model, problem=str(error))


def _request(view: LlmProject, question: Question, rows: NDArray[np.int64], model: str) -> LlmRequest | None:
    human = view.human(question)
    shown = [row for row in _in_turns(human, rows) if view.contents[row].fields][:MOST_EXAMPLES]
    if not shown:
        return None
    context = view.prompts(question)[0].context
    system = system_message(question, context.labels, context.instructions)
    user = user_message([(view.contents[row].fields, human[row]) for row in shown])
    prompt, content = (hashlib.sha256(text.encode()).hexdigest() for text in (system, user))
    return LlmRequest(
        source=LlmSource(question.name, model, prompt),
        contents={"rules": content},
        system=system,
        user=user,
        schema=reply_schema(),
        max_output_tokens=OUTPUT_TOKENS + view.policy.thinking_tokens,
    )


def _in_turns(human: dict[int, tuple[str, ...]], rows: NDArray[np.int64]) -> list[int]:
    """Rows that people labeled, of each answer in turns, so that rare ones are seen too."""
    by_answer: dict[tuple[str, ...], deque[int]] = {}
    for row in rows.tolist():
        if row in human:
            by_answer.setdefault(human[row], deque()).append(row)
    ordered: list[int] = []
    while any(by_answer.values()):
        ordered += [waiting.popleft() for waiting in by_answer.values() if waiting]
    return ordered


def _known(view: LlmProject, request: LlmRequest) -> WrittenRules | None:
    """What it wrote before; None if it wasn't asked."""
    source, (content,) = request.source, request.contents.values()
    answer = view.parts.records.answers(source.prompt, source.model, {content}).get(content)
    if answer is None:
        return None
    text = "".join(answer.labels)
    return WrittenRules(source.model, text, "" if text else str(answer.problem))


def _asked(view: LlmProject, request: LlmRequest) -> WrittenRules:
    """Ask, and keep what came back with what it cost."""
    source, records, budget = request.source, view.parts.records, view.policy.budget_usd
    price = price_of(view, source.model)
    contents = tuple(request.contents.values())
    claim = records.claim(view.key, source, contents, most_usd(request, price), budget, CLAIM_S)
    if claim is None:
        return WrittenRules(
            source.model,
            problem=f"the budget of {budget:g} USD (LLM_BUDGET_USD) is used up or reserved, or it is being asked now",
        )
    open_claims: list[Claim] = [claim]

    def answered(_: LlmRequest, reply: LlmReply) -> None:
        usd = cost_of(open_claims.pop(), reply, price)
        text, problem = reply_of(reply)
        # What got lost on the way may be asked for again.
        kept = [
            LlmAnswer(
                contents[0],
                source.prompt,
                source.model,
                (text,) if text else (),
                problem,
                price_usd=usd,
                input_tokens=reply.input_tokens,
                output_tokens=reply.output_tokens,
                latency_s=reply.latency_s,
                answered_at=view.deps.now(),
            )
        ]
        records.settle(claim, kept if reply.samples else [], usd)

    try:
        view.parts.endpoint.ask([request], answered)
    finally:
        for left in open_claims:
            records.settle(left, [], 0.0)
    return _known(view, request) or WrittenRules(source.model, problem=one_line("it gave no answer"))
