"""Estimate: what asking would cost, before anything is sent."""

import math
from dataclasses import dataclass, replace

import numpy as np

from backend.domain.llm.options import LlmPolicyName
from backend.domain.llm.price import expected_tokens
from backend.domain.llm.records import LlmSource
from backend.domain.questions import Question
from backend.workflows.llm.choice import Rows, policy_rows, sample_rows, unsure_rows
from backend.workflows.llm.requests import Asking, AskReport, price_of
from backend.workflows.llm.view import LlmProject, Prompt

LATENCY_S = 3.0
"""Taken for a request while none was ever answered."""
TRIED = 20
"""Requests that are made up, without being sent, to see how long they are."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one policy would cost a project from now on. seconds: with `concurrency` requests at a time.

    at_most: the second model is asked only where the first is unsure, and nobody knows yet how often that is.
    """

    policy: LlmPolicyName
    model: str
    tasks: int
    requests: int
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float
    at_most: bool = False


def estimate(view: LlmProject, concurrency: int) -> list[Estimate]:
    """For each policy and model, what is left to ask; abstentions and answers on record are not asked again.

    Raises:
        ConfigurationError: the price of a model is unknown, or a template can't be used.
    """
    found: dict[tuple[LlmPolicyName, str], Estimate] = {}
    for name in (LlmPolicyName.SAMPLE, LlmPolicyName.UNCERTAIN, LlmPolicyName.ALL):
        as_if = replace(view, policy=replace(view.policy, policy=name))
        for question in view.questions:
            before: list[LlmSource] = []
            for prompt, sources in view.to_ask(question):
                model = prompt.source.model
                rows = _left(as_if, question, prompt, sources, before)
                of_question = _of_rows(as_if, prompt, rows, concurrency, name, at_most=bool(before))
                found[name, model] = _sum(found.get((name, model)), of_question)
                before = sources
    return list(found.values())


def _left(
    view: LlmProject, question: Question, prompt: Prompt, sources: list[LlmSource], before: list[LlmSource]
) -> list[int]:
    """Rows that a source would be asked about, most valuable first."""
    sample = sample_rows(view, question, prompt.source)
    known = view.answers(prompt.source, sample)
    rest: Rows = policy_rows(view, question, prompt, sources)
    if before:
        # Not yet answered by the first model: it may be unsure of any of them.
        unasked = policy_rows(view, question, prompt, before)
        rest = np.concatenate([unsure_rows(view, prompt, before, sources), unasked])
    return list(dict.fromkeys([*(int(row) for row in sample if int(row) not in known), *rest.tolist()]))


def _of_rows(
    view: LlmProject, prompt: Prompt, rows: list[int], concurrency: int, name: LlmPolicyName, *, at_most: bool
) -> Estimate:
    price = price_of(view, prompt.source.model)
    if view.policy.batch_api:
        price = price.in_bulk
    asking = Asking(view, prompt, rows, price, AskReport(until=math.inf, learn=lambda: None))
    chunks = list(asking.chunks())
    some = [chunks[place] for place in np.linspace(0, len(chunks) - 1, min(TRIED, len(chunks))).astype(int)]
    tried = [request for chunk in some if (request := asking.build(chunk)) is not None]
    # Half of the room: labels are of different lengths, and one of them is chosen.
    expected = [
        expected_tokens(
            request,
            price.image_tokens,
            (request.max_output_tokens - view.policy.thinking_tokens) / 2 / max(len(request.contents), 1),
        )
        for request in tried
    ]
    n_input, n_output = (
        (round(len(chunks) * float(np.mean(each))) for each in zip(*expected, strict=True)) if expected else (0, 0)
    )
    answers = list(view.answers(prompt.source, np.array(view.sendable[:200])).values())
    latency = np.mean([item.latency_s for item in answers]) * view.policy.tasks_per_request if answers else LATENCY_S
    return Estimate(
        policy=name,
        model=prompt.source.model,
        tasks=len(rows),
        requests=len(chunks),
        input_tokens=n_input,
        output_tokens=n_output,
        usd=price.of(n_input, n_output),
        seconds=math.ceil(len(chunks) / concurrency) * float(latency),
        at_most=at_most and bool(rows),
    )


def _sum(one: Estimate | None, other: Estimate) -> Estimate:
    """Several questions together."""
    if one is None:
        return other
    return replace(
        one,
        tasks=one.tasks + other.tasks,
        requests=one.requests + other.requests,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        usd=one.usd + other.usd,
        seconds=one.seconds + other.seconds,
        at_most=one.at_most or other.at_most,
    )
